//! gRPC on the server's side: every method of every service echoes, message by message, unary and streaming alike.

use bytes::Bytes;
use proxy_core::Host;
use proxy_core::grpc::percent_encode;

use super::behaviour::{Answer, Failure, GrpcEnd, Role};
use super::grpc::{Deframer, framed, text_message};
use super::http2_server::{Http2Stream, put};
use super::server::{Server, think};
use super::{echo, ext_authz, protobuf};

/// The one method of an external authorization provider.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const INTERNAL: u32 = 13;
const INVALID_ARGUMENT: u32 = 3;

/// Answers one call: each message comes back in an answer that also tells what was received.
pub(crate) async fn serve<H: Host>(server: &Server<H>, stream: Http2Stream, failure: Option<Failure>) {
    let Http2Stream { head, mut body, mut respond, peer } = stream;
    let behaviour = &server.behaviour;
    let end = match failure {
        Some(Failure::Grpc(status)) => GrpcEnd { status, message: "failed as the scenario says".to_owned() },
        _ => behaviour.grpc.clone(),
    };
    let mut deframer = Deframer::default();
    let mut sender: Option<h2::SendStream<Bytes>> = None;
    let mut answers = false;
    loop {
        let message = match deframer.next() {
            Ok(Some(message)) => message,
            Ok(None) => match body.data().await {
                Some(Ok(data)) => {
                    let _ = body.flow_control().release_capacity(data.len());
                    deframer.add(&data);
                    continue;
                }
                Some(Err(_)) => return,
                None => break,
            },
            Err(error) => return finish(server, respond, sender, &GrpcEnd { status: INTERNAL, message: error }),
        };
        if !std::mem::replace(&mut answers, true) {
            think(server).await;
            if behaviour.answer == Answer::Never {
                let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
                return;
            }
        }
        if end.status != 0 {
            break;
        }
        let reply = if behaviour.role == Role::ExternalAuthorization && head.path == CHECK {
            let Some(reply) = ext_authz::grpc_check(&message) else {
                let message = "not a CheckRequest".to_owned();
                return finish(server, respond, sender, &GrpcEnd { status: INVALID_ARGUMENT, message });
            };
            reply
        } else {
            let text = protobuf::text(&message, 1);
            let own = behaviour.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
            let echoed = || echo::answer(&server.pod, &head, peer.ip(), behaviour.body_bytes, Some(&text));
            text_message(&own.unwrap_or_else(|| String::from_utf8_lossy(&echoed()).into_owned()))
        };
        if sender.is_none() {
            sender = respond.send_response(response(server), false).ok();
        }
        let Some(sender) = &mut sender else { return };
        if sender.send_data(framed(&reply), false).is_err() {
            return;
        }
    }
    finish(server, respond, sender, &end);
}

fn response<H: Host>(server: &Server<H>) -> http::Response<()> {
    let mut response = http::Response::new(());
    put(response.headers_mut(), &[("content-type".to_owned(), "application/grpc".to_owned())]);
    put(response.headers_mut(), &server.behaviour.headers);
    response
}

/// Ends the call: trailers after what was sent, or, if nothing was and it failed, trailers only.
fn finish<H: Host>(
    server: &Server<H>,
    mut respond: h2::server::SendResponse<Bytes>,
    sender: Option<h2::SendStream<Bytes>>,
    end: &GrpcEnd,
) {
    let mut told = vec![("grpc-status".to_owned(), end.status.to_string())];
    if !end.message.is_empty() {
        told.push(("grpc-message".to_owned(), percent_encode(&end.message, usize::MAX)));
    }
    told.extend(server.behaviour.trailers.iter().cloned());
    if sender.is_none() && end.status != 0 {
        let mut only = response(server);
        put(only.headers_mut(), &told);
        let _ = respond.send_response(only, true);
        return;
    }
    let Some(mut sender) = sender.or_else(|| respond.send_response(response(server), false).ok()) else { return };
    let mut trailers = http::HeaderMap::new();
    put(&mut trailers, &told);
    let _ = sender.send_trailers(trailers);
}
