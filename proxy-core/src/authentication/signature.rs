//! [`Algorithm`] and the check of a signature.

use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

use super::KeyMaterial;

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

impl Algorithm {
    /// By its name in `alg`; `None` if it does not exist here.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Algorithm::Rs256,
            "RS384" => Algorithm::Rs384,
            "RS512" => Algorithm::Rs512,
            "PS256" => Algorithm::Ps256,
            "PS384" => Algorithm::Ps384,
            "PS512" => Algorithm::Ps512,
            "ES256" => Algorithm::Es256,
            "ES384" => Algorithm::Es384,
            "EdDSA" => Algorithm::EdDsa,
            _ => return None,
        })
    }

    /// Whether keys of this kind are used with it.
    pub fn fits(self, material: &KeyMaterial) -> bool {
        match material {
            KeyMaterial::Rsa { .. } => self.rsa().is_some(),
            KeyMaterial::P256(_) => self == Algorithm::Es256,
            KeyMaterial::P384(_) => self == Algorithm::Es384,
            KeyMaterial::Ed25519(_) => self == Algorithm::EdDsa,
        }
    }

    /// Whether `signature` is that of `message` by `material`. Never if the key is of another kind, or an RSA key of
    /// less than 2048 bits.
    pub fn verifies(self, material: &KeyMaterial, message: &[u8], signature: &[u8]) -> bool {
        let check = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match (material, self) {
            (KeyMaterial::Rsa { modulus, exponent }, _) => self.rsa().is_some_and(|parameters| {
                let key = RsaPublicKeyComponents { n: &**modulus, e: &**exponent };
                key.verify(parameters, message, signature).is_ok()
            }),
            (KeyMaterial::P256(point), Algorithm::Es256) => check(&signature::ECDSA_P256_SHA256_FIXED, point),
            (KeyMaterial::P384(point), Algorithm::Es384) => check(&signature::ECDSA_P384_SHA384_FIXED, point),
            (KeyMaterial::Ed25519(point), Algorithm::EdDsa) => check(&signature::ED25519, point),
            _ => false,
        }
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::authentication::KeySet;
    use crate::authentication::token::{Token, TokenError};

    /// Keys and one token of each algorithm, made by another implementation.
    fn vectors() -> (KeySet, Vec<(String, String)>) {
        let vectors: Value = serde_json::from_str(include_str!("signature/vectors.json")).unwrap();
        let tokens = vectors["tokens"].as_object().unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let tokens = tokens.iter().map(|(name, token)| (name.clone(), text(token))).collect();
        (KeySet::parse(&vectors["jwks"].to_string()).unwrap(), tokens)
    }

    #[test]
    fn tokens_of_every_algorithm_made_elsewhere_are_accepted() {
        let (keys, tokens) = vectors();
        assert_eq!(tokens.len(), 9);
        for (name, token) in tokens {
            let token = Token::parse(&token).unwrap();
            assert_eq!(token.verify(&keys), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_changed_byte_anywhere_fails() {
        let (keys, tokens) = vectors();
        for (name, token) in tokens {
            let places = [token.find('.').unwrap() + 3, token.rfind('.').unwrap() + 3];
            for place in places {
                let mut bytes = token.clone().into_bytes();
                bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(bytes).unwrap();
                let verified = Token::parse(&changed).and_then(|token| token.verify(&keys));
                assert!(verified.is_err(), "{name} at {place}");
            }
        }
    }

    #[test]
    fn a_key_of_another_kind_or_for_another_algorithm_is_never_tried() {
        let (mut keys, tokens) = vectors();
        for key in &mut keys.keys {
            key.id = None;
            key.algorithm = match key.material {
                KeyMaterial::Rsa { .. } => Some(Algorithm::Rs256),
                _ => None,
            };
        }
        for (name, token) in tokens {
            let expected = match &*name {
                "RS256" | "ES256" | "ES384" | "EdDSA" => Ok(()),
                _ => Err(TokenError::NoMatchingKey),
            };
            assert_eq!(Token::parse(&token).unwrap().verify(&keys), expected, "{name}");
        }
    }
}
