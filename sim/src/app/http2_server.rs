//! The HTTP/2 side of a server: prior knowledge, a task for each stream; gRPC is told by its content type.

use std::sync::Arc;

use bytes::Bytes;
use proxy_core::Host;

use super::answer::{Fate, Reply, failure_of, fate};
use super::behaviour::{Answer, Failure};
use super::flow::ending_of;
use super::http1::Headers;
use super::raw_server::{chunk_at, time_for};
use super::server::{Server, Session, think};
use super::wire::Wire;
use super::{echo, grpc, grpc_server};
use crate::record::{Ending, ReceivedHead};

/// One request of a connection.
pub(crate) struct Http2Stream {
    pub(crate) head: Arc<ReceivedHead>,
    pub(crate) body: h2::RecvStream,
    pub(crate) respond: h2::server::SendResponse<Bytes>,
    pub(crate) peer: std::net::SocketAddr,
}

/// Answers streams, each in its own task, until the client is done.
pub(crate) async fn serve<H: Host>(mut session: Session<H>, wire: Wire<H::Tcp>) {
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
        let head = Arc::new(received(&head));
        if let Some(flow) = echo::flow_of(&head.headers) {
            session.accepted(flow, Some(head.clone()));
        }
        match behaviour.answer {
            Answer::Close => {
                session.end.ended(Ending::ClosedByUs);
                return;
            }
            Answer::EchoThenClose | Answer::HalfClose => connection.graceful_shutdown(),
            Answer::Echo | Answer::Never | Answer::Reset => {}
        }
        let stream = Http2Stream { head, body, respond, peer: session.peer };
        session.server.host.spawn("echo stream", answer(session.server.clone(), stream));
    }
    session.end.ended(Ending::Finished);
}

fn received(head: &http::request::Parts) -> ReceivedHead {
    ReceivedHead {
        method: head.method.as_str().to_owned(),
        path: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        host: head.uri.authority().map_or("", |authority| authority.as_str()).to_owned(),
        proto: "HTTP/2",
        headers: plain_headers(&head.headers),
    }
}

async fn answer<H: Host>(server: Server<H>, mut stream: Http2Stream) {
    let failure = failure_of(&server, &stream.head);
    let plain = matches!(failure, None | Some(Failure::Grpc(_)));
    if plain && server.behaviour.answer != Answer::Reset && grpc::is_grpc(&stream.head.headers) {
        return grpc_server::serve(&server, stream, failure).await;
    }
    while let Some(Ok(data)) = stream.body.data().await {
        let _ = stream.body.flow_control().release_capacity(data.len());
    }
    think(&server).await;
    match fate(&server, &stream.head, stream.peer.ip(), failure) {
        Fate::Never => {
            let _ = std::future::poll_fn(|context| stream.respond.poll_reset(context)).await;
        }
        Fate::Reset => stream.respond.send_reset(h2::Reason::INTERNAL_ERROR),
        Fate::Close => stream.respond.send_reset(h2::Reason::REFUSED_STREAM),
        Fate::Reply(reply) => {
            let no_body = stream.head.method == "HEAD" || !reply.has_body();
            let _ = send(&server, &mut stream.respond, reply, no_body).await;
        }
    }
}

async fn send<H: Host>(
    server: &Server<H>,
    respond: &mut h2::server::SendResponse<Bytes>,
    reply: Reply,
    no_body: bool,
) -> Result<(), h2::Error> {
    let mut response = http::Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(reply.status).unwrap_or_default();
    let (own, more) = reply.headers.split_at(reply.headers.len().min(1));
    put(response.headers_mut(), own);
    if reply.has_body() {
        put(response.headers_mut(), &[("content-length".to_owned(), reply.body.len().to_string())]);
    }
    put(response.headers_mut(), more);
    let mut sender = respond.send_response(response, no_body)?;
    if no_body {
        return Ok(());
    }
    let mut rest = reply.body;
    if let Some(rate) = server.behaviour.body_rate {
        while rest.len() > chunk_at(rate) {
            let part = rest.split_to(chunk_at(rate));
            let pause = time_for(part.len(), rate);
            sender.send_data(part, false)?;
            server.host.sleep(pause).await;
        }
    }
    sender.send_data(rest, reply.trailers.is_empty())?;
    if !reply.trailers.is_empty() {
        let mut trailers = http::HeaderMap::new();
        put(&mut trailers, &reply.trailers);
        sender.send_trailers(trailers)?;
    }
    Ok(())
}

/// Adds headers. What was checked when the scenario was read cannot fail here; what was not is left out.
pub(crate) fn put(map: &mut http::HeaderMap, headers: &[(String, String)]) {
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), http::HeaderValue::from_str(value)) {
            map.append(name, value);
        }
    }
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
