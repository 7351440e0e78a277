//! [`PeerVerifier`]: which peers are believed.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};

use super::TlsError;
use crate::identity::{Identity, WorkloadCertificate};

/// Who may be at the other end.
#[derive(Clone, Debug)]
pub(super) enum Accepted {
    /// Anybody of our trust domain or of one that counts as it: the server side.
    TrustDomain {
        /// Exactly this.
        ours: Arc<str>,
        /// Or one of these.
        aliases: Arc<[Arc<str>]>,
    },
    /// One of these: the client side.
    OneOf(Arc<[Identity]>),
}

impl Accepted {
    /// Whom a server that presents `certificate` believes.
    pub(super) fn mesh(certificate: &WorkloadCertificate, aliases: &[Arc<str>]) -> Self {
        Accepted::TrustDomain { ours: certificate.identity.trust_domain.clone(), aliases: aliases.into() }
    }

    /// The first SPIFFE URI SAN of `leaf` that is accepted.
    pub(super) fn identity(&self, leaf: &CertificateDer<'_>) -> Result<Identity, TlsError> {
        let leaf = EndEntityCert::try_from(leaf).map_err(|error| TlsError::Untrusted(error.to_string()))?;
        let mut first = None;
        for identity in leaf.valid_uri_names().filter_map(|uri| uri.parse::<Identity>().ok()) {
            let accepted = match self {
                Accepted::TrustDomain { ours, aliases } => {
                    identity.trust_domain == *ours || aliases.contains(&identity.trust_domain)
                }
                Accepted::OneOf(expected) => expected.contains(&identity),
            };
            if accepted {
                return Ok(identity);
            }
            first.get_or_insert(identity);
        }
        Err(match (self, first) {
            (Accepted::TrustDomain { ours, .. }, Some(found)) => {
                TlsError::ForeignTrustDomain { expected: ours.to_string(), found: found.trust_domain.to_string() }
            }
            (Accepted::TrustDomain { .. }, None) => {
                TlsError::Untrusted("the certificate carries no SPIFFE identity".to_owned())
            }
            (Accepted::OneOf(expected), found) => TlsError::WrongIdentity {
                expected: expected.to_vec(),
                found: found.map_or_else(|| "no SPIFFE identity".to_owned(), |found| found.to_string()),
            },
        })
    }
}

/// Believes a peer whose chain leads to our roots, whose extended key usage (if any) fits its side, and whose SPIFFE URI SAN
/// is accepted. Host names, OCSP and resumption play no part.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    /// DER. Parsed at each handshake: connections live long and handshakes are rare.
    pub(super) roots: Arc<[Vec<u8>]>,
    pub(super) accepted: Accepted,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl PeerVerifier {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), TlsError> {
        let roots: Vec<CertificateDer<'_>> =
            self.roots.iter().map(|root| CertificateDer::from(root.as_slice())).collect();
        // A root we cannot parse is no root; others still count.
        let anchors: Vec<_> = roots.iter().filter_map(|root| webpki::anchor_from_trusted_cert(root).ok()).collect();
        let certificate = EndEntityCert::try_from(leaf).map_err(|error| TlsError::Untrusted(error.to_string()))?;
        certificate.verify_for_usage(self.algorithms.all, &anchors, intermediates, now, usage, None, None).map_err(
            |error| match error {
                webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => TlsError::Expired,
                other => TlsError::Untrusted(other.to_string()),
            },
        )?;
        self.accepted.identity(leaf).map(drop)
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(leaf, intermediates, now, KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
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

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(leaf, intermediates, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
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
