//! [`Surface`]: HTTP/1.1 enough for tools and probes.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::host::{Host, Listener, timer};

/// From the first byte of a request to the end of its head.
const HEAD_LIMIT: Duration = Duration::from_secs(2);
/// Between requests of one connection, and for an answer to be taken.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const HEAD_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;
/// Bytes of a body, which nobody reads.
const BODY_MAX: usize = 64 << 10;
/// Connections at once.
const CONNECTIONS_MAX: usize = 256;
/// After a failed accept.
const BACKOFF: Duration = Duration::from_millis(100);

/// A request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As sent: `GET`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// After the `?`, if there is one.
    pub query: Option<String>,
    /// Every `Accept` header.
    pub accept: Vec<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// `Content-Type`, unless empty.
    pub content_type: &'static str,
    /// Body.
    pub body: String,
}

impl Reply {
    /// Plain text.
    pub fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Reply { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }

    /// No body.
    pub fn empty(status: StatusCode) -> Self {
        Reply { status, content_type: "", body: String::new() }
    }
}

/// A listener that answers requests with a plain function.
pub struct Surface;

impl Surface {
    /// Answers what comes to `listener` until the host's process ends.
    pub fn start<H: Host>(
        host: &H,
        name: &'static str,
        listener: H::Listener,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) {
        let (own, answer) = (host.clone(), Arc::new(answer));
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        host.spawn(name, async move {
            loop {
                let Ok(place) = places.clone().acquire_owned().await else { return };
                match listener.accept().await {
                    Ok(accepted) => {
                        let (host, answer) = (own.clone(), answer.clone());
                        own.spawn("http surface", async move {
                            serve(&host, accepted.stream, &*answer).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::debug!(%error, "an http surface cannot accept");
                        own.sleep(BACKOFF).await;
                    }
                }
            }
        });
    }
}

async fn serve<H: Host>(host: &H, mut stream: H::Tcp, answer: &(impl Fn(&Request) -> Reply + ?Sized)) {
    let mut buffer = Vec::new();
    loop {
        if buffer.is_empty() {
            let first = timer::timeout(host, IDLE_LIMIT, stream.read_buf(&mut buffer)).await;
            if !matches!(first, Ok(Ok(1..))) {
                return;
            }
        }
        let head = timer::timeout(host, HEAD_LIMIT, head(&mut stream, &mut buffer)).await;
        let (reply, keep, is_head) = match head {
            Err(timer::Elapsed) | Ok(None) => return,
            Ok(Some(Err(status))) => (Reply::empty(status), false, false),
            Ok(Some(Ok(read))) => {
                let body = timer::timeout(host, HEAD_LIMIT, skip(&mut stream, &mut buffer, read.body)).await;
                if !matches!(body, Ok(true)) {
                    return;
                }
                (answer(&read.request), read.keep, read.request.method == "HEAD")
            }
        };
        let bytes = write(&reply, keep, is_head);
        let sent = timer::timeout(host, IDLE_LIMIT, stream.write_all(&bytes)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
        if !keep {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

/// A head, read.
struct Head {
    request: Request,
    /// Bytes of body that follow.
    body: usize,
    keep: bool,
}

/// `None` when the connection ends before the head does.
async fn head(stream: &mut (impl AsyncReadExt + Unpin), buffer: &mut Vec<u8>) -> Option<Result<Head, StatusCode>> {
    loop {
        match parse(buffer) {
            Ok(Some((head, length))) => {
                buffer.drain(..length);
                return Some(Ok(head));
            }
            Ok(None) if buffer.len() >= HEAD_MAX => return Some(Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)),
            Ok(None) => {}
            Err(status) => return Some(Err(status)),
        }
        match stream.read_buf(buffer).await {
            Ok(1..) => {}
            _ => return None,
        }
    }
}

/// A head and its length; `None` while it is not whole.
fn parse(buffer: &[u8]) -> Result<Option<(Head, usize)>, StatusCode> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(StatusCode::BAD_REQUEST),
    };
    let (mut body, mut keep, mut accept) = (0, parsed.version == Some(1), Vec::new());
    for header in parsed.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => body = value.trim().parse().map_err(|_| StatusCode::BAD_REQUEST)?,
            "transfer-encoding" => return Err(StatusCode::LENGTH_REQUIRED),
            "connection" => keep &= !value.eq_ignore_ascii_case("close"),
            "accept" => accept.push(value.into_owned()),
            _ => {}
        }
    }
    if body > BODY_MAX {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let target = parsed.path.unwrap_or("/");
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.to_owned())));
    let method = parsed.method.unwrap_or_default().to_owned();
    let request = Request { method, path: path.to_owned(), query, accept };
    Ok(Some((Head { request, body, keep }, length)))
}

/// Passes over a body. False when the connection ends first.
async fn skip(stream: &mut (impl AsyncReadExt + Unpin), buffer: &mut Vec<u8>, length: usize) -> bool {
    while buffer.len() < length {
        if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
            return false;
        }
    }
    buffer.drain(..length);
    true
}

fn write(reply: &Reply, keep: bool, is_head: bool) -> Vec<u8> {
    let status = reply.status;
    let reason = status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    if !reply.content_type.is_empty() {
        text.push_str(&format!("content-type: {}\r\n", reply.content_type));
    }
    if !keep {
        text.push_str("connection: close\r\n");
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", reply.body.len()));
    if !is_head {
        text.push_str(&reply.body);
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Request {
        parse(text.as_bytes()).ok().flatten().unwrap().0.request
    }

    #[test]
    fn a_head_is_split_into_what_answers_depend_on() {
        let request = read("POST /logging?level=debug HTTP/1.1\r\nhost: x\r\nAccept: a\r\naccept: b\r\n\r\n");
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/logging"));
        assert_eq!(request.query.as_deref(), Some("level=debug"));
        assert_eq!(request.accept, ["a", "b"]);
    }

    #[test]
    fn nonsense_and_bodies_of_unknown_length_are_refused() {
        let refused = |text: &str| parse(text.as_bytes()).err();
        assert_eq!(refused("\x16\x03\x01\x02\x00garbage\r\n\r\n"), Some(StatusCode::BAD_REQUEST));
        assert_eq!(refused("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"), Some(StatusCode::LENGTH_REQUIRED));
        assert_eq!(refused("POST / HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n"), Some(StatusCode::PAYLOAD_TOO_LARGE));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_read_refused_or_waited_for(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
