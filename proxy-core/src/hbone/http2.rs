//! [`Http2Settings`]: what both ends ask of HTTP/2, and the h2 builders made of it.

use std::time::Duration;

/// HTTP/2 parameters of an HBONE connection.
///
/// The connection window must exceed the stream window, or one unread stream would stall all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Settings {
    /// Bytes a peer may send on one stream unread. Default 4 MiB.
    pub stream_window: u32,
    /// Bytes a peer may send on all streams unread. Default 16 MiB.
    pub connection_window: u32,
    /// The largest frame we accept. Default 1 MiB.
    pub frame_max: u32,
    /// Bytes a stream may hold unsent. Default 400 KiB.
    pub send_buffer_max: usize,
    /// The largest header list a server accepts. Default 64 KiB.
    pub server_header_list_max: u32,
    /// The largest header list a client accepts. Default 16 KiB.
    pub client_header_list_max: u32,
    /// Streams a server lets one client have. Default 200.
    pub server_streams_max: u32,
    /// Time from a connection's start, or from the last PONG, to the next PING. Default 10 s.
    pub ping_interval: Duration,
    /// How long a PING may go unanswered. Default 20 s.
    pub ping_timeout: Duration,
}

impl Default for Http2Settings {
    fn default() -> Self {
        Http2Settings {
            stream_window: 4 << 20,
            connection_window: 16 << 20,
            frame_max: 1 << 20,
            send_buffer_max: 400 << 10,
            server_header_list_max: 64 << 10,
            client_header_list_max: 16 << 10,
            server_streams_max: 200,
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(20),
        }
    }
}
