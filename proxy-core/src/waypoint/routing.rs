//! From a decision over routes to what is done with one request.

use std::sync::Arc;
use std::time::Duration;

use ::http::uri::PathAndQuery;
use ::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::exchange::{Incoming, Turn};
use super::http::body::{self, Body};
use super::local_reply::LocalReply;
use super::upstream::pick::{KnownBackend, NoTarget, know};
use super::upstream::target::Version;
use crate::host::Host;
use crate::identity::CertificateAuthority;
use crate::request::{Claims, RequestView};
use crate::route::balance::{RequestHash, hash_request};
use crate::route::{
    AbortStatus, Backend, BackendTarget, CorsDecision, Decision, HeaderChanges, LoadBalancer, Matched, NewHead,
    Outcome, PathMatch, PortProtocol, Redirect, RetryPolicy, Timeouts, UpgradePolicy, choose,
};
use crate::telemetry::Reason;

const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");

/// What is done with one request, in this order.
pub(super) struct Routed {
    pub(super) delay: Option<Duration>,
    pub(super) abort: Option<AbortStatus>,
    pub(super) cors: CorsDecision,
    /// Of the route, for whatever response comes of it.
    pub(super) response_headers: HeaderChanges,
    pub(super) action: Action,
}

/// What becomes of it in the end.
pub(super) enum Action {
    Forward(Box<Plan>),
    /// Answered as the route says.
    Respond(Response<Body>),
    /// Answered as an error.
    Refuse(LocalReply),
}

/// Where a request is sent, and how.
pub(super) struct Plan {
    /// `None`: to the pod the client addressed.
    pub(super) backend: Option<KnownBackend>,
    pub(super) authority: Arc<str>,
    pub(super) path: PathAndQuery,
    pub(super) version: Version,
    pub(super) timeouts: Timeouts,
    pub(super) retry: Option<RetryPolicy>,
    /// What consistent hashing looks up.
    pub(super) hash: RequestHash,
    /// Of the backend, before the route's own.
    pub(super) response_headers: HeaderChanges,
    /// Backends that get a copy, and whether the authority says so.
    pub(super) mirrors: Vec<(KnownBackend, bool)>,
}

/// How decisions see a request.
pub(super) fn view<'a>(incoming: &'a Incoming, claims: Option<&'a Claims>) -> RequestView<'a> {
    RequestView {
        method: incoming.head.method(),
        scheme: "http",
        authority: &incoming.authority,
        path_and_query: incoming.path.as_str(),
        headers: incoming.head.headers(),
        claims,
    }
}

/// Decides, throwing all dice, and changes the request's headers as the route wants.
pub(super) fn route<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    incoming: &mut Incoming,
    claims: Option<&Claims>,
) -> Routed {
    let plain = |action| Routed {
        delay: None,
        abort: None,
        cors: CorsDecision::Pass,
        response_headers: HeaderChanges::default(),
        action,
    };
    let destination = turn.downstream.attached.destination();
    let routes = turn.routes.as_ref().and_then(|routes| routes.ports.get(&destination.port()));
    let (Some(routes), Some(service)) = (routes, turn.downstream.attached.service()) else {
        return plain(Action::Forward(Box::new(to_the_pod(turn, incoming))));
    };
    let client = turn.downstream.workload.as_ref().map(|workload| &*workload.namespace);
    let decision = {
        let request = view(incoming, claims);
        choose(routes, client, &request, &mut turn.shared.rng.lock())
    };
    match decision {
        Decision::Implicit => {
            let timeouts =
                Timeouts { request: Timeouts::default().of_request(&view(incoming, claims)), backend_request: None };
            let backend = Backend { service: service.key.clone(), port: destination.port(), subset: None };
            let retry = RetryPolicy::implicit(routes.protocol).filter(|_| !turn.grpc);
            plain(forward_to(turn, incoming, &backend, |plan| {
                plan.retry = retry;
                plan.timeouts = timeouts;
            }))
        }
        Decision::NotFound => plain(Action::Refuse(LocalReply::new(404, Reason::NoRoute, "route_not_found", ""))),
        Decision::Matched(matched) => {
            turn.log.note(|info| info.route = Some(matched.route.origin.clone()));
            let filters = &matched.route.filters;
            let cors = filters.cors.as_ref().map(|cors| cors.judge(&view(incoming, claims)));
            Routed {
                delay: matched.delay,
                abort: matched.abort,
                cors: cors.unwrap_or(CorsDecision::Pass),
                response_headers: filters.response_headers.clone(),
                action: act(turn, incoming, claims, &matched),
            }
        }
    }
}

fn act<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    incoming: &mut Incoming,
    claims: Option<&Claims>,
    matched: &Matched<'_>,
) -> Action {
    let path_match = matched.route.matches.path.as_ref();
    let no_backend = || LocalReply::new(500, Reason::InvalidBackend, "direct_response", "");
    match matched.outcome {
        Outcome::NoBackend | Outcome::InvalidBackend { .. } => Action::Refuse(no_backend()),
        Outcome::Redirect(redirect) => redirected(turn, incoming, claims, redirect, path_match),
        Outcome::Respond(response) => {
            let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut answer = Response::new(body::empty());
            *answer.status_mut() = status;
            answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(response.body.len()));
            if !response.body.is_empty() {
                answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                if incoming.head.method() != Method::HEAD {
                    *answer.body_mut() = body::full(response.body.clone());
                }
            }
            Action::Respond(answer)
        }
        Outcome::Forward { forward, share, backend } => {
            if let Some(redirect) = matched.redirect() {
                return redirected(turn, incoming, claims, redirect, path_match);
            }
            let timeouts =
                Timeouts { request: forward.timeouts.of_request(&view(incoming, claims)), ..forward.timeouts };
            let mut headers = incoming.head.headers().clone();
            let new = matched.change_request(&view(incoming, claims), &mut headers);
            *incoming.head.headers_mut() = headers;
            if let Some(reply) = rewritten(incoming, new) {
                return Action::Refuse(reply);
            }
            let mirrors = matched.mirrors.iter().filter_map(|mirror| match &mirror.target {
                BackendTarget::Service(backend) => Some((know(&turn.snapshot, backend).ok()?, mirror.shadow_authority)),
                BackendTarget::Invalid(_) => None,
            });
            let mirrors: Vec<_> = mirrors.collect();
            forward_to(turn, incoming, backend, |plan| {
                plan.timeouts = timeouts;
                plan.retry = forward.retry.clone();
                plan.response_headers = share.response_headers.clone();
                plan.mirrors = mirrors;
            })
        }
    }
}

