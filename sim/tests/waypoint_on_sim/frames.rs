//! HTTP/2 written by hand, for what no library would send.

use parking_lot::Mutex;
use std::sync::Arc;

use proxy_core::host::{Dial, Host};
use sim::node::SimHost;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::World;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A length with a prefix of `bits` bits, as HPACK writes it.
fn length(length: usize, bits: u32) -> Vec<u8> {
    let most = (1usize << bits) - 1;
    if length < most {
        return vec![u8::try_from(length).unwrap()];
    }
    let mut bytes = vec![u8::try_from(most).unwrap()];
    let mut rest = length - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

/// One header, spelled out; `remembered` puts it into the receiver's table.
pub(crate) fn field(name: &[u8], value: &[u8], remembered: bool) -> Vec<u8> {
    let mut bytes = vec![if remembered { 0x40 } else { 0 }];
    for text in [name, value] {
        bytes.extend(length(text.len(), 7));
        bytes.extend_from_slice(text);
    }
    bytes
}

/// The four that every request has.
pub(crate) fn head(method: &str, path: &[u8]) -> Vec<u8> {
    let pseudo: [(&[u8], &[u8]); 4] =
        [(b":method", method.as_bytes()), (b":scheme", b"http"), (b":authority", b"echo"), (b":path", path)];
    pseudo.iter().flat_map(|(name, value)| field(name, value, false)).collect()
}

/// A whole request without a body.
pub(crate) fn get(stream: u32, path: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head("GET", path))
}

/// A client's connection: what it wrote so far and what came back.
#[derive(Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    written: usize,
    received: Vec<u8>,
    over: bool,
}

impl Wire {
    /// Bytes that were taken from it.
    pub(crate) fn written(&self) -> usize {
        self.0.lock().written
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().over
    }

    /// Frames received: kind, flags, stream, payload.
    pub(crate) fn frames(&self) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let received = self.0.lock().received.clone();
        let mut rest = &received[..];
        let mut frames = Vec::new();
        while let [a, b, c, kind, flags, s, t, u, v, tail @ ..] = rest {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some(payload) = tail.get(..length) else { break };
            frames.push((*kind, *flags, u32::from_be_bytes([*s, *t, *u, *v]), payload.to_vec()));
            rest = &tail[length..];
        }
        frames
    }

    /// The error code of the GOAWAY that was received.
    pub(crate) fn told_to_go(&self) -> Option<u32> {
        let goaway = self.frames().into_iter().find(|(kind, ..)| *kind == GOAWAY)?;
        Some(u32::from_be_bytes(goaway.3[4..8].try_into().unwrap()))
    }

    /// The error code its stream was reset with.
    pub(crate) fn reset(&self, stream: u32) -> Option<u32> {
        let reset = self.frames().into_iter().find(|(kind, _, of, _)| *kind == RST_STREAM && *of == stream)?;
        Some(u32::from_be_bytes(reset.3[..4].try_into().unwrap()))
    }

    /// Streams that were answered with headers.
    pub(crate) fn answered(&self) -> Vec<u32> {
        self.frames().into_iter().filter(|(kind, ..)| *kind == HEADERS).map(|(_, _, stream, _)| stream).collect()
    }
}

/// Connects to `port` of the service and writes a preface, settings, and then `bytes`; reads all that comes unless it is
/// `deaf`.
pub(crate) fn wire(host: &SimHost, port: u16, settings: &[u8], bytes: Vec<u8>, deaf: bool) -> Wire {
    let wire = Wire::default();
    let (shared, dialler) = (wire.clone(), host.clone());
    let mut all = PREFACE.to_vec();
    all.extend(frame(SETTINGS, 0, 0, settings));
    all.extend(frame(SETTINGS, 1, 0, b""));
    all.extend(bytes);
    host.spawn("hostile client", async move {
        let Ok(stream) = dialler.dial(Dial::to(World::vip(port))).await else { return };
        let (mut reader, mut writer) = tokio::io::split(stream);
        let counting = shared.clone();
        dialler.spawn("hostile writer", async move {
            let mut rest = &all[..];
            while let Ok(count @ 1..) = writer.write(rest).await {
                rest = &rest[count..];
                counting.0.lock().written += count;
            }
            std::future::pending::<()>().await;
        });
        if deaf {
            std::future::pending::<()>().await;
        }
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            shared.0.lock().received.extend_from_slice(&buffer[..count]);
        }
        shared.0.lock().over = true;
    });
    wire
}
