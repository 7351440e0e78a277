//! From a request to an answer: routing, endpoints, tries.

use std::sync::Arc;

use ::http::{HeaderValue, Request, Response, StatusCode};

use super::exchange::{Incoming, Turn};
use super::head;
use super::http::body::{self, Body};
use super::http::io::FromHyper;
use super::local_reply::LocalReply;
use super::log::{Counts, RequestLog};
use super::upstream::clients::ReuseLimits;
use super::upstream::failure::UpstreamFailure;
use super::upstream::target::{Target, Version, transport_of};
use crate::hbone::TraceParent;
use crate::host::Host;
use crate::identity::CertificateAuthority;
use crate::net::copy::{Meter, OnResets, Side, copy};
use crate::net::race::race;
use crate::route::{Backend, PortProtocol};
use crate::state::{Purpose, Resolution, UpstreamAddress};
use crate::telemetry::{Attempt, Reason};

/// Answers one request.
pub(super) async fn answer<H: Host, C: CertificateAuthority>(
    turn: Turn<H, C>,
    incoming: Incoming,
) -> Result<Response<Body>, LocalReply> {
    let destination = turn.downstream.attached.destination();
    let backend = turn.downstream.attached.service().map(|service| Backend {
        service: service.key.clone(),
        port: destination.port(),
        subset: None,
    });
    let target = target(&turn, backend.as_ref())?;
    turn.log.note(|info| {
        info.backend_service = backend.as_ref().and_then(|backend| turn.snapshot.service(&backend.service)).cloned();
        info.backend = backend;
    });
    let protocol = turn.downstream.attached.protocol();
    let version = version_of(protocol, turn.http2, incoming.upgrade.is_some());
    send(&turn, incoming, &target, version).await
}

fn version_of(protocol: PortProtocol, http2: bool, upgrade: bool) -> Version {
    match protocol {
        _ if upgrade => Version::Http1,
        PortProtocol::Http2 | PortProtocol::Grpc | PortProtocol::GrpcWeb => Version::Http2,
        _ if http2 => Version::Http2,
        _ => Version::Http1,
    }
}

fn target<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    backend: Option<&Backend>,
) -> Result<Target, LocalReply> {
    let connect_timeout = std::time::Duration::from_secs(10);
    let destination = turn.downstream.attached.destination();
    let Some(backend) = backend else {
        let super::attach::Attached::Workload { workload, destination } = &turn.downstream.attached else {
            return Err(no_healthy());
        };
        let transport = transport_of(workload, &[]);
        return Ok(Target { workload: workload.clone(), address: *destination, transport, connect_timeout });
    };
    let Some(service) = turn.snapshot.service(&backend.service) else { return Err(no_healthy()) };
    let dialled = std::net::SocketAddr::new(destination.ip(), backend.port);
    let mut rng = turn.shared.rng.lock();
    match turn.snapshot.resolve_service(service, &turn.own, dialled, Purpose::Application, &mut rng) {
        Resolution::Upstream(upstream) => match upstream.address {
            UpstreamAddress::Ip(ip) => Ok(Target {
                transport: transport_of(&upstream.workload, &upstream.service_identities()),
                address: std::net::SocketAddr::new(ip, upstream.port),
                workload: upstream.workload,
                connect_timeout,
            }),
            _ => Err(no_healthy()),
        },
        _ => Err(no_healthy()),
    }
}

fn no_healthy() -> LocalReply {
    LocalReply::new(503, Reason::NoHealthyEndpoint, "no_healthy_upstream", "no healthy upstream")
}

async fn send<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    incoming: Incoming,
    target: &Target,
    version: Version,
) -> Result<Response<Body>, LocalReply> {
    let Incoming { mut head, body, authority, path, upgrade, span } = incoming;
    head.headers_mut().insert(head::ATTEMPT_COUNT, HeaderValue::from_static("1"));
    let bad = || LocalReply::new(400, Reason::MalformedRequest, "invalid_authority", "");
    head::retarget(&mut head, path, &authority, version == Version::Http2).ok_or_else(bad)?;
    let (parts, ()) = head.into_parts();
    let request = Request::from_parts(parts, body);
    let trace = TraceParent { trace: span.trace, span: span.span, flags: u8::from(span.sampled) };
    let limits = ReuseLimits { requests_max: 0, idle_max: Some(std::time::Duration::from_secs(3600)) };
    let began = turn.shared.host.now();
    let clients = &turn.shared.clients;
    let outcome = clients.send(&turn.shared, target, version, limits, trace, request).await;
    let mut attempt = Attempt {
        endpoint: Some(target.workload.clone()),
        address: Some(target.address),
        after: began - turn.started,
        status: None,
        reason: Reason::Completed,
        error: None,
    };
    match outcome {
        Ok(mut response) => {
            attempt.status = Some(response.status().as_u16());
            let took = turn.shared.host.now() - turn.started;
            turn.log.note(|info| {
                info.attempts.push(attempt);
                info.upstream_time = Some(took);
            });
            let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            head::strip_hop_by_hop(response.headers_mut(), upgraded);
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            response.headers_mut().insert(head::SERVICE_TIME, HeaderValue::from(millis));
            if upgraded {
                return Ok(switch(turn, upgrade, response));
            }
            Ok(response)
        }
        Err(failure) => {
            attempt.reason = failure.reason();
            attempt.error = Some(failure.text.clone());
            turn.log.note(|info| {
                info.attempts.push(attempt);
                info.transport_failure = Some(failure.text.clone());
            });
            Err(unanswered(&failure))
        }
    }
}

/// What the client is told when no endpoint answered.
fn unanswered(failure: &UpstreamFailure) -> LocalReply {
    let reset = failure.reset_reason();
    let body = format!("upstream connect error or disconnect/reset before headers. reset reason: {reset}");
    let details = format!("upstream_reset_before_response_started{{{}}}", reset.replace(' ', "_"));
    LocalReply::new(503, failure.reason(), details, body)
}

/// Bytes of a connection that was upgraded count as the request's.
struct Upgraded(Arc<RequestLog>);

impl Meter for Upgraded {
    fn forwarded(&self, to: Side, bytes: u64) {
        let counts: &Counts = self.0.counts();
        match to {
            Side::Client => counts.add(0, bytes),
            Side::Server => counts.add(bytes, 0),
        }
    }
}

/// Joins the two sides of a WebSocket once both have been let go of.
fn switch<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    client: Option<hyper::upgrade::OnUpgrade>,
    mut response: Response<Body>,
) -> Response<Body> {
    let server = hyper::upgrade::on(&mut response);
    let (parts, _) = response.into_parts();
    if let Some(client) = client {
        let watcher = turn.shared.drain.watcher();
        let meter = Upgraded(turn.log.clone());
        turn.shared.host.spawn("websocket", async move {
            let joined = async {
                let (Ok(client), Ok(server)) = (client.await, server.await) else { return };
                let _ = copy(&mut FromHyper(client), &mut FromHyper(server), OnResets::APPLICATIONS, &meter).await;
            };
            race(watcher.cut(), joined).await;
            meter.0.finish();
        });
    }
    Response::from_parts(parts, body::empty())
}
