//! HTTP/1.1 messages over a [`Wire`]: heads and bodies, either direction.
//!
//! Just what an echo application needs, over `httparse`: lengths, chunks, keep-alive. No pipelining on the client side.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::wire::Wire;

/// The longest head taken.
const HEAD_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 96;
const FIRST_READ: usize = 2 * 1024;

/// Header names (lower case) and values, in order.
pub type Headers = Vec<(String, String)>;

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    /// The stream ended where a message could have begun.
    #[error("the stream ended")]
    Ended,
    /// The stream ended inside a message.
    #[error("the stream ended inside a message")]
    Truncated,
    /// Not HTTP/1.
    #[error("not an HTTP/1 message: {0}")]
    Malformed(String),
    /// The stream failed.
    #[error(transparent)]
    Stream(#[from] io::Error),
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) method: String,
    pub(crate) target: String,
    /// 0 or 1: HTTP/1.0 or HTTP/1.1.
    pub(crate) minor: u8,
    pub(crate) headers: Headers,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) minor: u8,
    pub(crate) headers: Headers,
}

/// How far a body reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    UntilClosed,
}

/// The first value of a header.
pub(crate) fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Whether the sender of this head means to go on with the connection.
pub(crate) fn keeps_alive(minor: u8, headers: &Headers) -> bool {
    match header(headers, "connection") {
        Some(value) if value.eq_ignore_ascii_case("close") => false,
        Some(value) if value.eq_ignore_ascii_case("keep-alive") => true,
        _ => minor == 1,
    }
}

impl RequestHead {
    pub(crate) fn framing(&self) -> Result<Framing, MessageError> {
        Ok(declared_framing(&self.headers)?.unwrap_or(Framing::Length(0)))
    }
}

impl ResponseHead {
    /// `head_only` when the request was a HEAD.
    pub(crate) fn framing(&self, head_only: bool) -> Result<Framing, MessageError> {
        if head_only || self.status < 200 || self.status == 204 || self.status == 304 {
            return Ok(Framing::Length(0));
        }
        Ok(declared_framing(&self.headers)?.unwrap_or(Framing::UntilClosed))
    }
}

fn declared_framing(headers: &Headers) -> Result<Option<Framing>, MessageError> {
    if header(headers, "transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked")) {
        return Ok(Some(Framing::Chunked));
    }
    let Some(length) = header(headers, "content-length") else { return Ok(None) };
    let length = length.trim().parse().map_err(|_| MessageError::Malformed(format!("content-length {length}")))?;
    Ok(Some(Framing::Length(length)))
}

/// A connection that carries messages one after another.
pub(crate) struct Messages<S> {
    wire: Wire<S>,
    unread: BytesMut,
    /// What followed the last chunked body.
    trailers: Headers,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Messages<S> {
    pub(crate) fn new(wire: Wire<S>) -> Self {
        Messages { wire, unread: BytesMut::new(), trailers: Headers::new() }
    }

    pub(crate) fn wire(&self) -> &Wire<S> {
        &self.wire
    }

    pub(crate) fn into_wire(self) -> Wire<S> {
        self.wire
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes).await?;
        self.wire.flush().await
    }

