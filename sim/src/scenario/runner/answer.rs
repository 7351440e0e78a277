//! HTTP requests and their answers, as they are written down.

use proxy_core::host::Instant;

use super::Runner;
use super::doing::Requests;
use super::outcome::Client;
use crate::app::{EchoAnswer, HttpAnswer, HttpExchange, POD_HEADER, grpc_code_name};
use crate::ground::Ground;
use crate::record::{Backend, GrpcResult, ReceivedCopy, RequestResult};
use crate::scenario::decision::decisions;
use crate::scenario::path::{Asked, ServerSide};

impl<G: Ground> Runner<'_, G> {
    pub(super) fn request(
        &self,
        client: &str,
        requests: &Requests,
        exchange: &HttpExchange,
        step: Instant,
    ) -> RequestResult {
        let answer = exchange.answer.as_ref();
        let seen = Client {
            name: client.to_owned(),
            target: &requests.target,
            flow: exchange.flow,
            started: exchange.started,
            ended: exchange.ended,
            local: exchange.local,
            outcome: exchange.outcome,
            error: exchange.error.as_deref(),
        };
        let backend = answer.and_then(backend_of);
        let id = self.paths.servers(exchange.flow).iter().find_map(|side| {
            let head = side.request.as_ref()?;
            head.headers.iter().find(|(name, _)| name == "x-request-id").map(|(_, value)| value.as_str())
        });
        let asked = Asked {
            method: &requests.method,
            path: &requests.path,
            id,
            started: exchange.started,
            ended: exchange.ended,
        };
        let path = exchange.local.map(|local| self.paths.of_request(local, step, &asked)).unwrap_or_default();
        let mut result = self.result_of_path(&seen, &path, backend, answer.map(|answer| answer.status));
        if let Some(answer) = answer {
            result.headers = answer.headers.iter().filter(|(name, _)| name != POD_HEADER).cloned().collect();
            result.body = String::from_utf8_lossy(&answer.body).into_owned();
            result.trailers = answer.trailers.clone();
            result.messages = answer.messages;
            result.grpc = answer.grpc.as_ref().map(|grpc| GrpcResult {
                status: grpc_code_name(grpc.status),
                code: grpc.status,
                message: grpc.message.clone(),
                messages: grpc.messages,
            });
            if let Some(grpc) = &result.grpc {
                let message = if grpc.message.is_empty() { String::new() } else { format!(": {}", grpc.message) };
                result.explanation = format!("gRPC {}{message}, {}", grpc.status, result.explanation);
            }
        }
        (result.bytes_sent, result.bytes_received) = (exchange.bytes_sent, exchange.bytes_received);
        if requests.explain || self.options.explain {
            result.decisions = decisions(&path);
        }
        result
    }
}

/// Who answered, as the answer says.
fn backend_of(answer: &HttpAnswer) -> Option<Backend> {
    let named = answer.headers.iter().find(|(name, _)| name == POD_HEADER);
    if let Some((_, value)) = named {
        let mut parts = value.split(' ').map(str::to_owned);
        let (namespace, pod, node, source_ip) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        return Some(Backend { namespace, pod, node, source_ip });
    }
    // Of a stream of answers, each tells the same.
    let first = answer.body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    EchoAnswer::read(first).map(|echo| Backend {
        namespace: echo.namespace.into_owned(),
        pod: echo.pod.into_owned(),
        node: echo.node.into_owned(),
        source_ip: echo.source_ip.into_owned(),
    })
}

/// The servers a request reached, if there were several.
pub(super) fn copies(servers: &[ServerSide]) -> Vec<ReceivedCopy> {
    if servers.len() < 2 {
        return Vec::new();
    }
    let copy = |side: &ServerSide| ReceivedCopy {
        at_ns: side.at.as_nanos(),
        server: side.pod.to_string(),
        host: side.request.as_ref().map(|head| head.host.clone()),
    };
    servers.iter().map(copy).collect()
}
