//! [`RequestInfo`]: everything a waypoint has to tell of one HTTP request, once, when it is over.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{ConnectionInfo, Reason, ResponseFlags};
use crate::host::{Instant, WallTime};
use crate::policy::http::{HttpDecision, PolicyId};
use crate::route::{Backend, RouteOrigin, TelemetrySettings};
use crate::state::{Service, Workload};

/// The `request_protocol` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestProtocol {
    /// HTTP of any version.
    Http,
    /// gRPC.
    Grpc,
}

/// One HTTP request, from its head to the end of its answer. All an access log, the metrics and an explanation need.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// The connection it came in: client, its proven identity, the address it meant, the trace.
    pub connection: Arc<ConnectionInfo>,
    /// `x-request-id`.
    pub id: Arc<str>,
    /// Method.
    pub method: Arc<str>,
    /// Path and query as the client sent them.
    pub path: Arc<str>,
    /// `:authority` or `Host` as the client sent it.
    pub authority: Arc<str>,
    /// `HTTP/1.1` or `HTTP/2`.
    pub version: &'static str,
    /// `user-agent`.
    pub user_agent: Option<Arc<str>>,
    /// `x-forwarded-for`.
    pub forwarded_for: Option<Arc<str>>,
    /// HTTP or gRPC.
    pub protocol: RequestProtocol,
    /// When its head had come.
    pub started: Instant,
    /// The same on the wall clock.
    pub started_wall: WallTime,
    /// From there to the end of the answer.
    pub duration: Duration,
    /// From there to the head of the answer, if a backend gave it.
    pub upstream_time: Option<Duration>,
    /// What the client was answered; 0 if it never was.
    pub status: u16,
    /// `grpc-status`, if there was one.
    pub grpc_status: Option<u32>,
    /// Why it ended so.
    pub reason: Reason,
    /// Response flags, in order of occurrence.
    pub flags: Vec<ResponseFlags>,
    /// Response code details, in Envoy's words.
    pub details: Arc<str>,
    /// What the transport said, when a backend could not be reached.
    pub transport_failure: Option<Arc<str>>,
    /// Body bytes from the client.
    pub received: u64,
    /// Body bytes to the client.
    pub sent: u64,
    /// gRPC messages from the client.
    pub request_messages: u64,
    /// gRPC messages to the client.
    pub response_messages: u64,
    /// The route entry that matched; `None` for the implicit route or none at all.
    pub route: Option<RouteOrigin>,
    /// The backend drawn.
    pub backend: Option<Backend>,
    /// The service the backend is of.
    pub backend_service: Option<Arc<Service>>,
    /// Tries in order; the last gave the answer unless it failed.
    pub attempts: Vec<Attempt>,
    /// Copies sent.
    pub mirrors: Vec<MirroredCopy>,
    /// What layer-7 policy said.
    pub policy: PolicyOutcome,
    /// What became of the request's token.
    pub token: TokenOutcome,
    /// What is to be told of it, and how.
    pub telemetry: Arc<TelemetrySettings>,
    /// Whether it is part of a trace that is kept.
    pub sampled: bool,
    /// The span of this hop.
    pub span: [u8; 8],
    /// The span it belongs to, if the client sent one.
    pub parent_span: Option<[u8; 8]>,
    /// The trace; the client's if it sent one.
    pub trace: super::TraceId,
}

impl RequestInfo {
    /// The endpoint that was tried last.
    pub fn endpoint(&self) -> Option<&Arc<Workload>> {
        self.attempts.last().and_then(|attempt| attempt.endpoint.as_ref())
    }

    /// Flags as a label or log field: `-` if there are none.
    pub fn flags_text(&self) -> String {
        if self.flags.is_empty() {
            return ResponseFlags::None.to_string();
        }
        self.flags.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

/// One try at a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The endpoint drawn; `None` if there was none.
    pub endpoint: Option<Arc<Workload>>,
    /// Its address and port.
    pub address: Option<SocketAddr>,
    /// When it began, from the request's start.
    pub after: Duration,
    /// Its status, if it answered.
    pub status: Option<u16>,
    /// Why it failed; `Completed` if it answered.
    pub reason: Reason,
    /// In words, if it failed.
    pub error: Option<Arc<str>>,
}

/// A copy sent elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredCopy {
    /// Where to.
    pub backend: Backend,
    /// The endpoint drawn; `None` if there was none.
    pub endpoint: Option<Arc<Workload>>,
}

/// What layer-7 policy said of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyOutcome {
    /// The CUSTOM policy because of which a provider was asked, or the request refused without asking.
    pub custom: Option<PolicyId>,
    /// The provider that was asked.
    pub provider: Option<Arc<str>>,
    /// What AUDIT, DENY and ALLOW policies said; `None` if it never came to that.
    pub decision: Option<HttpDecision>,
}

/// What became of a request's token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenOutcome {
    /// No rule applies, or the request carries none.
    #[default]
    None,
    /// It proves this principal.
    Accepted(Arc<str>),
    /// It is not valid, and why.
    Rejected(Arc<str>),
}

impl fmt::Display for RequestProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RequestProtocol::Http => "http",
            RequestProtocol::Grpc => "grpc",
        })
    }
}
