//! [`KeySet`]: an issuer's public keys (RFC 7517).

use std::sync::Arc;

/// An issuer's public keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    /// In the order of the document.
    pub keys: Vec<Key>,
}

/// One public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `kid`.
    pub id: Option<Arc<str>>,
    /// `alg`: the one algorithm it may be used with.
    pub algorithm: Option<Algorithm>,
    /// The key itself.
    pub material: KeyMaterial,
}

/// The key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    /// Modulus and exponent, big-endian.
    Rsa {
        /// Modulus.
        modulus: Arc<[u8]>,
        /// Public exponent.
        exponent: Arc<[u8]>,
    },
    /// A point of P-256, uncompressed.
    P256(Arc<[u8]>),
    /// A point of P-384, uncompressed.
    P384(Arc<[u8]>),
    /// Edwards point.
    Ed25519(Arc<[u8]>),
}

/// A signature algorithm (RFC 7518, RFC 8037). Symmetric ones and `none` do not exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named as in the RFC")]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// A document that is no key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key set is unusable: {0}; see RFC 7517 section 5")]
pub struct InvalidKeys(pub String);
