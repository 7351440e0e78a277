//! [`Exchange`]: one request, from its head to its answer.

use std::sync::Arc;
use std::time::Duration;

use ::http::uri::PathAndQuery;
use ::http::{Method, Request, Response, StatusCode, Version, header};
use parking_lot::Mutex;

use super::forward;
use super::head::{self, Span};
use super::http::Leave;
use super::http::body::Body;
use super::http::http1::{BodyVerdict, Refused};
use super::http::http2::Handler;
use super::local_reply::LocalReply;
use super::log::{CountedRequest, Logged, RequestLog};
use super::shared::Shared;
use super::stream::Downstream;
use crate::host::{Host, Instant};
use crate::identity::CertificateAuthority;
use crate::request::normalize_path;
use crate::route::{ServiceRoutes, TelemetrySettings, WaypointSettings};
use crate::state::{Snapshot, Workload};
use crate::telemetry::{PolicyOutcome, Reason, RequestInfo, RequestProtocol, ResponseFlags, TokenOutcome};

/// Answers the requests of one connection.
pub(super) struct Exchange<H: Host, C> {
    shared: Arc<Shared<H, C>>,
    downstream: Arc<Downstream>,
    http2: bool,
    /// What its last request went by.
    last: Arc<Mutex<Option<Told>>>,
}

/// What this waypoint is told of itself and of where a connection leads.
#[derive(Clone)]
struct Told {
    settings: Arc<WaypointSettings>,
    own: Arc<Workload>,
    routes: Option<Arc<ServiceRoutes>>,
}

impl<H: Host, C> Clone for Exchange<H, C> {
    fn clone(&self) -> Self {
        Exchange {
            shared: self.shared.clone(),
            downstream: self.downstream.clone(),
            http2: self.http2,
            last: self.last.clone(),
        }
    }
}

/// What is at hand while one request is answered. One snapshot for all its decisions.
pub(super) struct Turn<H: Host, C> {
    pub(super) shared: Arc<Shared<H, C>>,
    pub(super) downstream: Arc<Downstream>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) settings: Arc<WaypointSettings>,
    /// What the service it is for says now; `None` for pods.
    pub(super) routes: Option<Arc<ServiceRoutes>>,
    /// This waypoint's pod.
    pub(super) own: Arc<Workload>,
    pub(super) log: Arc<RequestLog>,
    pub(super) started: Instant,
    pub(super) grpc: bool,
    /// It came in HTTP/2.
    pub(super) http2: bool,
    /// This waypoint serves the destination no more: the client is asked to come by another way.
    leaving: bool,
}

/// A request's head and body, ready to be judged and sent on.
pub(super) struct Incoming {
    pub(super) head: Request<()>,
    pub(super) body: Body,
    pub(super) authority: Arc<str>,
    /// Normalised.
    pub(super) path: PathAndQuery,
    /// The client's side of an upgrade to WebSocket.
    pub(super) upgrade: Option<hyper::upgrade::OnUpgrade>,
    pub(super) span: Span,
    /// What was wrong with its body, if something was.
    pub(super) body_verdict: Option<BodyVerdict>,
}

impl<H: Host, C: CertificateAuthority> Exchange<H, C> {
    /// `snapshot` is what the connection was let in by.
    pub(super) fn new(
        shared: Arc<Shared<H, C>>,
        downstream: Arc<Downstream>,
        snapshot: &Snapshot,
        http2: bool,
    ) -> Self {
        let exchange = Exchange { shared, downstream, http2, last: Arc::default() };
        *exchange.last.lock() = exchange.told(snapshot);
        exchange
    }

    /// `None` when this waypoint does not serve the destination any more, or is no waypoint any more.
    fn told(&self, snapshot: &Snapshot) -> Option<Told> {
        let routes = match self.downstream.attached.service() {
            None => None,
            Some(service) => Some(snapshot.routes_of(&service.key)?.clone()),
        };
        let (settings, own) = (self.shared.settings(snapshot)?, self.shared.own_workload(snapshot)?);
        Some(Told { settings, own, routes })
    }

