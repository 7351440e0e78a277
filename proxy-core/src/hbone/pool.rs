//! [`Pool`]: reuse of HBONE connections, keyed by who speaks to whom.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{Baggage, ConnectRequest, HboneError, Http2Settings, Tunnel};
use crate::host::{Host, Keepalive};
use crate::identity::{Identity, WorkloadCertificate};
use crate::telemetry::{Reason, Sink};
use crate::tls::TlsOptions;

/// Who speaks to whom: connections are shared only between equal keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey {
    /// The identity we present.
    pub source: Identity,
    /// Uid of the pod whose bytes are carried.
    pub source_workload: Arc<str>,
    /// The peer must prove to be one of these. In the caller's order.
    pub expected: Vec<Identity>,
    /// Where to dial.
    pub destination: SocketAddr,
    /// The pod's address.
    pub source_ip: IpAddr,
}

/// How a [`Pool`] behaves.
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

/// The client side of HBONE for one pod. Cheap to clone; clones are the same pool. Costs no task while it has no connection.
pub struct Pool<H> {
    inner: Arc<H>,
}

impl<H> Clone for Pool<H> {
    fn clone(&self) -> Self {
        Pool { inner: self.inner.clone() }
    }
}

impl<H: Host> Pool<H> {
    /// An empty pool. `host` is this process in the pod's namespace.
    pub fn new(host: H, config: PoolConfig, sink: Arc<dyn Sink>) -> Self {
        let _ = (config, sink);
        Pool { inner: Arc::new(host) }
    }

    /// Opens a stream to the key's destination, on a pooled connection if there is one, else on a new one. A burst of
    /// callers opens one connection; the rest wait for it and share its failure.
    ///
    /// # Errors
    /// [`HboneError`]; each stage is bounded by a timeout of the configuration.
    pub async fn connect(
        &self,
        key: PoolKey,
        certificate: Arc<WorkloadCertificate>,
        request: ConnectRequest,
    ) -> Result<Connected, HboneError> {
        let _ = (&self.inner, key, certificate, request);
        Err(HboneError::Draining)
    }

    /// No new streams from now on; connections close with their last stream.
    pub fn drain(&self) {}

    /// Connections whose key is chosen take no new streams from now on and close with their last one.
    pub fn retire(&self, chosen: impl Fn(&PoolKey) -> bool) {
        let _ = chosen;
    }

    /// Cuts every connection at once; streams break. `reason` is what the events say.
    pub fn close(&self, reason: Reason) {
        let _ = reason;
    }

    /// What it holds now.
    pub fn stats(&self) -> PoolStats {
        PoolStats::default()
    }
}
