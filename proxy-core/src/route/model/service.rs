//! [`ServiceRoutes`]: what a waypoint does with requests to one service.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{BackendTarget, Filters, HttpMatch, HttpRoutes, RouteAction, TelemetrySettings};
use crate::authentication::JwtRule;
use crate::net::NamespacedHostname;
use crate::policy::http::HttpPolicies;

/// What a waypoint does with requests to one service attached to it. One for each such service; without one the
/// waypoint serves none of its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRoutes {
    /// The service.
    pub service: NamespacedHostname,
    /// By service port. Only these are served.
    pub ports: BTreeMap<u16, PortRoutes>,
    /// Policies whose `targetRefs` name this service; they add to the waypoint's own.
    pub policies: HttpPolicies,
    /// Token rules whose `targetRefs` name this service; they add to the waypoint's own.
    pub authentication: Vec<JwtRule>,
    /// Telemetry whose `targetRefs` name this service; `None` leaves the waypoint's own.
    pub telemetry: Option<TelemetrySettings>,
}

/// What a waypoint does on one port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRoutes {
    /// What is spoken there.
    pub protocol: PortProtocol,
    /// `None`: no route is attached, every request goes to the service itself. `Some`: a request that matches no route
    /// is answered 404.
    pub http: Option<HttpRoutes>,
    /// Used instead of `http` by clients of these namespaces: routes that live in their namespace.
    pub consumer_http: BTreeMap<Arc<str>, HttpRoutes>,
    /// Opaque connections. The first decides; none sends them to the service itself.
    pub tcp: Vec<TcpRoute>,
}

impl PortRoutes {
    /// No route attached.
    pub fn implicit(protocol: PortProtocol) -> Self {
        PortRoutes { protocol, http: None, consumer_http: BTreeMap::new(), tcp: Vec::new() }
    }

    /// The routes for clients of a namespace; `None` if no route is attached for them.
    pub fn http_for(&self, client_namespace: Option<&str>) -> Option<&HttpRoutes> {
        let own = client_namespace.and_then(|namespace| self.consumer_http.get(namespace));
        own.or(self.http.as_ref())
    }
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortProtocol {
    /// HTTP/1.1 or, by its preface, HTTP/2; to the backend in the version it came.
    Http,
    /// HTTP/2 to the backend.
    Http2,
    /// HTTP/2 to the backend, gRPC within.
    Grpc,
    /// gRPC-web.
    GrpcWeb,
    /// Opaque.
    Tcp,
    /// Opaque, TLS within.
    Tls,
    /// Not declared: the first bytes tell.
    Sniff,
}

impl PortProtocol {
    /// Whether connections are never looked into.
    pub fn is_opaque(self) -> bool {
        matches!(self, PortProtocol::Tcp | PortProtocol::Tls)
    }
}

/// One match entry of one rule of one route object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRoute {
    /// Where it was written.
    pub origin: RouteOrigin,
    /// What it matches.
    pub matches: HttpMatch,
    /// What is done to request and response besides the action.
    pub filters: Filters,
    /// What becomes of the request.
    pub action: RouteAction,
}

/// Where a route entry was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteOrigin {
    /// Of which kind.
    pub kind: RouteKind,
    /// The object's namespace.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
    /// Index of the rule in the object.
    pub rule: usize,
    /// The rule's own name, if it has one.
    pub rule_name: Option<Arc<str>>,
    /// Index of the match in the rule; 0 if the rule has none.
    pub entry: usize,
}

/// `HTTPRoute ns/name rule 0 (canary)`.
impl fmt::Display for RouteOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{} rule {}", self.kind, self.namespace, self.name, self.rule)?;
        match &self.rule_name {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

/// Kinds of object that hold routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the API's names")]
pub enum RouteKind {
    HttpRoute,
    GrpcRoute,
    TcpRoute,
    TlsRoute,
    VirtualService,
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RouteKind::HttpRoute => "HTTPRoute",
            RouteKind::GrpcRoute => "GRPCRoute",
            RouteKind::TcpRoute => "TCPRoute",
            RouteKind::TlsRoute => "TLSRoute",
            RouteKind::VirtualService => "VirtualService",
        })
    }
}

/// Where opaque connections go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpRoute {
    /// Where it was written.
    pub origin: RouteOrigin,
    /// Drawn by weight; a connection whose share is invalid, or when all weights are zero, is closed.
    pub backends: Vec<TcpBackend>,
}

/// A backend of opaque connections and its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpBackend {
    /// Share of the sum.
    pub weight: u32,
    /// Where to.
    pub target: BackendTarget,
}