    /// Finishes our direction.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.wire.shutdown().await
    }

    /// Completes when the other side closes or says something: on an idle connection either means it is of no more use.
    pub(crate) async fn stirred(&mut self) {
        if self.unread.is_empty() {
            let _ = self.more().await;
        }
    }

    pub(crate) async fn read_request(&mut self) -> Result<RequestHead, MessageError> {
        self.head(|bytes| {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request.parse(bytes).map_err(malformed)?;
            Ok(match parsed {
                httparse::Status::Partial => None,
                httparse::Status::Complete(length) => Some((
                    length,
                    RequestHead {
                        method: request.method.unwrap_or_default().to_owned(),
                        target: request.path.unwrap_or_default().to_owned(),
                        minor: request.version.unwrap_or(1),
                        headers: owned(request.headers),
                    },
                )),
            })
        })
        .await
    }

    pub(crate) async fn read_response(&mut self) -> Result<ResponseHead, MessageError> {
        self.head(|bytes| {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut response = httparse::Response::new(&mut headers);
            let parsed = response.parse(bytes).map_err(malformed)?;
            Ok(match parsed {
                httparse::Status::Partial => None,
                httparse::Status::Complete(length) => Some((
                    length,
                    ResponseHead {
                        status: response.code.unwrap_or_default(),
                        minor: response.version.unwrap_or(1),
                        headers: owned(response.headers),
                    },
                )),
            })
        })
        .await
    }

    async fn head<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Option<(usize, T)>, MessageError>,
    ) -> Result<T, MessageError> {
        loop {
            if !self.unread.is_empty()
                && let Some((length, head)) = parse(&self.unread)?
            {
                self.unread.advance(length);
                return Ok(head);
            }
            if self.unread.len() > HEAD_MAX {
                return Err(MessageError::Malformed(format!("a head of more than {HEAD_MAX} bytes")));
            }
            if self.more().await? == 0 {
                return Err(if self.unread.is_empty() { MessageError::Ended } else { MessageError::Truncated });
            }
        }
    }

    /// What followed the body that was read last.
    pub(crate) fn take_trailers(&mut self) -> Headers {
        std::mem::take(&mut self.trailers)
    }

    /// Reads exactly so many bytes, whatever they mean: for what a connection was upgraded to.
    pub(crate) async fn bytes(&mut self, count: usize) -> Result<Bytes, MessageError> {
        while self.unread.len() < count {
            if self.more().await? == 0 {
                return Err(if self.unread.is_empty() { MessageError::Ended } else { MessageError::Truncated });
            }
        }
        Ok(self.unread.split_to(count).freeze())
    }

    /// Reads a body to its end: how long it was, and its first `keep` bytes.
    pub(crate) async fn read_body(&mut self, framing: Framing, keep: usize) -> Result<(u64, Bytes), MessageError> {
        let mut body = Body { bytes: 0, kept: BytesMut::new(), keep };
        match framing {
            Framing::Length(length) => self.take_into(length, &mut body).await?,
            Framing::UntilClosed => loop {
                body.add(&self.unread);
                self.unread.clear();
                if self.more().await? == 0 {
                    break;
                }
            },
            Framing::Chunked => loop {
                let size = self.chunk_size().await?;
                if size == 0 {
                    loop {
                        let line = self.line().await?;
                        if line.is_empty() {
                            break;
                        }
                        let line = String::from_utf8_lossy(&line).into_owned();
                        if let Some((name, value)) = line.split_once(':') {
                            self.trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                        }
                    }
                    break;
                }
                self.take_into(size, &mut body).await?;
                self.line().await?;
            },
        }
        Ok((body.bytes, body.kept.freeze()))
    }

    async fn take_into(&mut self, length: u64, body: &mut Body) -> Result<(), MessageError> {
        let mut missing = length;
        while missing > 0 {
            if self.unread.is_empty() && self.more().await? == 0 {
                return Err(MessageError::Truncated);
            }
            let count = self.unread.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
            body.add(&self.unread[..count]);
            self.unread.advance(count);
            missing -= count as u64;
        }
        Ok(())
    }

    async fn chunk_size(&mut self) -> Result<u64, MessageError> {
        let line = self.line().await?;
        let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
        std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
            .ok_or_else(|| MessageError::Malformed("a chunk size".to_owned()))
    }

    /// A line without its end.
    async fn line(&mut self) -> Result<Vec<u8>, MessageError> {
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line = self.unread.split_to(end + 1);
                return Ok(line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]).to_vec());
            }
            if self.unread.len() > HEAD_MAX {
                return Err(MessageError::Malformed("a line without an end".to_owned()));
            }
            if self.more().await? == 0 {
                return Err(MessageError::Truncated);
            }
        }
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.unread.reserve(FIRST_READ);
        self.wire.read_buf(&mut self.unread).await
    }
}

struct Body {
    bytes: u64,
    kept: BytesMut,
    keep: usize,
}

impl Body {
    fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        let room = self.keep.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&data[..data.len().min(room)]);
    }
}

fn malformed(error: httparse::Error) -> MessageError {
    MessageError::Malformed(error.to_string())
}

fn owned(headers: &[httparse::Header<'_>]) -> Headers {
    headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned()))
        .collect()
}

/// The reason phrase of a status; only there for people reading captures.
pub(crate) fn phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Status")
}
