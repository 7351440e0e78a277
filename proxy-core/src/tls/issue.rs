//! Signing requests, and the core of a certificate authority that answers them.

use std::time::Duration;

use super::{SigningKey, TlsError};
use crate::host::{Rng, WallTime};
use crate::identity::{Identity, SignedChain};

/// A PKCS#10 request in DER for `identity`, signed by `key`: one SPIFFE URI SAN, empty subject.
///
/// # Errors
/// [`TlsError::Local`] if the identity cannot be written as a URI.
pub fn signing_request(key: &SigningKey, identity: &Identity) -> Result<Vec<u8>, TlsError> {
    let _ = (key, identity);
    Err(TlsError::Local("not built yet".into()))
}

/// A certificate authority: a self-signed root and its key. Deterministic: equal inputs and dice give equal bytes, and
/// every certificate of a given identity has the same length.
#[derive(Clone, Debug)]
pub struct Issuer {}

impl Issuer {
    /// A new root named `name`, valid from `now` (less an hour of clock skew) for `validity`.
    ///
    /// # Errors
    /// [`TlsError::Local`] if the certificate cannot be written.
    pub fn new(name: &str, now: WallTime, validity: Duration, rng: &mut Rng) -> Result<Self, TlsError> {
        let _ = (name, now, validity, rng);
        Err(TlsError::Local("not built yet".into()))
    }

    /// The root certificate, DER.
    pub fn root(&self) -> &[u8] {
        &[]
    }

    /// Answers a request: checks its signature and that it asks for exactly `identity`, then issues a leaf for the
    /// request's key, valid from `now` for `validity`.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue(
        &self,
        csr_der: &[u8],
        identity: &Identity,
        now: WallTime,
        validity: Duration,
        rng: &mut Rng,
    ) -> Result<SignedChain, IssueError> {
        let _ = (csr_der, identity, now, validity, rng);
        Err(IssueError::Malformed("not built yet"))
    }
}

/// Why no leaf was issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Not a PKCS#10 request with a P-256 key and one SPIFFE URI SAN.
    #[error("malformed signing request: {0}")]
    Malformed(&'static str),
    /// The request is not signed by the key in it.
    #[error("the signing request is not signed by its own key")]
    BadSignature,
    /// It asks for another identity than the one it was sent for.
    #[error("the signing request is for {found}, not {expected}")]
    WrongIdentity {
        /// Whom it was sent for.
        expected: Identity,
        /// Whom it asks for.
        found: String,
    },
    /// The leaf could not be written.
    #[error("cannot issue: {0}")]
    Unwritable(String),
}
