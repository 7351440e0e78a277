//! The HTTP side of an echo server: HTTP/1.1, and HTTP/2 with prior knowledge.

use bytes::Bytes;
use proxy_core::Host;
use proxy_core::host::Stream;

use super::behaviour::Answer;
use super::echo::{self, Received};
use super::flow::ending_of;
use super::http1::{Headers, MessageError, Messages, RequestHead, header, keeps_alive, phrase};
use super::server::{Server, Session, think};
use super::wire::Wire;
use crate::record::Ending;

/// Answers requests one after another until the client is done.
pub(crate) async fn serve_http1<H: Host>(mut session: Session<H>, wire: Wire<H::Tcp>) {
    let mut messages = Messages::new(wire);
    let ending = match converse(&mut session, &mut messages).await {
        Ok(Next::Close) => {
            let _ = messages.finish().await;
            Ending::Finished
        }
        Ok(Next::Drop) => Ending::ClosedByUs,
        Ok(Next::Reset) => {
            session.end.ended(Ending::ClosedByUs);
            return messages.into_wire().into_inner().reset();
        }
        Err(MessageError::Ended) => Ending::Finished,
        Err(MessageError::Truncated) => Ending::ClosedByPeer,
        Err(MessageError::Malformed(_)) => {
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = messages.write(answer).await;
            Ending::ClosedByUs
        }
        Err(MessageError::Stream(error)) => ending_of(&error),
    };
    session.end.ended(ending);
}

enum Next {
    Close,
    Drop,
    Reset,
}

async fn converse<H: Host>(session: &mut Session<H>, messages: &mut Messages<H::Tcp>) -> Result<Next, MessageError> {
    loop {
        let head = messages.read_request().await?;
        if let Some(flow) = echo::flow_of(&head.headers) {
            session.accepted(flow);
        }
        messages.read_body(head.framing()?, 0).await?;
        session.think().await;
        let behaviour = session.server.behaviour.clone();
        match behaviour.answer {
            Answer::Never => {
                messages.stirred().await;
                return Err(MessageError::Ended);
            }
            Answer::Close => return Ok(Next::Drop),
            Answer::Reset => return Ok(Next::Reset),
            Answer::Echo | Answer::EchoThenClose | Answer::HalfClose => {}
        }
        let goes_on = keeps_alive(head.minor, &head.headers) && behaviour.answer == Answer::Echo;
        messages.write(&response(session, &head, goes_on)).await?;
        if !goes_on {
            return Ok(Next::Close);
        }
    }
}

fn response<H: Host>(session: &Session<H>, head: &RequestHead, goes_on: bool) -> Vec<u8> {
    let behaviour = &session.server.behaviour;
    let received = Received {
        method: &head.method,
        path: &head.target,
        host: header(&head.headers, "host").unwrap_or_default(),
        proto: if head.minor == 0 { "HTTP/1.0" } else { "HTTP/1.1" },
        headers: &head.headers,
        source_ip: session.peer.ip(),
    };
    let body = echo::answer(&session.server.pod, &received, behaviour.body_bytes);
    let close = if goes_on { "" } else { "connection: close\r\n" };
    let mut response = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{close}\r\n",
        behaviour.status,
        phrase(behaviour.status),
        body.len(),
    )
    .into_bytes();
    if head.method != "HEAD" {
        response.extend_from_slice(&body);
    }
    response
}

/// Answers streams, each in its own task, until the client is done.
pub(crate) async fn serve_http2<H: Host>(mut session: Session<H>, wire: Wire<H::Tcp>) {
    let mut connection = match h2::server::handshake(wire).await {
        Ok(connection) => connection,
        Err(error) => {
            session.end.ended(http2_ending(&error));
            return;
        }
    };
    let behaviour = session.server.behaviour.clone();
    while let Some(stream) = connection.accept().await {
        let (request, respond) = match stream {
            Ok(stream) => stream,
            Err(error) => {
                session.end.ended(http2_ending(&error));
                return;
            }
        };
        let (head, body) = request.into_parts();
        let headers = plain_headers(&head.headers);
        if let Some(flow) = echo::flow_of(&headers) {
            session.accepted(flow);
        }
        match behaviour.answer {
            Answer::Close => {
                session.end.ended(Ending::ClosedByUs);
                return;
            }
            Answer::EchoThenClose | Answer::HalfClose => connection.graceful_shutdown(),
            Answer::Echo | Answer::Never | Answer::Reset => {}
        }
        let stream = Http2Stream { head, headers, body, respond, peer: session.peer };
        session.server.host.spawn("echo stream", answer_http2(session.server.clone(), stream));
    }
    session.end.ended(Ending::Finished);
}

struct Http2Stream {
    head: http::request::Parts,
    headers: Headers,
    body: h2::RecvStream,
    respond: h2::server::SendResponse<Bytes>,
    peer: std::net::SocketAddr,
}

async fn answer_http2<H: Host>(server: Server<H>, mut stream: Http2Stream) {
    while let Some(Ok(data)) = stream.body.data().await {
        let _ = stream.body.flow_control().release_capacity(data.len());
    }
    think(&server).await;
    match server.behaviour.answer {
        Answer::Never => {
            let _ = std::future::poll_fn(|context| stream.respond.poll_reset(context)).await;
            return;
        }
        Answer::Reset => return stream.respond.send_reset(h2::Reason::INTERNAL_ERROR),
        _ => {}
    }
    let uri = &stream.head.uri;
    let received = Received {
        method: stream.head.method.as_str(),
        path: uri.path_and_query().map_or("/", |path| path.as_str()),
        host: uri.authority().map_or("", |authority| authority.as_str()),
        proto: "HTTP/2",
        headers: &stream.headers,
        source_ip: stream.peer.ip(),
    };
    let body = echo::answer(&server.pod, &received, server.behaviour.body_bytes);
    let response = http::Response::builder()
        .status(server.behaviour.status)
        .header("content-type", "application/json")
        .header("content-length", body.len());
    let Ok(response) = response.body(()) else { return };
    let Ok(mut sender) = stream.respond.send_response(response, false) else { return };
    let _ = sender.send_data(Bytes::from(body), true);
}

/// Names and values as text, in order.
pub(crate) fn plain_headers(headers: &http::HeaderMap) -> Headers {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

/// How an HTTP/2 error ended the connection.
pub(crate) fn http2_ending(error: &h2::Error) -> Ending {
    match error.get_io() {
        Some(error) => ending_of(error),
        None if error.is_go_away() => Ending::ClosedByPeer,
        None => Ending::ResetByPeer,
    }
}
