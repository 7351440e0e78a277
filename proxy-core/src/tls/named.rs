//! Ordinary server authentication: a server known by a name, a client that presents nothing. For control planes only;
//! workloads know each other by SPIFFE identity.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};

use super::config::{ALPN, finish_client, finish_server, presented};
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
    let config = ClientConfig::builder_with_details(provider, clock)
        .with_protocol_versions(options.versions())
        .map_err(|error| local(error.to_string()))?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    let stream = tokio_rustls::TlsConnector::from(finish_client(config, &[ALPN]))
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
    let config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(options.versions())
        .map_err(|error| TlsError::Local(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(presented(&certificate.chain, &certificate.key));
    let stream = tokio_rustls::TlsAcceptor::from(finish_server(config, options))
        .accept(stream)
        .await
        .map_err(|error| TlsError::from_io(&error))?;
    Ok(TlsStream::Server(stream))
}
