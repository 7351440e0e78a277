//! [`PoolKey`], [`PoolConfig`], [`PoolStats`]: what goes into a pool and what can be seen of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::hbone::{Baggage, Http2Settings, Tunnel};
use crate::host::Keepalive;
use crate::identity::Identity;
use crate::tls::TlsOptions;

/// Who speaks to whom: connections are shared only between equal keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey {
    /// Where to dial. First, because it tells most keys of one pod's pool apart.
    pub destination: SocketAddr,
    /// The identity we present.
    pub source: Identity,
    /// Uid of the pod whose bytes are carried.
    pub source_workload: Arc<str>,
    /// The peer must prove to be one of these. In the caller's order.
    pub expected: Vec<Identity>,
    /// The pod's address.
    pub source_ip: IpAddr,
}

/// How a [`Pool`](super::Pool) behaves.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// How connections are protected.
    pub tls: TlsOptions,
    /// HTTP/2 parameters.
    pub http2: Http2Settings,
    /// Time for the TCP connect. Default 10 s.
    pub connect_timeout: Duration,
    /// Time for the TLS and HTTP/2 handshakes. Default 10 s.
    pub handshake_timeout: Duration,
    /// Time for the answer to CONNECT, which includes the peer's own connect to its application. Default 10 s.
    pub response_timeout: Duration,
    /// Streams per connection. Default 100; a smaller limit of the peer wins.
    pub streams_max: usize,
    /// Connections in the pool; beyond it the least recently used takes no new streams and closes with its last one.
    /// Default 500.
    pub connections_max: usize,
    /// A connection not asked for this long takes no new streams and closes with its last one. Default 5 min.
    pub idle_max: Duration,
    /// Keepalive of the TCP connections. Default as [`Keepalive::default`].
    pub keepalive: Option<Keepalive>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        PoolConfig {
            tls: TlsOptions::default(),
            http2: Http2Settings::default(),
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(10),
            streams_max: 100,
            connections_max: 500,
            idle_max: Duration::from_secs(300),
            keepalive: Some(Keepalive::default()),
        }
    }
}

/// A CONNECT the peer accepted.
pub struct Connected {
    /// The bytes.
    pub tunnel: Tunnel,
    /// What the peer says its workload is; `None` if it said nothing.
    pub baggage: Option<Baggage>,
}

/// What a pool holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PoolStats {
    /// Connections open, pooled or finishing.
    pub connections: usize,
    /// Connections that take new streams.
    pub pooled: usize,
    /// Streams open.
    pub streams: usize,
    /// Connections being made.
    pub connecting: usize,
}
