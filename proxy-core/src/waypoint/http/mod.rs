//! HTTP as the waypoint speaks it: strict framing in front of HTTP/1.1, HTTP/2 with bounded everything, one body type.

pub(super) mod body;
pub(super) mod framing;
pub(super) mod http1;
pub(super) mod http2;
pub(super) mod io;
pub(super) mod outgoing;
pub(super) mod replay;
pub(super) mod sniff;
pub(super) mod strict;
pub(super) mod timed;

/// In an answer's extensions: the client's connection is to end after it. HTTP/1.1 says `connection: close`, HTTP/2
/// GOAWAY; what else is under way on it goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leave;
