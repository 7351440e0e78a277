//! [`SigningKey`]: P-256, repeatable signatures of constant length.

use std::fmt;
use std::sync::Arc;

use p256::ecdsa::Signature;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{NistP256, NonZeroScalar, PublicKey};
use rustls::sign::Signer;
use rustls::{SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256};

use crate::host::Rng;

/// Both integers of a signature take exactly 32 bytes, so that its DER always has this length. Packet sizes then do not
/// depend on keys and messages.
const SIGNATURE_LENGTH: usize = 70;

/// A P-256 private key, cheap to clone. Signs by RFC 6979 with SHA-256 and low S, trying further until the DER is 70 bytes
/// long (twice on average); so equal messages give equal bytes, and every signature has the same length.
#[derive(Clone)]
pub struct SigningKey(Arc<Secret>);

struct Secret {
    scalar: NonZeroScalar,
    /// Uncompressed SEC1 point.
    point: [u8; 65],
}

impl SigningKey {
    /// A new key from these dice.
    pub fn generate(rng: &mut Rng) -> Self {
        loop {
            let mut bytes = [0; 32];
            rng.fill(&mut bytes);
            // All but about one in 2^32 draws are valid scalars.
            if let Some(key) = SigningKey::from_bytes(&bytes) {
                return key;
            }
        }
    }

    /// The key of this big-endian scalar; `None` if it is zero or not below the group's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let scalar = NonZeroScalar::from_repr((*bytes).into()).into_option()?;
        let encoded = PublicKey::from_secret_scalar(&scalar).to_sec1_point(false);
        let point = encoded.as_bytes().try_into().ok()?;
        Some(SigningKey(Arc::new(Secret { scalar, point })))
    }

    /// The public key as an uncompressed SEC1 point.
    pub fn public_point(&self) -> &[u8; 65] {
        &self.0.point
    }

    /// Signs the SHA-256 of `message`; 70 bytes of DER.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let digest = Sha256::digest(message);
        let mut attempt: u32 = 0;
        loop {
            // The first attempt is plain RFC 6979.
            let counter = attempt.to_be_bytes();
            let extra: &[u8] = if attempt == 0 { &[] } else { &counter };
            let (signature, _) =
                ecdsa::hazmat::sign_prehashed_rfc6979::<NistP256, Sha256>(&self.0.scalar, &digest, extra);
            let signature: Signature = signature.normalize_s();
            let der = signature.to_der();
            if der.as_bytes().len() == SIGNATURE_LENGTH {
                return der.as_bytes().to_vec();
            }
            attempt += 1;
        }
    }
}

/// Shows the public key only.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(P-256, public ")?;
        self.0.point[1..9].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…)")
    }
}

impl rustls::sign::SigningKey for SigningKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for SigningKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(SigningKey::sign(self, message))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

impl rcgen::PublicKeyData for SigningKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for SigningKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(SigningKey::sign(self, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_messages_give_equal_signatures_of_seventy_bytes() {
        let mut rng = Rng::from_number(1);
        for round in 0..64u32 {
            let key = SigningKey::generate(&mut rng);
            let message = round.to_be_bytes();
            let signature = key.sign(&message);
            assert_eq!(signature.len(), SIGNATURE_LENGTH);
            assert_eq!(signature, key.clone().sign(&message));
            assert!(webpki::ring::ECDSA_P256_SHA256.verify_signature(key.public_point(), &message, &signature).is_ok());
        }
    }

    #[test]
    fn zero_and_the_order_are_no_keys() {
        assert!(SigningKey::from_bytes(&[0; 32]).is_none());
        assert!(SigningKey::from_bytes(&[0xff; 32]).is_none());
    }

    #[test]
    fn the_secret_is_not_shown() {
        let key = SigningKey::from_bytes(&[7; 32]).unwrap();
        assert!(!format!("{key:?}").contains("0707"));
    }
}