    fn begin(&self, request: &Request<Body>) -> Arc<RequestLog> {
        let text = |name: header::HeaderName| {
            request.headers().get(name).map(|value| Arc::from(&*String::from_utf8_lossy(value.as_bytes())))
        };
        let refused = request.extensions().get::<Refused>().is_some();
        let path = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
        let protocol = if head::is_grpc(request.headers()) { RequestProtocol::Grpc } else { RequestProtocol::Http };
        let host = self.shared.host.clone();
        let info = RequestInfo {
            connection: self.downstream.info.clone(),
            id: "".into(),
            method: if refused { "".into() } else { request.method().as_str().into() },
            path: if refused { "".into() } else { path.into() },
            authority: if refused { "".into() } else { head::authority_of(request).unwrap_or_default() },
            version: if request.version() == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" },
            user_agent: text(header::USER_AGENT),
            forwarded_for: text(header::HeaderName::from_static("x-forwarded-for")),
            protocol,
            started: self.shared.host.now(),
            started_wall: self.shared.host.wall_time(),
            duration: Duration::ZERO,
            upstream_time: None,
            status: 0,
            grpc_status: None,
            reason: Reason::Completed,
            flags: Vec::new(),
            details: "via_upstream".into(),
            transport_failure: None,
            received: 0,
            sent: 0,
            request_messages: 0,
            response_messages: 0,
            route: None,
            backend: None,
            backend_service: None,
            attempts: Vec::new(),
            mirrors: Vec::new(),
            policy: PolicyOutcome::default(),
            token: TokenOutcome::None,
            telemetry: Arc::new(TelemetrySettings::default()),
            sampled: false,
            span: [0; 8],
            parent_span: None,
            trace: self.downstream.trace.trace,
        };
        RequestLog::new(self.shared.sink.clone(), move || host.now(), info)
    }