/// Changes authority and path; an answer if what comes of it is none.
fn rewritten(incoming: &mut Incoming, new: NewHead) -> Option<LocalReply> {
    if let Some(authority) = new.authority.as_ref().and_then(|authority| authority.to_str().ok()) {
        incoming.authority = authority.into();
    }
    let Ok(path) = PathAndQuery::try_from(new.path_and_query?) else {
        return Some(LocalReply::new(400, Reason::MalformedRequest, "path_rewrite_failed", ""));
    };
    let before = std::mem::replace(&mut incoming.path, path);
    if let Ok(before) = HeaderValue::try_from(before.as_str()) {
        incoming.head.headers_mut().insert(ORIGINAL_PATH, before);
    }
    None
}

fn redirected<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    incoming: &Incoming,
    claims: Option<&Claims>,
    redirect: &Redirect,
    path_match: Option<&PathMatch>,
) -> Action {
    let port = turn.downstream.attached.destination().port();
    let location = redirect.location(path_match, &view(incoming, claims), port);
    let mut answer = Response::new(body::empty());
    *answer.status_mut() = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND);
    match HeaderValue::try_from(location) {
        Ok(location) => answer.headers_mut().insert(header::LOCATION, location),
        Err(_) => return Action::Refuse(LocalReply::new(400, Reason::MalformedRequest, "invalid_location", "")),
    };
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    Action::Respond(answer)
}

fn forward_to<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    incoming: &Incoming,
    backend: &Backend,
    fill: impl FnOnce(&mut Plan),
) -> Action {
    turn.log.note(|info| {
        info.backend = Some(backend.clone());
        info.backend_service = turn.snapshot.service(&backend.service).cloned();
    });
    let known = match know(&turn.snapshot, backend) {
        Ok(known) => known,
        Err(none) => return Action::Refuse(no_target(&none)),
    };
    let hash = match &known.policy.load_balancer {
        LoadBalancer::ConsistentHash(settings) => {
            let client = turn.downstream.client.ip();
            hash_request(&settings.key, &view(incoming, None), client, &mut turn.shared.rng.lock())
        }
        _ => RequestHash::default(),
    };
    let mut plan = Plan {
        hash,
        version: version(turn, incoming, &known),
        backend: Some(known),
        authority: incoming.authority.clone(),
        path: incoming.path.clone(),
        timeouts: Timeouts::default(),
        retry: None,
        response_headers: HeaderChanges::default(),
        mirrors: Vec::new(),
    };
    fill(&mut plan);
    Action::Forward(Box::new(plan))
}

fn to_the_pod<H: Host, C: CertificateAuthority>(turn: &Turn<H, C>, incoming: &Incoming) -> Plan {
    Plan {
        backend: None,
        authority: incoming.authority.clone(),
        path: incoming.path.clone(),
        version: if turn.http2 { Version::Http2 } else { Version::Http1 },
        timeouts: Timeouts::default(),
        retry: RetryPolicy::implicit(PortProtocol::Sniff).filter(|_| !turn.grpc),
        hash: RequestHash::default(),
        response_headers: HeaderChanges::default(),
        mirrors: Vec::new(),
    }
}

/// In which version the backend is spoken to.
fn version<H: Host, C: CertificateAuthority>(turn: &Turn<H, C>, incoming: &Incoming, known: &KnownBackend) -> Version {
    if incoming.upgrade.is_some() {
        return Version::Http1;
    }
    let clients_own = if turn.http2 { Version::Http2 } else { Version::Http1 };
    let backend = &known.backend;
    let declared = turn.snapshot.routes_of(&backend.service).and_then(|routes| routes.ports.get(&backend.port));
    let protocol = declared.map_or_else(|| turn.downstream.attached.protocol(), |routes| routes.protocol);
    match (protocol, known.policy.pool.upgrade) {
        (PortProtocol::Http2 | PortProtocol::Grpc | PortProtocol::GrpcWeb, _) => Version::Http2,
        _ if known.policy.pool.use_client_protocol => clients_own,
        (_, UpgradePolicy::Upgrade) => Version::Http2,
        _ => clients_own,
    }
}

/// What the client is told when there is no endpoint.
pub(super) fn no_target(none: &NoTarget) -> LocalReply {
    match none {
        NoTarget::UnknownBackend(_) => LocalReply::new(503, Reason::UnknownBackend, "cluster_not_found", ""),
        NoTarget::ForeignHost(_) => LocalReply::new(404, Reason::NoRoute, "route_not_found", ""),
        NoTarget::NoEndpoint(_) => {
            LocalReply::new(503, Reason::NoHealthyEndpoint, "no_healthy_upstream", "no healthy upstream")
        }
    }
}
