//! The one event type and the closed set of reasons; log and metrics derive from events and nothing else.

mod event;
mod reason;
mod sink;

pub use event::{
    ConnectionId, ConnectionInfo, ConnectionSecurity, Direction, Event, Hop, Reporter, TraceId, TunnelEvent,
};
pub use reason::{Reason, ResponseFlags};
pub use sink::{NullSink, Sink};
