//! [`HboneError`]: why there is no tunnel.

use std::net::SocketAddr;
use std::time::Duration;

use crate::telemetry::Reason;
use crate::tls::TlsError;

/// Why there is no tunnel. Cloned to everybody who waited for the same connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HboneError {
    /// The network said no before TLS began.
    #[error("cannot connect to {to}: {error}")]
    Connect {
        /// Whom we dialled.
        to: SocketAddr,
        /// What the network said.
        error: String,
    },
    /// The network said nothing.
    #[error("{to} did not answer in {limit:?}; a NetworkPolicy may block port {port}", port = to.port())]
    ConnectTimeout {
        /// Whom we dialled.
        to: SocketAddr,
        /// How long we waited.
        limit: Duration,
    },
    /// The TLS handshake failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// HTTP/2 failed at its own handshake or later.
    #[error("HTTP/2 failed: {0}")]
    Http2(String),
    /// The peer broke the connection or reset the stream.
    #[error("the peer reset: {0}")]
    Reset(String),
    /// The peer stopped answering PING.
    #[error("the peer stopped answering keepalive")]
    PeerDead,
    /// The peer accepted the CONNECT and never answered it.
    #[error("the peer did not answer CONNECT in {0:?}")]
    ResponseTimeout(Duration),
    /// The peer answered CONNECT with another status than 200.
    #[error("the peer refused CONNECT with status {0}")]
    Refused(u16),
    /// What we were asked to send cannot be sent.
    #[error("{0}")]
    Malformed(String),
    /// A limit on handshakes was reached.
    #[error("{0}")]
    Limit(String),
    /// The pool is draining and opens nothing.
    #[error("the workload's tunnels are draining")]
    Draining,
    /// The pool was closed: the workload is gone.
    #[error("the workload's tunnels are closed")]
    Closed(Reason),
}

impl HboneError {
    /// For log, metric and scenario.
    pub fn reason(&self) -> Reason {
        match self {
            HboneError::Connect { .. } => Reason::ConnectFailed,
            HboneError::ConnectTimeout { .. } => Reason::HboneTimeout,
            HboneError::Tls(error) => error.reason(),
            HboneError::Http2(_) => Reason::Http2Failed,
            HboneError::Reset(_) => Reason::Http2Failed,
            HboneError::PeerDead => Reason::PeerDead,
            HboneError::ResponseTimeout(_) => Reason::ConnectResponseTimeout,
            HboneError::Refused(401) => Reason::RefusedByPeerPolicy,
            HboneError::Refused(_) => Reason::RefusedByPeer,
            HboneError::Malformed(_) => Reason::BadRequest,
            HboneError::Limit(_) => Reason::LimitReached,
            HboneError::Draining => Reason::Drained,
            HboneError::Closed(reason) => *reason,
        }
    }
}
