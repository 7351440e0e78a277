//! [`connect`] and [`accept`]: the handshake itself, over any byte stream.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};

use super::verify::Accepted;
use super::{SigningKey, TlsError, TlsOptions, client_config, der, server_config};
use crate::host::{Host, WallTime};
use crate::identity::{Identity, WorkloadCertificate};

/// A protected byte stream.
pub type TlsStream<S> = tokio_rustls::TlsStream<S>;

/// Whom the other end proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The first of its SPIFFE URI SANs that was accepted.
    pub identity: Identity,
    /// When its certificate ends.
    pub not_after: WallTime,
}

/// A finished handshake.
#[derive(Debug)]
pub struct Secured<S> {
    /// The bytes.
    pub stream: TlsStream<S>,
    /// The other end.
    pub peer: Peer,
}

/// The client's side of a handshake, with [`client_config`]. No timeout of its own.
///
/// In TLS 1.3 the client is done before the server has judged the client's certificate: a refusal shows on first read.
///
/// # Errors
/// [`TlsError`].
pub async fn connect<H: Host, S: AsyncRead + AsyncWrite + Unpin>(
    host: &H,
    options: &TlsOptions,
    certificate: &WorkloadCertificate,
    expected: &[Identity],
    stream: S,
) -> Result<Secured<S>, TlsError> {
    let config = client_config(host, options, certificate, expected)?;
    // Never sent, never checked: identities are SPIFFE URIs.
    let nobody = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let stream = tokio_rustls::TlsConnector::from(config)
        .connect(nobody, stream)
        .await
        .map_err(|error| TlsError::from_io(&error))?;
    let peer = peer(stream.get_ref().1.peer_certificates(), &Accepted::OneOf(expected.into()))?;
    Ok(Secured { stream: TlsStream::Client(stream), peer })
}

/// The server's side of a handshake, with [`server_config`]: clients of trust domains in `aliases` are believed too. No timeout of its own.
///
/// # Errors
/// [`TlsError`].
pub async fn accept<H: Host, S: AsyncRead + AsyncWrite + Unpin>(
    host: &H,
    options: &TlsOptions,
    certificate: &WorkloadCertificate,
    aliases: &[Arc<str>],
    stream: S,
) -> Result<Secured<S>, TlsError> {
    let config = server_config(host, options, certificate, aliases)?;
    let stream =
        tokio_rustls::TlsAcceptor::from(config).accept(stream).await.map_err(|error| TlsError::from_io(&error))?;
    let ours = Accepted::mesh(certificate, aliases);
    let peer = peer(stream.get_ref().1.peer_certificates(), &ours)?;
    Ok(Secured { stream: TlsStream::Server(stream), peer })
}

fn peer(chain: Option<&[CertificateDer<'_>]>, accepted: &Accepted) -> Result<Peer, TlsError> {
    let leaf = chain.and_then(<[_]>::first).ok_or(TlsError::NoPeerCertificate)?;
    let (_, not_after) = validity(leaf)?;
    Ok(Peer { identity: accepted.identity(leaf)?, not_after })
}

/// From and until when a DER certificate is valid. Verifies nothing.
///
/// # Errors
/// [`TlsError::Untrusted`] if it is no certificate.
pub fn validity(certificate: &[u8]) -> Result<(WallTime, WallTime), TlsError> {
    der::validity(certificate)
        .ok_or_else(|| TlsError::Untrusted("the certificate's validity cannot be read".to_owned()))
}

/// The serial number of a DER certificate, big-endian; `None` if it is no certificate. Verifies nothing.
pub fn serial_number(certificate: &[u8]) -> Option<Vec<u8>> {
    der::serial_number(certificate)
}

/// Whether a DER certificate is for this key and names exactly this identity. Does not verify who signed it.
///
/// # Errors
/// [`TlsError::WrongIdentity`], or [`TlsError::Untrusted`] if it is no certificate or for another key.
pub(crate) fn check_leaf(certificate: &[u8], identity: &Identity, key: &SigningKey) -> Result<(), TlsError> {
    let der = CertificateDer::from(certificate);
    let leaf = webpki::EndEntityCert::try_from(&der).map_err(|error| TlsError::Untrusted(error.to_string()))?;
    let names: Vec<&str> = leaf.valid_uri_names().collect();
    if names != [identity.to_string()] {
        return Err(TlsError::WrongIdentity { expected: vec![identity.clone()], found: names.join(" and ") });
    }
    if !leaf.subject_public_key_info().ends_with(key.public_point()) {
        return Err(TlsError::Untrusted("the certificate is for another key".to_owned()));
    }
    Ok(())
}
