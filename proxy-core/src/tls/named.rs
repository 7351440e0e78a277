//! Ordinary server authentication: a server known by a name, a client that presents nothing. For control planes only;
//! workloads know each other by SPIFFE identity.

use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::compress::CompressionCache;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};

use super::config::ALPN;
use super::provider::provider;
use super::{SigningKey, TlsError, TlsOptions, TlsStream};
use crate::host::Host;

/// What a server that is known by name presents.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    /// Leaf first, then intermediates. DER.
    pub chain: Vec<Vec<u8>>,
    /// The leaf's private key.
    pub key: SigningKey,
}

/// Connects to the server called `name` (sent as SNI if it is a DNS name): its chain must lead to one of `roots` (DER)
/// and its certificate carry that name. No client certificate, no resumption, ALPN `h2`. No timeout of its own.
///
/// # Errors
/// [`TlsError`].
pub async fn connect_named<H: Host, S: AsyncRead + AsyncWrite + Unpin>(
    host: &H,
    options: &TlsOptions,
    roots: &[Vec<u8>],
    name: &str,
    stream: S,
) -> Result<TlsStream<S>, TlsError> {
    let local = |what: String| TlsError::Local(what);
    let server =
        ServerName::try_from(name.to_owned()).map_err(|_| local(format!("`{name}` is not a server's name")))?;
    let mut store = RootCertStore::empty();
    // A root we cannot parse is no root; others still count.
    store.add_parsable_certificates(roots.iter().map(|root| CertificateDer::from(root.as_slice())));
    let (provider, clock) = provider(host, options.crypto, options.tls12);
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
        .build()
        .map_err(|error| local(format!("no root to verify {name} against: {error}")))?;
    let mut config = ClientConfig::builder_with_details(provider, clock)
        .with_protocol_versions(options.versions())
        .map_err(|error| local(error.to_string()))?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.cert_compression_cache = Arc::new(CompressionCache::Disabled);
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(server, stream)
        .await
        .map_err(|error| TlsError::from_io(&error))?;
    Ok(TlsStream::Client(stream))
}

/// The server's side of [`connect_named`]: presents `certificate` and asks the client for none. No timeout of its own.
///
/// # Errors
/// [`TlsError`].
pub async fn accept_anonymous<H: Host, S: AsyncRead + AsyncWrite + Unpin>(
    host: &H,
    options: &TlsOptions,
    certificate: &ServerCertificate,
    stream: S,
) -> Result<TlsStream<S>, TlsError> {
    let (provider, clock) = provider(host, options.crypto, options.tls12);
    let chain = certificate.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let presented = SingleCertAndKey::from(CertifiedKey::new(chain, Arc::new(certificate.key.clone())));
    let mut config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(options.versions())
        .map_err(|error| TlsError::Local(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(presented));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.cert_compression_cache = Arc::new(CompressionCache::Disabled);
    if let Some(key_log) = &options.key_log {
        config.key_log = key_log.clone();
    }
    let stream = tokio_rustls::TlsAcceptor::from(Arc::new(config))
        .accept(stream)
        .await
        .map_err(|error| TlsError::from_io(&error))?;
    Ok(TlsStream::Server(stream))
}
