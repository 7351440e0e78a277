//! [`Route`]: HTTPRoute, GRPCRoute, TCPRoute and TLSRoute.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::object::{Kind, Meta};

/// HTTPRoute, GRPCRoute, TCPRoute or TLSRoute, the API's defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Name, labels, annotations, creation time (the oldest wins).
    pub meta: Meta,
    /// Which of the four.
    pub kind: Kind,
    /// What it is attached to.
    pub parents: Vec<ParentReference>,
    /// Meaningless for routes attached to services, except for a TLSRoute.
    pub hostnames: Vec<Arc<str>>,
    /// In order of writing.
    pub rules: Vec<RouteRule>,
}

/// What a route is attached to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParentReference {
    /// API group; empty for Kubernetes' own.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Namespace; the route's unless written.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Only this port of it.
    pub port: Option<u16>,
    /// Only this listener of it; means nothing for services.
    pub section: Option<Arc<str>>,
}

impl ParentReference {
    /// Whether it is a Service.
    pub fn is_service(&self) -> bool {
        matches!(&*self.group, "" | "core") && &*self.kind == "Service"
    }

    /// Whether it is a ServiceEntry.
    pub fn is_service_entry(&self) -> bool {
        &*self.group == "networking.istio.io" && &*self.kind == "ServiceEntry"
    }

    /// Whether it is a Gateway.
    pub fn is_gateway(&self) -> bool {
        &*self.group == crate::cluster::object::GATEWAY_API && &*self.kind == "Gateway"
    }
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteRule {
    /// `name`.
    pub name: Option<Arc<str>>,
    /// ORed. An HTTPRoute's rule has at least one (path prefix `/`); empty in a GRPCRoute's matches every call; always
    /// empty at layer 4.
    pub matches: Vec<RouteMatch>,
    /// In order of writing.
    pub filters: Vec<Filter>,
    /// Weighted.
    pub backends: Vec<BackendReference>,
    /// Only HTTPRoute.
    pub timeouts: RouteTimeouts,
    /// Only HTTPRoute.
    pub retry: Option<RetryPolicy>,
}

/// One match: everything in it must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteMatch {
    /// Path of an HTTP request; `None`: any, and ranks last.
    pub path: Option<PathMatch>,
    /// HTTP method.
    pub method: Option<Arc<str>>,
    /// Header by header.
    pub headers: Vec<NamedMatch>,
    /// Query parameters.
    pub query: Vec<NamedMatch>,
    /// Only GRPCRoute.
    pub grpc: Option<GrpcMethodMatch>,
}

/// A path and how it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's names")]
pub struct PathMatch {
    pub kind: PathMatchKind,
    pub value: Arc<str>,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's names")]
pub enum PathMatchKind {
    Exact,
    PathPrefix,
    RegularExpression,
}

/// A header or query parameter and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's names")]
pub struct NamedMatch {
    pub name: Arc<str>,
    pub value: TextMatch,
}

/// How text is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// Byte by byte.
    Exact(Arc<str>),
    /// As a whole.
    Regex(Arc<str>),
}

/// A gRPC service and method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcMethodMatch {
    /// The texts are regular expressions.
    pub is_regex: bool,
    /// `package.Service`.
    pub service: Option<Arc<str>>,
    /// `Method`.
    pub method: Option<Arc<str>>,
}

/// A filter, and where it stands among its rule's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// One that is applied.
    Action(FilterAction),
    /// One that no waypoint applies: the route that has it is not programmed.
    Unsupported(Arc<str>),
}

/// What a filter does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's names")]
pub enum FilterAction {
    RequestHeaders(HeaderChanges),
    ResponseHeaders(HeaderChanges),
    Redirect(RedirectFilter),
    Rewrite(RewriteFilter),
    Mirror(MirrorFilter),
    Cors(CorsFilter),
}

/// Changes of headers, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's names")]
pub struct HeaderChanges {
    pub set: Vec<(Arc<str>, Arc<str>)>,
    pub add: Vec<(Arc<str>, Arc<str>)>,
    pub remove: Vec<Arc<str>>,
}

/// Answers with the way to somewhere else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's names")]
pub struct RedirectFilter {
    pub scheme: Option<Arc<str>>,
    pub hostname: Option<Arc<str>>,
    pub port: Option<u16>,
    pub path: Option<PathChange>,
    /// 302 unless written.
    pub status: u16,
}

/// Changes the request on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's names")]
pub struct RewriteFilter {
    pub hostname: Option<Arc<str>>,
    pub path: Option<PathChange>,
}

/// A new path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathChange {
    /// The whole path.
    Full(Arc<str>),
    /// What the match's prefix matched.
    Prefix(Arc<str>),
}

/// Sends a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorFilter {
    /// Where to.
    pub backend: BackendReference,
    /// Share of requests: numerator and denominator.
    pub fraction: (u32, u32),
}

/// Answers browsers of other origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's names")]
pub struct CorsFilter {
    pub allow_origins: Vec<Arc<str>>,
    pub allow_methods: Vec<Arc<str>>,
    pub allow_headers: Vec<Arc<str>>,
    pub expose_headers: Vec<Arc<str>>,
    pub allow_credentials: bool,
    pub max_age: Duration,
}

/// Where a rule sends requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendReference {
    /// API group; empty for Kubernetes' own.
    pub group: Arc<str>,
    /// Kind; `Service` unless written.
    pub kind: Arc<str>,
    /// Namespace; the route's unless written.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Needed for a Service.
    pub port: Option<u16>,
    /// Its share; 1 unless written.
    pub weight: u32,
    /// Only for what is sent there.
    pub filters: Vec<Filter>,
}

/// `timeouts`; `None` not written, zero off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's names")]
pub struct RouteTimeouts {
    pub request: Option<Duration>,
    pub backend_request: Option<Duration>,
}

/// `retry`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's names")]
pub struct RetryPolicy {
    pub codes: Vec<u16>,
    pub attempts: Option<u32>,
    pub backoff: Option<Duration>,
}
