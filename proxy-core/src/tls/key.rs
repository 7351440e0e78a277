//! [`SigningKey`]: P-256, repeatable signatures of constant length.

/// A P-256 private key. Signatures follow RFC 6979, so equal inputs give equal bytes.
#[derive(Clone, Debug)]
pub struct SigningKey {}
