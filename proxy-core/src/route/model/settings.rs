//! [`WaypointSettings`]: what holds for everything a waypoint does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Backend, TelemetrySettings};
use crate::authentication::JwtRule;
use crate::policy::http::{HttpPolicies, TrustDomains};
use crate::request::{PathNormalization, TextMatch};

/// `namespace/name` of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayKey {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl GatewayKey {
    /// From its parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        GatewayKey { namespace: namespace.into(), name: name.into() }
    }
}

/// `namespace/name`.
impl fmt::Display for GatewayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What holds for everything a waypoint does. One for each waypoint; it is ready only when it has its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaypointSettings {
    /// The Gateway it is.
    pub gateway: GatewayKey,
    /// Policies whose `targetRefs` name its Gateway or its class; they hold for services and for pods.
    pub policies: HttpPolicies,
    /// Token rules whose `targetRefs` name its Gateway or its class.
    pub authentication: Vec<JwtRule>,
    /// How paths are normalised.
    pub path_normalization: PathNormalization,
    /// Which peers belong to the mesh.
    pub trust_domains: TrustDomains,
    /// Providers CUSTOM policies may name.
    pub providers: BTreeMap<Arc<str>, AuthorizationProvider>,
    /// Whether CUSTOM policies may name several providers for one workload.
    pub several_providers: bool,
    /// Whether backends see `x-forwarded-client-cert` (`ambient.istio.io/xfcc-include-client-identity`).
    pub forward_client_certificate: bool,
    /// Telemetry whose `targetRefs` name its Gateway or its class, else of its namespace, else of the mesh.
    pub telemetry: TelemetrySettings,
    /// Tunnels to endpoints unused for this long are closed. Default 1 h.
    pub hbone_idle_timeout: Duration,
    /// Bounds on heads and bodies.
    pub limits: HeaderLimits,
}

impl WaypointSettings {
    /// Defaults for a waypoint of a mesh.
    pub fn new(gateway: GatewayKey, trust_domains: TrustDomains) -> Self {
        WaypointSettings {
            gateway,
            policies: HttpPolicies::default(),
            authentication: Vec::new(),
            path_normalization: PathNormalization::default(),
            trust_domains,
            providers: BTreeMap::new(),
            several_providers: false,
            forward_client_certificate: false,
            telemetry: TelemetrySettings::default(),
            hbone_idle_timeout: Duration::from_secs(3600),
            limits: HeaderLimits::default(),
        }
    }
}

/// Bounds on the head of a message. The defaults are Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderLimits {
    /// Bytes of names and values. Default 60 KiB.
    pub head_bytes_max: usize,
    /// Fields. Default 100.
    pub fields_max: usize,
    /// Time from the first byte of a head to its last. `None` is without end.
    pub head_timeout: Option<Duration>,
    /// Streams at once in one connection. Default 100.
    pub streams_max: u32,
}

impl Default for HeaderLimits {
    fn default() -> Self {
        HeaderLimits { head_bytes_max: 60 * 1024, fields_max: 100, head_timeout: None, streams_max: 100 }
    }
}

/// Someone who is asked whether a request may pass (an extension provider of the mesh configuration).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationProvider {
    /// Over which protocol.
    pub protocol: ProviderProtocol,
    /// Where it is.
    pub backend: Backend,
    /// How long it may take. Default 600 s.
    pub timeout: Duration,
    /// Whether requests pass when it cannot be asked. Default false.
    pub fail_open: bool,
    /// Status when it cannot be asked. Default 403.
    pub status_on_error: u16,
    /// The body, if it is to see it.
    pub body: Option<RequestBodyInCheck>,
}

/// Over which protocol a provider is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderProtocol {
    /// `envoy.service.auth.v3.Authorization/Check`.
    Grpc,
    /// The request's own head is sent to it; 200 allows.
    Http {
        /// Before the request's path.
        path_prefix: Arc<str>,
        /// Request headers it sees besides host, method, path, content-length and authorization; lower case.
        include_request_headers: Vec<TextMatch>,
        /// Headers it sees besides.
        additional_headers: Vec<(Arc<str>, Arc<str>)>,
        /// Its response headers the backend sees when it allows; lower case.
        to_upstream_on_allow: Vec<TextMatch>,
        /// Its response headers the client sees when it allows; lower case.
        to_downstream_on_allow: Vec<TextMatch>,
        /// Its response headers the client sees when it denies; all if empty; lower case.
        to_downstream_on_deny: Vec<TextMatch>,
    },
}

/// How much of the body a provider sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBodyInCheck {
    /// Bytes; a longer body is answered 413 unless a part will do.
    pub max_bytes: u32,
    /// A part will do.
    pub allow_partial: bool,
    /// As bytes, not as text.
    pub pack_as_bytes: bool,
}
