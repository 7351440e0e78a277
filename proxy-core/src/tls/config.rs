//! [`client_config`] and [`server_config`]: one rustls configuration per connection.

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::compress::CompressionCache;
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, KeyLog, ServerConfig, SupportedProtocolVersion};

use super::provider::provider;
use super::verify::{Accepted, PeerVerifier};
use super::{SigningKey, TlsError};
use crate::host::Host;
use crate::identity::{Identity, WorkloadCertificate};

/// The one protocol spoken inside.
pub(super) const ALPN: &[u8] = b"h2";

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
    let (provider, clock) = provider(host, options.crypto, options.tls12);
    let verifier = PeerVerifier {
        roots: certificate.roots.clone(),
        accepted: Accepted::OneOf(expected.into()),
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ClientConfig::builder_with_details(provider, clock)
        .with_protocol_versions(options.versions())
        .map_err(|error| TlsError::Local(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(presented(&certificate.chain, &certificate.key));
    config.enable_sni = false;
    Ok(finish_client(config, &[ALPN]))
}

/// The configuration of one connection we accept: we present `certificate`, and the peer must present one that chains
/// to its roots and carries a SPIFFE URI SAN of exactly our trust domain or one of `aliases`. No tickets, no resumption, ALPN `h2`.
///
/// # Errors
/// [`TlsError::Local`] if the certificate cannot be used.
pub fn server_config<H: Host>(
    host: &H,
    options: &TlsOptions,
    certificate: &WorkloadCertificate,
    aliases: &[Arc<str>],
) -> Result<Arc<ServerConfig>, TlsError> {
    let (provider, clock) = provider(host, options.crypto, options.tls12);
    let verifier = PeerVerifier {
        roots: certificate.roots.clone(),
        accepted: Accepted::mesh(certificate, aliases),
        algorithms: provider.signature_verification_algorithms,
    };
    let config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(options.versions())
        .map_err(|error| TlsError::Local(error.to_string()))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(presented(&certificate.chain, &certificate.key));
    Ok(finish_server(config, options))
}

/// What all our clients have in common: the protocols they offer, and that connections leave nothing behind.
pub(super) fn finish_client(mut config: ClientConfig, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::disabled();
    config.cert_compression_cache = Arc::new(CompressionCache::Disabled);
    Arc::new(config)
}

/// What all our servers have in common: ALPN `h2`, connections that leave nothing behind, and the key log if there is one.
pub(super) fn finish_server(mut config: ServerConfig, options: &TlsOptions) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.cert_compression_cache = Arc::new(CompressionCache::Disabled);
    if let Some(key_log) = &options.key_log {
        config.key_log = key_log.clone();
    }
    Arc::new(config)
}

impl TlsOptions {
    pub(super) fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        if self.tls12 { &BOTH } else { &BOTH[..1] }
    }
}

/// Always the same certificate (DER, leaf first) and key, whatever the peer asks for.
pub(super) fn presented(chain: &[Vec<u8>], key: &SigningKey) -> Arc<SingleCertAndKey> {
    let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, Arc::new(key.clone()))))
}
