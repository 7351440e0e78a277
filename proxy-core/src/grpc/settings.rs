//! [`GrpcSettings`]: bounds and times of both sides.

use std::time::Duration;

use crate::hbone::Http2Settings;
use crate::host::Keepalive;

/// Bounds and times of a gRPC connection, either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcSettings {
    /// The largest message taken. Default 200 MiB, as upstream's node proxy.
    pub message_max: usize,
    /// Time for the TCP connect. Default 5 s.
    pub connect_timeout: Duration,
    /// Time for the TLS and HTTP/2 handshakes. Default 5 s.
    pub handshake_timeout: Duration,
    /// HTTP/2 parameters; PING after 30 s, unanswered for 10 s.
    pub http2: Http2Settings,
    /// TCP keepalive. Default 300 s, then every 75 s, 9 times.
    pub keepalive: Option<Keepalive>,
}

impl Default for GrpcSettings {
    fn default() -> Self {
        let (idle, interval) = (Duration::from_secs(300), Duration::from_secs(75));
        GrpcSettings {
            message_max: 200 << 20,
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            http2: Http2Settings {
                ping_interval: Duration::from_secs(30),
                ping_timeout: Duration::from_secs(10),
                ..Http2Settings::default()
            },
            keepalive: Some(Keepalive { idle, interval, probes: 9 }),
        }
    }
}
