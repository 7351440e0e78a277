//! HTTP/2 on the client's side: plain requests and gRPC calls, several at a time on one connection.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use proxy_core::Host;

use super::client::Client;
use super::flow::FLOW_HEADER;
use super::grpc::{self, Deframer, GrpcCall, framed, text_message};
use super::http_client::{
    BODY_KEPT, Failure, HttpAnswer, HttpConnection, HttpExchange, HttpRequest, Kept, RequestKind,
};
use super::http1::Headers;
use super::http2_server::{http2_ending, plain_headers, put};
use super::protobuf;
use super::wire::Tallies;
use crate::record::{Ending, FlowId};

/// An open connection; clones are the same one.
#[derive(Clone)]
pub(super) struct Http2Connection {
    sender: h2::client::SendRequest<Bytes>,
    tallies: Tallies,
    first: FlowId,
    local: SocketAddr,
    to: SocketAddr,
}

impl<H: Host> Client<H> {
    pub(super) async fn http2(
        &self,
        request: &HttpRequest,
        slot: &mut Option<HttpConnection<H>>,
        exchange: &mut HttpExchange,
    ) -> Result<(), Failure> {
        let failed = |error: h2::Error| Failure::Ending(http2_ending(&error), error.to_string());
        let kept = match slot {
            Some(HttpConnection(Kept::Http2(connection))) => Some(connection.clone()),
            _ => None,
        };
        // A connection the server has given up is replaced, as HTTP clients do.
        let ready = match kept {
            Some(connection) => connection.sender.clone().ready().await.ok().map(|sender| (connection, sender)),
            None => None,
        };
        let (connection, sender, before) = match ready {
            Some((connection, sender)) => {
                self.reused(exchange.flow, connection.first, connection.to, request);
                let before = connection.tallies.bytes();
                (connection, sender, before)
            }
            None => {
                let connection = self.open_http2(request, exchange).await?;
                let sender = connection.sender.clone();
                *slot = Some(HttpConnection(Kept::Http2(connection.clone())));
                (connection, sender.ready().await.map_err(failed)?, (0, 0))
            }
        };
        (exchange.local, exchange.dialled) = (Some(connection.local), Some(connection.to));
        let head = head(request, exchange.flow);
        let result = match &request.kind {
            RequestKind::Grpc(call) => call_grpc(sender, head, call).await,
            RequestKind::Plain | RequestKind::WebSocket(_) => ask(sender, head, request.body.clone()).await,
        };
        let after = connection.tallies.bytes();
        (exchange.bytes_sent, exchange.bytes_received) = (after.0 - before.0, after.1 - before.1);
        exchange.answer = Some(result?);
        Ok(())
    }

    async fn open_http2(&self, request: &HttpRequest, exchange: &mut HttpExchange) -> Result<Http2Connection, Failure> {
        let opened = self.open(exchange.flow, &request.target).await.map_err(Failure::from)?;
        (exchange.local, exchange.dialled) = (Some(opened.local), Some(opened.to));
        let tallies = opened.wire.tallies().clone();
        let mut end = opened.end;
        let handshake = h2::client::handshake(opened.wire).await;
        let (sender, connection) =
            handshake.map_err(|error| Failure::Ending(http2_ending(&error), error.to_string()))?;
        self.host.spawn("h2c client connection", async move {
            end.ended(match connection.await {
                Ok(()) => Ending::Finished,
                Err(error) => http2_ending(&error),
            });
        });
        Ok(Http2Connection { sender, tallies, first: exchange.flow, local: opened.local, to: opened.to })
    }
}

fn failed(error: h2::Error) -> Failure {
    Failure::Ending(http2_ending(&error), error.to_string())
}

