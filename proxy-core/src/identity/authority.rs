//! [`CertificateAuthority`]: who turns a signing request into a certificate chain.

use std::future::Future;
use std::time::Duration;

use super::Identity;

/// A certificate signing request and what goes with it on the wire (`istio.v1.auth.IstioCertificateService`).
#[derive(Clone, Debug)]
pub struct SigningRequest {
    /// PKCS#10, DER. Carries one SPIFFE URI SAN and a fresh P-256 public key.
    pub csr_der: Vec<u8>,
    /// Whose certificate is asked for: a node proxy asks on behalf of its pods.
    pub impersonated: Identity,
    /// How long it should last.
    pub validity: Duration,
}

/// Why no certificate came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The authority could not be reached or did not answer.
    #[error("certificate authority unavailable: {0}")]
    Unavailable(String),
    /// The authority refused: we may not ask for this identity, or the request is malformed.
    #[error("certificate authority refused: {0}")]
    Refused(String),
}

/// Something that signs. One implementation asks over the network; the simulator's delivers after a modelled delay.
pub trait CertificateAuthority: Send + Sync + 'static {
    /// Certificates in DER, leaf first, then intermediates, then the root or roots last.
    ///
    /// # Errors
    /// [`AuthorityError`]; the caller backs off and asks again.
    fn sign(&self, request: SigningRequest) -> impl Future<Output = Result<SignedChain, AuthorityError>> + Send;
}

/// What an authority answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedChain {
    /// Leaf first, then intermediates. DER.
    pub chain: Vec<Vec<u8>>,
    /// The roots to trust from now on. DER.
    pub roots: Vec<Vec<u8>>,
}
