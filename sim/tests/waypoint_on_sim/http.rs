//! A client that writes what a test says, byte by byte, and reads answers.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use proxy_core::host::{Dial, Host};
use sim::node::SimHost;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An answer, read to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Answers as they come.
#[derive(Clone, Default)]
pub(crate) struct Answers {
    raw: Arc<Mutex<(Vec<u8>, bool)>>,
}

impl Answers {
    /// Everything received.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.raw.lock().0.clone()
    }

    /// Whether the connection is over.
    pub(crate) fn is_over(&self) -> bool {
        self.raw.lock().1
    }

    /// The answers that are complete.
    pub(crate) fn all(&self) -> Vec<Answer> {
        let (raw, over) = self.raw.lock().clone();
        let mut rest = &raw[..];
        let mut answers = Vec::new();
        while let Some((answer, length)) = parse(rest, over) {
            rest = &rest[length..];
            if answer.status != 100 {
                answers.push(answer);
            }
        }
        answers
    }

    /// The only one.
    pub(crate) fn one(&self) -> Answer {
        let all = self.all();
        assert_eq!(all.len(), 1, "{}", String::from_utf8_lossy(&self.raw()));
        all[0].clone()
    }
}

fn parse(raw: &[u8], over: bool) -> Option<(Answer, usize)> {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = text.trim_end().lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: Vec::new() };
    let rest = &raw[end..];
    if status < 200 || status == 204 {
        return Some((answer, end));
    }
    if answer.header("transfer-encoding").is_some() {
        let (body, length) = chunks(rest)?;
        answer.body = body;
        return Some((answer, end + length));
    }
    if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().ok()?;
        answer.body = rest.get(..length)?.to_vec();
        return Some((answer, end + length));
    }
    over.then(|| {
        answer.body = rest.to_vec();
        (answer.clone(), raw.len())
    })
}

fn chunks(raw: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = raw.get(at..)?.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&raw[at..at + line]).ok()?, 16).ok()?;
        at += line + 2;
        body.extend_from_slice(raw.get(at..at + size)?);
        at += size + 2;
        if size == 0 {
            return raw.get(..at).map(|_| (body, at));
        }
    }
}

/// Connects, writes all of it, and reads until the other side ends. Keeps its own side open.
pub(crate) fn send(host: &SimHost, to: SocketAddr, bytes: impl Into<Vec<u8>>) -> Answers {
    let answers = Answers::default();
    let (shared, bytes, dialler) = (answers.clone(), bytes.into(), host.clone());
    host.spawn("client", async move {
        if let Ok(stream) = dialler.dial(Dial::to(to)).await {
            let (mut reader, mut writer) = tokio::io::split(stream);
            dialler.spawn("client writer", async move {
                let _ = writer.write_all(&bytes).await;
                std::future::pending::<()>().await;
            });
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                shared.raw.lock().0.extend_from_slice(&buffer[..count]);
            }
        }
        shared.raw.lock().1 = true;
    });
    answers
}

/// One GET.
pub(crate) fn get(host: &SimHost, to: SocketAddr, path: &str) -> Answers {
    send(host, to, format!("GET {path} HTTP/1.1\r\nHost: echo\r\n\r\n"))
}

/// A connection that is written to piece by piece.
pub(crate) struct Talk {
    pub(crate) answers: Answers,
    writer: tokio::sync::mpsc::UnboundedSender<Vec<u8>>,
}

impl Talk {
    pub(crate) fn write(&self, bytes: impl Into<Vec<u8>>) {
        let _ = self.writer.send(bytes.into());
    }
}

pub(crate) fn talk(host: &SimHost, to: SocketAddr) -> Talk {
    let answers = Answers::default();
    let (writer, mut pieces) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let (shared, dialler) = (answers.clone(), host.clone());
    host.spawn("client", async move {
        if let Ok(stream) = dialler.dial(Dial::to(to)).await {
            let (mut reader, mut half) = tokio::io::split(stream);
            dialler.spawn("client writer", async move {
                while let Some(piece) = pieces.recv().await {
                    let _ = half.write_all(&piece).await;
                }
                let _ = half.shutdown().await;
            });
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                shared.raw.lock().0.extend_from_slice(&buffer[..count]);
            }
        }
        shared.raw.lock().1 = true;
    });
    Talk { answers, writer }
}
