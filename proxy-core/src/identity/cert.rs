//! [`WorkloadCertificate`]: a chain, its key and the roots that came with it.

use std::sync::Arc;

use crate::host::WallTime;
use crate::identity::Identity;
use crate::tls::SigningKey;

/// What one identity presents and whom it trusts. Immutable; a refresh makes another.
#[derive(Clone, Debug)]
pub struct WorkloadCertificate {
    /// Whose it is.
    pub identity: Identity,
    /// Leaf first, then intermediates. DER.
    pub chain: Arc<[Vec<u8>]>,
    /// Roots to verify peers against. DER.
    pub roots: Arc<[Vec<u8>]>,
    /// The leaf's private key.
    pub key: SigningKey,
    /// Start of validity.
    pub not_before: WallTime,
    /// End of validity.
    pub not_after: WallTime,
}
