//! [`Reason`]: why a connection ended or never began. One closed set for log, metric, report and scenario expectation.

use std::fmt;
use std::str::FromStr;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $flags:ident;)*) => {
        /// Why a connection ended or never began.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// All of them, in order of declaration.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The name used in logs, reports and scenario files.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            /// The `response_flags` label of the metric.
            pub const fn flags(self) -> ResponseFlags {
                match self { $(Reason::$variant => ResponseFlags::$flags,)* }
            }
        }

        impl FromStr for Reason {
            type Err = String;
            fn from_str(name: &str) -> Result<Self, String> {
                match name { $($name => Ok(Reason::$variant),)* _ => Err(format!("no reason is called `{name}`")) }
            }
        }
    };
}

reasons! {
    /// Both sides closed in good order.
    Completed = "completed", None;
    /// A loop guard was hit: a call to one of the proxy's own ports.
    SelfCall = "self_call", Connect;
    /// The local workload did not become known in time.
    UnknownSourceWorkload = "unknown_source_workload", Connect;
    /// The destination's waypoint names nothing known or usable.
    UnknownWaypoint = "unknown_waypoint", Connect;
    /// The destination's network gateway names nothing known or usable.
    UnknownNetworkGateway = "unknown_network_gateway", Connect;
    /// The service is known and nothing can be picked.
    NoHealthyUpstream = "no_healthy_upstream", Connect;
    /// The workload has no usable address.
    NoValidDestination = "no_valid_destination", Connect;
    /// A pick in another network without a service.
    NoService = "no_service", Connect;
    /// The workload's hostname did not resolve.
    NoResolvedAddress = "no_resolved_address", Connect;
    /// No certificate for our own identity.
    IdentityUnavailable = "identity_unavailable", IdentityError;
    /// The TCP connect was refused, reset or unreachable.
    ConnectFailed = "connect_failed", Connect;
    /// The TCP connect was not answered in time.
    ConnectTimeout = "connect_timeout", Connect;
    /// The HBONE connect was not answered in time; a NetworkPolicy may block port 15008.
    HboneTimeout = "hbone_timeout", NetworkPolicy;
    /// The TLS handshake failed or was refused.
    TlsFailed = "tls_failed", TlsFailure;
    /// The TLS handshake did not end in time.
    TlsTimeout = "tls_timeout", TlsFailure;
    /// The peer presented no certificate.
    NoPeerCertificate = "no_peer_certificate", TlsFailure;
    /// The peer's certificate is of another trust domain.
    ForeignTrustDomain = "foreign_trust_domain", TlsFailure;
    /// The peer proved another identity than the one expected.
    WrongPeerIdentity = "wrong_peer_identity", TlsFailure;
    /// The peer's certificate is expired or not yet valid.
    CertificateExpired = "certificate_expired", TlsFailure;
    /// HTTP/2 failed before or after the CONNECT.
    Http2Failed = "http2_failed", H2HandshakeFailure;
    /// The peer did not answer the CONNECT in time.
    ConnectResponseTimeout = "connect_response_timeout", H2HandshakeFailure;
    /// The peer answered CONNECT with 401: its policy refused.
    RefusedByPeerPolicy = "refused_by_peer_policy", Connect;
    /// The peer answered CONNECT with another status than 200 or 401.
    RefusedByPeer = "refused_by_peer", Connect;
    /// Not a CONNECT, or an authority that cannot be read.
    BadRequest = "bad_request", Connect;
    /// The authority is not this workload and nothing allows it.
    IpMismatch = "ip_mismatch", Connect;
    /// The local workload is not known (inbound).
    UnknownDestinationWorkload = "unknown_destination_workload", Connect;
    /// The authority's hostname or port leads nowhere.
    NoNextHop = "no_next_hop", Connect;
    /// An enforced DENY policy matched.
    PolicyDenied = "policy_denied", Deny;
    /// ALLOW policies apply and none matched.
    PolicyNotAllowed = "policy_not_allowed", Deny;
    /// A policy the workload names has not been received.
    PolicyUnknown = "policy_unknown", Deny;
    /// Admitted once, refused after a change of policy.
    PolicyChanged = "policy_changed", Deny;
    /// Admitted once, refused after a change of the workload's own attachment or mode.
    WorkloadChanged = "workload_changed", Deny;
    /// The peer reset the connection or tunnel.
    Reset = "reset", Connect;
    /// The peer stopped answering keepalive.
    PeerDead = "peer_dead", Connect;
    /// Cut at the drain deadline.
    Drained = "drained", None;
    /// Cut because the workload left the node or the mesh.
    WorkloadRemoved = "workload_removed", None;
    /// The peer's certificate is revoked.
    CertificateRevoked = "certificate_revoked", CertRevoked;
    /// A limit on connections, handshakes or streams was reached.
    LimitReached = "limit_reached", Connect;
    /// The service or pod is not served by this waypoint, or not on this port.
    NotAttached = "not_attached", Connect;
    /// No route matches the request.
    NoRoute = "no_route", NoRoute;
    /// The route's backend is invalid, or its weights are all zero.
    InvalidBackend = "invalid_backend", None;
    /// The route names a subset or service that is not known.
    UnknownBackend = "unknown_backend", NoCluster;
    /// No endpoint can be had.
    NoHealthyEndpoint = "no_healthy_endpoint", NoHealthyUpstream;
    /// The endpoint could not be connected to.
    UpstreamConnectFailed = "upstream_connect_failed", UpstreamConnectFailure;
    /// The endpoint closed the connection before it answered.
    UpstreamClosed = "upstream_closed", UpstreamClosed;
    /// The endpoint reset the request.
    UpstreamReset = "upstream_reset", UpstreamReset;
    /// The endpoint's answer is not HTTP.
    UpstreamProtocolError = "upstream_protocol_error", UpstreamProtocolError;
    /// A bound on connections or requests to the backend was reached.
    UpstreamOverflow = "upstream_overflow", UpstreamOverflow;
    /// The request took longer than its route allows.
    RequestTimeout = "request_timeout", UpstreamTimeout;
    /// The head of a request did not arrive in time.
    SlowRequest = "slow_request", IdleTimeout;
    /// Nothing passed for longer than the backend's settings allow.
    Idle = "idle", IdleTimeout;
    /// The client gave up.
    ClientGone = "client_gone", ClientGone;
    /// The client broke the rules of HTTP.
    MalformedRequest = "malformed_request", ProtocolError;
    /// A fault was injected instead of an answer.
    FaultInjected = "fault_injected", FaultInjected;
    /// The external authorizer refused, or could not be asked.
    RefusedByProvider = "refused_by_provider", ExternalAuthorization;
    /// The request's token is not valid.
    TokenRejected = "token_rejected", None;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The `response_flags` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the labels' names")]
pub enum ResponseFlags {
    None,
    Deny,
    Connect,
    TlsFailure,
    H2HandshakeFailure,
    NetworkPolicy,
    IdentityError,
    CertRevoked,
    NoRoute,
    NoCluster,
    NoHealthyUpstream,
    UpstreamConnectFailure,
    UpstreamClosed,
    UpstreamReset,
    UpstreamProtocolError,
    UpstreamOverflow,
    UpstreamRetryLimit,
    UpstreamTimeout,
    IdleTimeout,
    ClientGone,
    ProtocolError,
    DelayInjected,
    FaultInjected,
    RateLimited,
    ExternalAuthorization,
}

/// As exposed: `-`, `DENY`, `CONNECT`, …, and for HTTP requests `UH`, `UF`, …
impl fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResponseFlags::None => "-",
            ResponseFlags::Deny => "DENY",
            ResponseFlags::Connect => "CONNECT",
            ResponseFlags::TlsFailure => "TLS_FAILURE",
            ResponseFlags::H2HandshakeFailure => "H2_HANDSHAKE_FAILURE",
            ResponseFlags::NetworkPolicy => "NETWORK_POLICY",
            ResponseFlags::IdentityError => "IDENTITY_ERROR",
            ResponseFlags::CertRevoked => "CERT_REVOKED",
            ResponseFlags::NoRoute => "NR",
            ResponseFlags::NoCluster => "NC",
            ResponseFlags::NoHealthyUpstream => "UH",
            ResponseFlags::UpstreamConnectFailure => "UF",
            ResponseFlags::UpstreamClosed => "UC",
            ResponseFlags::UpstreamReset => "UR",
            ResponseFlags::UpstreamProtocolError => "UPE",
            ResponseFlags::UpstreamOverflow => "UO",
            ResponseFlags::UpstreamRetryLimit => "URX",
            ResponseFlags::UpstreamTimeout => "UT",
            ResponseFlags::IdleTimeout => "SI",
            ResponseFlags::ClientGone => "DC",
            ResponseFlags::ProtocolError => "DPE",
            ResponseFlags::DelayInjected => "DI",
            ResponseFlags::FaultInjected => "FI",
            ResponseFlags::RateLimited => "RL",
            ResponseFlags::ExternalAuthorization => "UAEX",
        })
    }
}
