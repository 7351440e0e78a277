//! The one event type and the closed set of reasons; log and metrics derive from events and nothing else.

pub mod access_log;
mod discovery;
mod dns;
mod event;
pub mod metrics;
mod reason;
mod request;
#[cfg(test)]
mod samples;
mod sink;
mod timestamp;

pub use access_log::AccessLog;
pub use discovery::{DiscoveryEvent, StreamEnd};
pub use dns::{DnsOutcome, DnsProtocol, DnsRequest};
pub use event::{
    ConnectionId, ConnectionInfo, ConnectionSecurity, Direction, Event, Hop, Reporter, TraceId, TunnelEvent,
};
pub use metrics::Metrics;
pub use reason::{Reason, ResponseFlags};
pub use request::{Attempt, MirroredCopy, PolicyOutcome, RequestInfo, RequestProtocol, TokenOutcome};
pub use sink::{Fanout, NullSink, Sink};

/// Wall time as `2026-01-01T00:00:00.000000Z`.
pub fn timestamp(at: crate::host::WallTime) -> String {
    timestamp::Timestamp(at).to_string()
}
