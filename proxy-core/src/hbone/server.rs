//! [`Acceptor`] and [`ServerConnection`]: the server side of HBONE.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::{Baggage, ConnectHeaders, HboneError, Http2Settings, Tunnel, TunnelInfo};
use crate::host::Host;
use crate::identity::WorkloadCertificate;
use crate::telemetry::{Reason, Sink};
use crate::tls::TlsOptions;

/// How an [`Acceptor`] behaves.
#[derive(Clone, Debug)]
pub struct AcceptorConfig {
    /// How connections are protected.
    pub tls: TlsOptions,
    /// HTTP/2 parameters.
    pub http2: Http2Settings,
    /// Time for the TLS and HTTP/2 handshakes, waiting for a free place included. Default 10 s.
    pub handshake_timeout: Duration,
    /// Handshakes under way at once; further ones wait. Default 256.
    pub handshakes_max: usize,
}

impl Default for AcceptorConfig {
    fn default() -> Self {
        AcceptorConfig {
            tls: TlsOptions::default(),
            http2: Http2Settings::default(),
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 256,
        }
    }
}

/// Turns accepted TCP streams into HBONE connections. Cheap to clone; clones share the limit on handshakes.
pub struct Acceptor<H> {
    host: H,
}

impl<H: Host> Clone for Acceptor<H> {
    fn clone(&self) -> Self {
        Acceptor { host: self.host.clone() }
    }
}

impl<H: Host> Acceptor<H> {
    /// An acceptor for one listener.
    pub fn new(host: H, config: AcceptorConfig, sink: Arc<dyn Sink>) -> Self {
        let _ = (config, sink);
        Acceptor { host }
    }

    /// Does the TLS and HTTP/2 handshakes, presenting `certificate`.
    ///
    /// # Errors
    /// [`HboneError::Tls`], [`HboneError::Http2`], [`HboneError::Limit`]; bounded by the handshake timeout.
    pub async fn accept(
        &self,
        tcp: H::Tcp,
        certificate: &WorkloadCertificate,
    ) -> Result<ServerConnection<H>, HboneError> {
        let _ = (&self.host, tcp, certificate);
        Err(HboneError::Draining)
    }
}

/// One HBONE connection, server side. Nothing in it moves unless [`ServerConnection::next`] is being awaited: one task
/// calls it in a loop and spawns the rest.
pub struct ServerConnection<H: Host> {
    info: Arc<TunnelInfo>,
    host: H,
}

impl<H: Host> ServerConnection<H> {
    /// The connection.
    pub fn info(&self) -> &Arc<TunnelInfo> {
        &self.info
    }

    /// The next request; `None` when the connection is over, and [`ServerConnection::closed`] then says why. Can be
    /// dropped and called again without loss.
    pub async fn next(&mut self) -> Option<IncomingConnect> {
        let _ = &self.host;
        None
    }

    /// Announces GOAWAY: streams under way continue, new ones are refused, [`ServerConnection::next`] gives `None`
    /// after the last has ended. Keep calling `next`.
    pub fn graceful_shutdown(&mut self) {}

    /// Why it is over; [`Reason::Completed`] when both sides closed in good order.
    pub fn closed(&self) -> Reason {
        Reason::Completed
    }
}

/// A request on an HBONE connection, not yet answered. Dropping it resets the stream.
pub struct IncomingConnect {
    info: Arc<TunnelInfo>,
    method: Method,
    authority: Option<String>,
    headers: ConnectHeaders,
}

impl IncomingConnect {
    /// Must be CONNECT; judge it.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The authority as the peer wrote it, if any.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// What the headers say.
    pub fn headers(&self) -> &ConnectHeaders {
        &self.headers
    }

    /// The connection: who the peer proved to be and the addresses.
    pub fn info(&self) -> &Arc<TunnelInfo> {
        &self.info
    }

    /// The TCP peer.
    pub fn peer(&self) -> SocketAddr {
        self.info.peer
    }

    /// Answers 200, with `baggage` of the destination workload if given, and gives the bytes.
    ///
    /// # Errors
    /// [`HboneError::Reset`] if the stream is gone already.
    pub fn accept(self, baggage: Option<&Baggage>) -> Result<Tunnel, HboneError> {
        let _ = baggage;
        Err(HboneError::Draining)
    }

    /// Answers `status`: headers only, END_STREAM, no baggage.
    pub fn refuse(self, status: StatusCode) {
        let _ = status;
    }

    /// Completes when the peer gives up on the stream before it was answered.
    pub async fn cancelled(&mut self) {
        std::future::pending().await
    }
}
