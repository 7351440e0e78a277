//! Servers: HTTP/1.1 written by hand, HTTP/2 by the library.

use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::Mutex;
use proxy_core::host::{Host, Listener};
use sim::node::SimHost;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What servers saw: heads as they came, bodies, connections.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    heads: Vec<String>,
    bodies: Vec<Vec<u8>>,
    connections: usize,
}

impl Seen {
    pub(crate) fn heads(&self) -> Vec<String> {
        self.0.lock().heads.clone()
    }

    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.0.lock().bodies.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.0.lock().connections
    }
}

/// Answers HTTP/1.1 on 8080 with `answer(head, body, how many came before)`, written as it is; an empty answer closes.
pub(crate) fn http(
    host: &SimHost,
    answer: impl Fn(&str, &[u8], usize) -> Vec<u8> + Clone + Send + Sync + 'static,
) -> Seen {
    let seen = Seen::default();
    let listener = host.listen((Ipv4Addr::UNSPECIFIED, 8080).into()).unwrap();
    let (owner, shared) = (host.clone(), seen.clone());
    host.spawn("http server", async move {
        while let Ok(accepted) = listener.accept().await {
            shared.0.lock().connections += 1;
            let (answer, shared) = (answer.clone(), shared.clone());
            owner.spawn("http connection", async move {
                let mut stream = accepted.stream;
                let mut buffer = Vec::new();
                while let Some((head, body)) = request(&mut stream, &mut buffer).await {
                    let before = {
                        let mut seen = shared.0.lock();
                        seen.heads.push(head.clone());
                        seen.bodies.push(body.clone());
                        seen.heads.len() - 1
                    };
                    let answer = answer(&head, &body, before);
                    if answer.is_empty() {
                        return;
                    }
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    seen
}

/// An answer 200 with this body.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A server that says who it is.
pub(crate) fn named(host: &SimHost, name: &str) -> Seen {
    let name = name.to_owned();
    http(host, move |_, _, _| ok(&name))
}

async fn request<S: tokio::io::AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let mut chunk = vec![0; 16 * 1024];
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let count @ 1.. = stream.read(&mut chunk).await.ok()? else { return None };
        buffer.extend_from_slice(&chunk[..count]);
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let length = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let chunked = field("transfer-encoding").is_some();
    loop {
        if chunked {
            if buffer.ends_with(b"0\r\n\r\n") {
                return Some((head, std::mem::take(buffer)));
            }
        } else if buffer.len() >= length {
            return Some((head, buffer.drain(..length).collect()));
        }
        let count @ 1.. = stream.read(&mut chunk).await.ok()? else { return None };
        buffer.extend_from_slice(&chunk[..count]);
    }
}