    /// Everything that may refuse a request before anybody is asked.
    fn receive(&self, log: &Arc<RequestLog>, mut request: Request<Body>) -> Result<(Turn<H, C>, Incoming), LocalReply> {
        if let Some(Refused(violation)) = request.extensions().get() {
            let reason = if violation.status == 408 { Reason::SlowRequest } else { Reason::MalformedRequest };
            return Err(LocalReply::new(violation.status, reason, violation.detail, ""));
        }
        let bad = |details: &str| LocalReply::new(400, Reason::MalformedRequest, details, "");
        let snapshot = self.shared.state.snapshot();
        let told = self.told(&snapshot);
        let leaving = told.is_none();
        // Who came while it was served is served as before, once more, and leaves: the way on is the client's to find.
        let Some(told) = told.or_else(|| self.last.lock().clone()) else {
            let text = "this waypoint is not configured any more";
            return Err(LocalReply::new(503, Reason::NotAttached, "waypoint_not_configured", text));
        };
        let Told { settings, own, routes } = told.clone();
        *self.last.lock() = Some(told);
        if request.headers().len() > settings.limits.fields_max {
            return Err(LocalReply::new(431, Reason::MalformedRequest, "too_many_headers", ""));
        }
        let port = self.downstream.attached.destination().port();
        if routes.as_ref().is_some_and(|routes| !routes.ports.contains_key(&port)) {
            return Err(LocalReply::new(404, Reason::NoRoute, "route_not_found", ""));
        }
        if request.method() == Method::CONNECT {
            return Err(LocalReply::new(403, Reason::MalformedRequest, "upgrade_failed", ""));
        }
        let upgrade_to = head::upgrade_of(request.headers()).filter(|_| !self.http2);
        if upgrade_to.as_deref().is_some_and(|to| to != "websocket") {
            return Err(LocalReply::new(403, Reason::MalformedRequest, "upgrade_failed", ""));
        }
        let authority = head::authority_of(&request).filter(|authority| !authority.is_empty());
        let Some(authority) = authority else { return Err(bad("missing_host_header")) };
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let path = if path.is_ascii() { normalize_path(path, settings.path_normalization).ok() } else { None };
        let Some(path) = path.and_then(|path| PathAndQuery::try_from(&*path).ok()) else {
            return Err(bad("path_normalization_failed"));
        };
        let telemetry = routes.as_ref().and_then(|routes| routes.telemetry.as_ref());
        let telemetry = Arc::new(telemetry.unwrap_or(&settings.telemetry).clone());

        let upgrade = upgrade_to.is_some().then(|| hyper::upgrade::on(&mut request));
        let body_verdict = request.extensions().get::<BodyVerdict>().cloned();
        let (parts, body) = request.into_parts();
        let mut request = Request::from_parts(parts, ());
        head::strip_hop_by_hop(request.headers_mut(), upgrade.is_some());
        request.headers_mut().remove(header::EXPECT);
        let grpc = head::is_grpc(request.headers());
        let identities = (&self.shared.config.identity, &self.downstream.identity);
        let certificate = settings.forward_client_certificate.then_some(identities);
        let mut names = self.shared.names.lock();
        let id = head::decorate(request.headers_mut(), certificate, &mut names);
        let span = head::trace(request.headers_mut(), &telemetry.tracing, &mut names, &mut self.shared.rng.lock());
        drop(names);
        log.note(|info| {
            info.id = id;
            info.telemetry = telemetry;
            (info.trace, info.span, info.parent_span) = (span.trace, span.span, span.parent);
            info.sampled = span.sampled;
        });
        let turn = Turn {
            shared: self.shared.clone(),
            downstream: self.downstream.clone(),
            snapshot,
            settings,
            routes,
            own,
            log: log.clone(),
            started: self.shared.host.now(),
            grpc,
            http2: self.http2,
            leaving,
        };
        let body = CountedRequest::over(body, log, grpc);
        Ok((turn, Incoming { head: request, body, authority, path, upgrade, span, body_verdict }))
    }
}

impl<H: Host, C: CertificateAuthority> Handler for Exchange<H, C> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let log = self.begin(&request);
        let grpc = head::is_grpc(request.headers());
        let method = request.method().clone();
        let mut leaving = false;
        let answered = match self.receive(&log, request) {
            // Boxed: what answering needs is large, and connections idle.
            Ok((turn, incoming)) => {
                leaving = turn.leaving;
                Box::pin(forward::answer(turn, incoming)).await
            }
            Err(reply) => Err(reply),
        };
        let mut response = match answered {
            Ok(response) => response,
            Err(reply) => {
                let response = reply.to_response(grpc, &method);
                log.note(|info| {
                    info.reason = reply.reason;
                    for flag in &reply.flags {
                        if !info.flags.contains(flag) {
                            info.flags.push(*flag);
                        }
                    }
                    info.details = reply.details.into();
                });
                response
            }
        };
        head::decorate_response(response.headers_mut());
        let grpc_status = response.headers().get("grpc-status").and_then(|status| status.to_str().ok()?.parse().ok());
        log.note(|info| {
            info.status = response.status().as_u16();
            info.grpc_status = info.grpc_status.or(grpc_status);
        });
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // Whoever carries the bytes holds the log.
            return response;
        }
        if leaving {
            response.extensions_mut().insert(Leave);
        }
        let (parts, body) = response.into_parts();
        Response::from_parts(parts, Logged::over(body, log, grpc))
    }
}

/// Flags of what was done to a request besides answering it.
impl<H: Host, C> Turn<H, C> {
    pub(super) fn flag(&self, flag: ResponseFlags) {
        self.log.note(|info| {
            if !info.flags.contains(&flag) {
                info.flags.push(flag);
            }
        });
    }
}
