//! [`TlsError`]: why a handshake failed.

use std::io;
use std::time::Duration;

use crate::identity::Identity;
use crate::telemetry::Reason;

/// Why a TLS handshake failed, in terms of who is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The peer presented no certificate. Every peer of an HBONE connection must.
    #[error("the peer presented no certificate")]
    NoPeerCertificate,
    /// The peer's certificate is not of our trust domain.
    #[error("the peer's certificate is of trust domain `{found}`, not `{expected}`")]
    ForeignTrustDomain {
        /// Ours.
        expected: String,
        /// Theirs.
        found: String,
    },
    /// The peer proved to be somebody else.
    #[error("the peer proved to be {found}, not {}", list(expected))]
    WrongIdentity {
        /// Any of these would have done.
        expected: Vec<Identity>,
        /// What it proved; in words when it proved no SPIFFE identity at all.
        found: String,
    },
    /// The peer's certificate is expired or not yet valid by our clock.
    #[error("the peer's certificate is expired or not yet valid")]
    Expired,
    /// The peer's certificate does not lead to a root of ours, or is malformed.
    #[error("the peer's certificate is not to be trusted: {0}")]
    Untrusted(String),
    /// The peer refused us by an alert.
    #[error("the peer refused the handshake: {0}")]
    RefusedByPeer(String),
    /// The peer did not finish the handshake in time.
    #[error("the peer did not finish the TLS handshake in {0:?}")]
    Timeout(Duration),
    /// Our own certificate or settings cannot be used.
    #[error("our own TLS settings are unusable: {0}")]
    Local(String),
    /// The connection broke, or the peer does not speak TLS as we do.
    #[error("TLS failed: {0}")]
    Other(String),
}

fn list(identities: &[Identity]) -> String {
    identities.iter().map(Identity::to_string).collect::<Vec<_>>().join(" or ")
}

impl TlsError {
    /// For log, metric and scenario.
    pub fn reason(&self) -> Reason {
        match self {
            TlsError::NoPeerCertificate => Reason::NoPeerCertificate,
            TlsError::ForeignTrustDomain { .. } => Reason::ForeignTrustDomain,
            TlsError::WrongIdentity { .. } => Reason::WrongPeerIdentity,
            TlsError::Expired => Reason::CertificateExpired,
            TlsError::Timeout(_) => Reason::TlsTimeout,
            TlsError::Local(_) => Reason::IdentityUnavailable,
            TlsError::Untrusted(_) | TlsError::RefusedByPeer(_) | TlsError::Other(_) => Reason::TlsFailed,
        }
    }

    /// Classifies what rustls reported, or found wrapped in an I/O error. Verdicts of our own verifier come through
    /// as they were given.
    pub fn from_rustls(error: &rustls::Error) -> Self {
        use rustls::{CertificateError, Error};
        match error {
            Error::NoCertificatesPresented => TlsError::NoPeerCertificate,
            Error::InvalidCertificate(CertificateError::Other(other)) => match other.0.downcast_ref::<TlsError>() {
                Some(verdict) => verdict.clone(),
                None => TlsError::Untrusted(other.to_string()),
            },
            Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => TlsError::Expired,
            Error::InvalidCertificate(other) => TlsError::Untrusted(other.to_string()),
            Error::AlertReceived(alert) => TlsError::RefusedByPeer(format!("{alert:?}")),
            other => TlsError::Other(other.to_string()),
        }
    }

    /// Classifies an I/O error of a TLS stream.
    pub fn from_io(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => TlsError::from_rustls(error),
            None => TlsError::Other(error.to_string()),
        }
    }
}

impl From<TlsError> for rustls::Error {
    fn from(error: TlsError) -> Self {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(rustls::OtherError(std::sync::Arc::new(
            error,
        ))))
    }
}