async fn ask(
    mut sender: h2::client::SendRequest<Bytes>,
    head: http::Request<()>,
    body: Bytes,
) -> Result<HttpAnswer, Failure> {
    let ends_here = body.is_empty();
    let (answer, mut stream) = sender.send_request(head, ends_here).map_err(failed)?;
    if !ends_here {
        stream.send_data(body, true).map_err(failed)?;
    }
    let (head, mut body) = answer.await.map_err(failed)?.into_parts();
    let mut kept = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(failed)?;
        kept.extend_from_slice(&data[..data.len().min(BODY_KEPT - kept.len())]);
        body.flow_control().release_capacity(data.len()).map_err(failed)?;
    }
    let trailers = body.trailers().await.map_err(failed)?.map(|trailers| plain_headers(&trailers)).unwrap_or_default();
    let headers = plain_headers(&head.headers);
    let status = head.status.as_u16();
    Ok(HttpAnswer { status, headers, body: kept.into(), trailers, grpc: None, messages: None })
}

async fn call_grpc(
    mut sender: h2::client::SendRequest<Bytes>,
    head: http::Request<()>,
    call: &GrpcCall,
) -> Result<HttpAnswer, Failure> {
    let (answer, mut stream) = sender.send_request(head, false).map_err(failed)?;
    let message = framed(&text_message(&call.message));
    // A call that has ended already takes no more: its answer says why.
    let mut send = |left: u32| match left {
        0 => stream.send_data(Bytes::new(), true).is_ok(),
        left => stream.send_data(message.clone(), left == 1).is_ok(),
    };
    let mut left = call.messages;
    let mut open = send(left) && left > 1;
    left = left.saturating_sub(1);
    let (head, mut body) = answer.await.map_err(failed)?.into_parts();
    let headers = plain_headers(&head.headers);
    let is_grpc = grpc::is_grpc(&headers);
    let (mut deframer, mut texts, mut came) = (Deframer::default(), BytesMut::new(), 0);
    while let Some(data) = body.data().await {
        let data = data.map_err(failed)?;
        body.flow_control().release_capacity(data.len()).map_err(failed)?;
        if !is_grpc {
            texts.extend_from_slice(&data[..data.len().min(BODY_KEPT - texts.len())]);
            continue;
        }
        deframer.add(&data);
        while let Some(message) = deframer.next().map_err(|error| Failure::Ending(Ending::ClosedByUs, error))? {
            came += 1;
            let text = protobuf::text(&message, 1);
            if texts.len() + text.len() < BODY_KEPT {
                if came > 1 {
                    texts.extend_from_slice(b"\n");
                }
                texts.extend_from_slice(text.as_bytes());
            }
            if open {
                open = send(left) && left > 1;
                left -= 1;
            }
        }
    }
    let trailers = body.trailers().await.map_err(failed)?.map(|trailers| plain_headers(&trailers)).unwrap_or_default();
    let status = head.status.as_u16();
    let grpc = Some(grpc::answer_of(status, &headers, &trailers, came));
    Ok(HttpAnswer { status, headers, body: texts.freeze(), trailers, grpc, messages: None })
}

// What was checked when the scenario was read cannot fail here; what was not is left out.
fn head(request: &HttpRequest, flow: FlowId) -> http::Request<()> {
    let host = request.headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone());
    let authority = host.unwrap_or_else(|| request.target.authority());
    let mut head = http::Request::new(());
    *head.method_mut() = http::Method::from_bytes(request.method.as_bytes()).unwrap_or_default();
    *head.uri_mut() = format!("http://{authority}{}", request.target.path).parse().unwrap_or_default();
    *head.version_mut() = http::Version::HTTP_2;
    put(head.headers_mut(), &[(FLOW_HEADER.to_owned(), flow.to_string())]);
    if matches!(request.kind, RequestKind::Grpc(_)) {
        let own = [("content-type", "application/grpc"), ("te", "trailers")];
        put(head.headers_mut(), &own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    let further: Headers = request.headers.iter().filter(|(name, _)| name != "host").cloned().collect();
    put(head.headers_mut(), &further);
    head
}
