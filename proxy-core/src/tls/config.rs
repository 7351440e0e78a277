//! [`client_config`] and [`server_config`]: one rustls configuration per connection.

use std::fmt;
use std::sync::Arc;

use rustls::{ClientConfig, KeyLog, ServerConfig};

use super::TlsError;
use crate::host::Host;
use crate::identity::{Identity, WorkloadCertificate};

/// Where key exchange, signature randomness and session data come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Crypto {
    /// From the host's random stream `tls`: repeatable where the host is. Bulk encryption, hashes and verification are
    /// ring's.
    #[default]
    Seeded,
    /// Everything from ring and the operating system, for real sockets.
    Stock,
}

/// How connections of one proxy are protected.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// Where randomness comes from.
    pub crypto: Crypto,
    /// Also speak TLS 1.2. Off by default.
    pub tls12: bool,
    /// Told the secrets of every connection this proxy serves (server side only, so nothing is told twice), before the
    /// first byte protected by them is written.
    pub key_log: Option<Arc<dyn KeyLog>>,
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("crypto", &self.crypto)
            .field("tls12", &self.tls12)
            .field("key_log", &self.key_log.is_some())
            .finish()
    }
}

/// The configuration of one connection we open: we present `certificate`, and the peer must chain to its roots and
/// carry a SPIFFE URI SAN that is one of `expected`. No SNI, no resumption, ALPN `h2`.
///
/// # Errors
/// [`TlsError::Local`] if the certificate cannot be used.
pub fn client_config<H: Host>(
    host: &H,
    options: &TlsOptions,
    certificate: &WorkloadCertificate,
    expected: &[Identity],
) -> Result<Arc<ClientConfig>, TlsError> {
    let _ = (host, options, certificate, expected);
    Err(TlsError::Local("not built yet".into()))
}

/// The configuration of one connection we accept: we present `certificate`, and the peer must present one that chains
/// to its roots and carries a SPIFFE URI SAN of exactly our trust domain. No tickets, no resumption, ALPN `h2`.
///
/// # Errors
/// [`TlsError::Local`] if the certificate cannot be used.
pub fn server_config<H: Host>(
    host: &H,
    options: &TlsOptions,
    certificate: &WorkloadCertificate,
) -> Result<Arc<ServerConfig>, TlsError> {
    let _ = (host, options, certificate);
    Err(TlsError::Local("not built yet".into()))
}
