//! WebSockets (RFC 6455), both ends: the handshake, and frames that come back as they were sent.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proxy_core::host::Rng;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{POD_HEADER, pod_header};
use super::http1::{Headers, MessageError, Messages, header};
use crate::record::{AppPod, ReceivedHead};

/// RFC 6455, 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The longest frame taken.
const FRAME_MAX: u64 = 16 << 20;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// One frame, unmasked.
struct Frame {
    last: bool,
    opcode: u8,
    payload: Vec<u8>,
}

/// The client's key, if this request asks for a WebSocket.
pub(crate) fn asked_for(head: &ReceivedHead) -> Option<&str> {
    let has = |name: &str, token: &str| {
        let value = header(&head.headers, name).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    let asks = head.method == "GET" && has("upgrade", "websocket") && has("connection", "upgrade");
    let current = header(&head.headers, "sec-websocket-version") == Some("13");
    header(&head.headers, "sec-websocket-key").filter(|_| asks && current)
}

/// A key for a new WebSocket.
pub(crate) fn new_key(rng: &mut Rng) -> String {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    STANDARD.encode(bytes)
}

/// What the server answers to a key.
pub(crate) fn accept_key(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()))
}

/// Agrees to a WebSocket, then echoes every frame until one side closes.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    messages: &mut Messages<S>,
    key: &str,
    pod: &AppPod,
    source: IpAddr,
    headers: &Headers,
) -> Result<(), MessageError> {
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {}\r\n{POD_HEADER}: {}\r\n",
        accept_key(key),
        pod_header(pod, source),
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    messages.write(head.as_bytes()).await?;
    loop {
        let frame = read(messages).await?;
        match frame.opcode {
            CLOSE => return Ok(messages.write(&written(&frame, None)).await?),
            PING => messages.write(&written(&Frame { opcode: PONG, ..frame }, None)).await?,
            PONG => {}
            _ => messages.write(&written(&frame, None)).await?,
        }
    }
}

/// Sends texts one after another, each when the one before has come back; then closes. Returns what came back.
pub(crate) async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    messages: &mut Messages<S>,
    texts: &[String],
    rng: &mut Rng,
) -> Result<Vec<Bytes>, MessageError> {
    let mut mask = || {
        let mut mask = [0; 4];
        rng.fill(&mut mask);
        Some(mask)
    };
    let mut back = Vec::new();
    for text in texts {
        let frame = Frame { last: true, opcode: TEXT, payload: text.as_bytes().to_vec() };
        messages.write(&written(&frame, mask())).await?;
        let mut whole = Vec::new();
        loop {
            let frame = read(messages).await?;
            match frame.opcode {
                CLOSE => return Err(MessageError::Ended),
                PING => messages.write(&written(&Frame { opcode: PONG, ..frame }, mask())).await?,
                PONG => {}
                _ => {
                    whole.extend_from_slice(&frame.payload);
                    if frame.last {
                        break;
                    }
                }
            }
        }
        back.push(whole.into());
    }
    const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();
    let close = Frame { last: true, opcode: CLOSE, payload: NORMAL.to_vec() };
    messages.write(&written(&close, mask())).await?;
    while read(messages).await?.opcode != CLOSE {}
    Ok(back)
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(messages: &mut Messages<S>) -> Result<Frame, MessageError> {
    let start = messages.bytes(2).await?;
    let malformed = |what: &str| MessageError::Malformed(format!("a WebSocket frame with {what}"));
    if start[0] & 0x70 != 0 {
        return Err(malformed("an extension nobody agreed on"));
    }
    let length = match start[1] & 0x7f {
        126 => {
            let more = messages.bytes(2).await?;
            u64::from(u16::from_be_bytes([more[0], more[1]]))
        }
        127 => {
            let more = messages.bytes(8).await?;
            more.iter().fold(0, |length, byte| length << 8 | u64::from(*byte))
        }
        short => u64::from(short),
    };
    if length > FRAME_MAX {
        return Err(malformed(&format!("{length} bytes, more than {FRAME_MAX}")));
    }
    let masked = start[1] & 0x80 != 0;
    let mask = if masked { messages.bytes(4).await? } else { Bytes::new() };
    let mut payload = messages.bytes(length as usize).await?.to_vec();
    if masked {
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
    Ok(Frame { last: start[0] & 0x80 != 0, opcode: start[0] & 0x0f, payload })
}

fn written(frame: &Frame, mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = vec![frame.opcode | if frame.last { 0x80 } else { 0 }];
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let length = frame.payload.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=125), _) => bytes.push(length | masked),
        (_, Ok(length)) => {
            bytes.push(126 | masked);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            bytes.push(127 | masked);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    match mask {
        Some(mask) => {
            bytes.extend_from_slice(&mask);
            bytes.extend(frame.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
        None => bytes.extend_from_slice(&frame.payload),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_masked_frame_is_that_of_the_rfc() {
        let hello = Frame { last: true, opcode: TEXT, payload: b"Hello".to_vec() };
        let mask = Some([0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(written(&hello, mask), [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(written(&hello, None), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    }
}
