//! The records a control plane tells a waypoint. Both route APIs are translated into this one model.

mod action;
mod backend;
mod filter;
mod matches;
mod retry;
mod routes;
mod service;
mod settings;
mod telemetry;

pub use action::{
    Backend, BackendOverride, BackendTarget, DirectResponse, Forward, Mirror, PathRewrite, Redirect, RedirectPort,
    Rewrite, RouteAction, WeightedBackend,
};
pub use backend::{
    BackendSettings, BackendTls, ConnectionPool, ConsistentHash, Discovery, HashAlgorithm, HashKey, LoadBalancer,
    LocalityDistribution, LocalityFailover, LocalityPreference, OutlierDetection, ProxyProtocol, Subset, TlsMode,
    TrafficPolicy, UpgradePolicy, Warmup,
};
pub use filter::{AbortStatus, Cors, Fault, Filters, HeaderChanges, OriginMatch, UnmatchedPreflight};
pub use matches::{ClaimMatch, HeaderMatch, HttpMatch, PathKind, PathMatch, QueryMatch};
pub use retry::{RetryBudget, RetryConditions, RetryPolicy, Timeouts};
pub use routes::HttpRoutes;
pub use service::{HttpRoute, PortProtocol, PortRoutes, RouteKind, RouteOrigin, ServiceRoutes, TcpBackend, TcpRoute};
pub use settings::{
    AuthorizationProvider, GatewayKey, HeaderLimits, ProviderProtocol, RequestBodyInCheck, WaypointSettings,
};
pub use telemetry::{AccessLogging, MetricOverride, TagOverride, TelemetrySettings, TraceFormat, Tracing};
