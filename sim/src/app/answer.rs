//! [`Reply`]: what a server says to one HTTP request, worked out from its behaviour.

use std::net::IpAddr;

use bytes::Bytes;
use proxy_core::Host;

use super::behaviour::{Answer, Failure, Role};
use super::http1::{Headers, header};
use super::server::Server;
use super::{echo, ext_authz};
use crate::record::{AppPod, ReceivedHead};

/// The response header that names who answered, where the body does not: `namespace pod node source-ip`.
pub const POD_HEADER: &str = "meshsim-pod";

/// What becomes of a request.
pub(crate) enum Fate {
    Reply(Reply),
    Never,
    Close,
    Reset,
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Without those that say how long the body is.
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
    pub(crate) trailers: Headers,
}

impl Reply {
    /// Whether answers of this status have a body at all: RFC 9110, 6.4.1.
    pub(crate) fn has_body(&self) -> bool {
        self.status >= 200 && self.status != 204 && self.status != 304
    }
}

/// Whether this request fails as the behaviour says; counts it as tried.
pub(crate) fn failure_of<H: Host>(server: &Server<H>, head: &ReceivedHead) -> Option<Failure> {
    let id = echo::flow_of(&head.headers).map(|flow| flow.to_string());
    let id = id.as_deref().or_else(|| header(&head.headers, "x-request-id"));
    server.behaviour.failure(&server.tries, id, &head.path, || server.host.rng("app"))
}

/// What becomes of a request that is not gRPC.
pub(crate) fn fate<H: Host>(server: &Server<H>, head: &ReceivedHead, source: IpAddr, failure: Option<Failure>) -> Fate {
    let behaviour = &server.behaviour;
    match (behaviour.answer, failure) {
        (Answer::Never, _) => return Fate::Never,
        (Answer::Close, _) | (_, Some(Failure::Close)) => return Fate::Close,
        (Answer::Reset, _) | (_, Some(Failure::Reset)) => return Fate::Reset,
        (Answer::Echo | Answer::EchoThenClose | Answer::HalfClose, _) => {}
    }
    if behaviour.role == Role::ExternalAuthorization {
        let (status, mut headers, body) = ext_authz::http_check(head);
        replace(&mut headers, &behaviour.headers);
        return Fate::Reply(Reply { status, headers, body: Bytes::from(body), trailers: Headers::new() });
    }
    let status = match failure {
        Some(Failure::Status(status)) => status,
        // Not asked over gRPC, it fails as HTTP does.
        Some(Failure::Grpc(14)) => 503,
        Some(Failure::Grpc(_)) => 500,
        _ => behaviour.status,
    };
    let mut headers = Headers::new();
    let body = match &behaviour.body {
        Some(body) => {
            headers.push(("content-type".to_owned(), "text/plain".to_owned()));
            headers.push((POD_HEADER.to_owned(), pod_header(&server.pod, source)));
            body.clone()
        }
        None => {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
            echo::answer(&server.pod, head, source, behaviour.body_bytes, None).into()
        }
    };
    replace(&mut headers, &behaviour.headers);
    Fate::Reply(Reply { status, headers, body, trailers: behaviour.trailers.clone() })
}

/// Who answers, for [`POD_HEADER`].
pub(crate) fn pod_header(pod: &AppPod, source: IpAddr) -> String {
    format!("{} {} {} {source}", pod.namespace, pod.name, pod.node)
}

/// Adds headers; one of a known name takes the other's place.
fn replace(headers: &mut Headers, more: &Headers) {
    headers.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    headers.extend(more.iter().cloned());
}
