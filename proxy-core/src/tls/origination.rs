//! [`originate`]: TLS to a server that is no workload of the mesh, or to an application inside its tunnel.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};

use super::config::finish_client;
use super::provider::provider;
use super::{TlsError, TlsOptions, TlsStream};
use crate::host::Host;

/// What is asked of a server.
#[derive(Clone, Copy, Debug)]
pub struct Origination<'a> {
    /// The name asked for (SNI); none is sent if `None` or an address.
    pub sni: Option<&'a str>,
    /// DNS names of which the server's certificate must be for one; if none, the name asked for.
    pub names: &'a [Arc<str>],
    /// Authorities, PEM. `None` believes any server.
    pub authorities: Option<&'a str>,
    /// Protocols offered (ALPN).
    pub protocols: &'a [&'a [u8]],
}

/// The client's side of a handshake, without a certificate of our own. No timeout of its own.
///
/// # Errors
/// [`TlsError`]; [`TlsError::Local`] if what is asked cannot be.
pub async fn originate<H: Host, S: AsyncRead + AsyncWrite + Unpin>(
    host: &H,
    options: &TlsOptions,
    asked: Origination<'_>,
    stream: S,
) -> Result<TlsStream<S>, TlsError> {
    let local = |text: String| TlsError::Local(text);
    let (provider, clock) = provider(host, options.crypto, true);
    let algorithms = provider.signature_verification_algorithms;
    let mut names = Vec::new();
    for name in asked.names.iter().map(|name| &**name).chain(asked.sni.filter(|_| asked.names.is_empty())) {
        names.push(ServerName::try_from(name.to_owned()).map_err(|_| local(format!("`{name}` is no server name")))?);
    }
    let authority = match asked.authorities {
        None => None,
        Some(pem) => {
            if names.is_empty() {
                return Err(local("authorities without a name to check; set `sni` or `subjectAltNames`".to_owned()));
            }
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|_| local("the authorities are not PEM".to_owned()))?;
                roots.add(certificate).map_err(|error| local(error.to_string()))?;
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            Some(verifier.build().map_err(|error| local(error.to_string()))?)
        }
    };
    let mut config = ClientConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| local(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NamesVerifier { authority, names, algorithms }))
        .with_no_client_auth();
    let name = asked.sni.and_then(|sni| ServerName::try_from(sni.to_owned()).ok());
    config.enable_sni = matches!(name, Some(ServerName::DnsName(_)));
    let name = name.unwrap_or_else(|| ServerName::from(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)));
    let connected =
        tokio_rustls::TlsConnector::from(finish_client(config, asked.protocols)).connect(name, stream).await;
    connected.map(TlsStream::Client).map_err(|error| TlsError::from_io(&error))
}

/// Believes servers an authority vouches for under one of the names; any server if there is no authority.
#[derive(Debug)]
struct NamesVerifier {
    authority: Option<Arc<WebPkiServerVerifier>>,
    names: Vec<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for NamesVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = &self.authority else { return Ok(ServerCertVerified::assertion()) };
        let mut outcome = Err(rustls::Error::General("no name to check the server's certificate for".to_owned()));
        for name in &self.names {
            outcome = authority.verify_server_cert(leaf, intermediates, name, ocsp_response, now);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, leaf, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
