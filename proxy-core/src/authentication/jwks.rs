//! [`KeySet`]: an issuer's public keys (RFC 7517).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Algorithm;

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
    /// Modulus and exponent, big-endian, without leading zeros.
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

/// A document that is no key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key set is unusable: {0}; see RFC 7517 section 5")]
pub struct InvalidKeys(pub String);

impl KeySet {
    /// Stands for keys that could not be had: every token fails, requests without one pass.
    pub fn unusable() -> Self {
        KeySet::default()
    }

    /// Reads a document. Keys that cannot check signatures here (symmetric, for encryption, of other curves, malformed)
    /// are passed over.
    ///
    /// # Errors
    /// If it is not JSON, has no `keys`, or none of them is usable.
    pub fn parse(document: &str) -> Result<KeySet, InvalidKeys> {
        let value: Value = serde_json::from_str(document).map_err(|error| InvalidKeys(format!("no JSON: {error}")))?;
        let keys = value.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or_else(|| InvalidKeys("it has no list `keys`".to_owned()))?;
        let keys: Vec<Key> = keys.iter().filter_map(key).collect();
        if keys.is_empty() { Err(InvalidKeys("it has no usable public key".to_owned())) } else { Ok(KeySet { keys }) }
    }
}

fn key(value: &Value) -> Option<Key> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if text("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    if let Some(operations) = value.get("key_ops").and_then(Value::as_array)
        && !operations.iter().any(|operation| operation == "verify")
    {
        return None;
    }
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => KeyMaterial::Rsa { modulus: number(&bytes("n")?)?, exponent: number(&bytes("e")?)? },
        ("EC", Some("P-256")) => KeyMaterial::P256(point(&bytes("x")?, &bytes("y")?, 32)?),
        ("EC", Some("P-384")) => KeyMaterial::P384(point(&bytes("x")?, &bytes("y")?, 48)?),
        ("OKP", Some("Ed25519")) => KeyMaterial::Ed25519(bytes("x").filter(|x| x.len() == 32)?.into()),
        _ => return None,
    };
    let algorithm = match text("alg") {
        Some(name) => Some(Algorithm::from_name(name).filter(|algorithm| algorithm.fits(&material))?),
        None => None,
    };
    Some(Key { id: text("kid").map(Arc::from), algorithm, material })
}

fn number(bytes: &[u8]) -> Option<Arc<[u8]>> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).filter(|rest| !rest.is_empty()).map(Arc::from)
}

fn point(x: &[u8], y: &[u8], length: usize) -> Option<Arc<[u8]>> {
    let mut point = vec![4];
    for coordinate in [x, y] {
        let missing = length.checked_sub(coordinate.len())?;
        point.extend(std::iter::repeat_n(0, missing));
        point.extend_from_slice(coordinate);
    }
    Some(point.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_cannot_check_signatures_are_passed_over() {
        let x = URL_SAFE_NO_PAD.encode([7; 32]);
        let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"good","alg":"EdDSA"}}"#);
        let others = [
            r#"{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}"#.to_owned(),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","use":"enc"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","key_ops":["sign"]}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","alg":"RS256"}}"#),
            r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#.to_owned(),
            r#"{"kty":"RSA","n":"!","e":"AQAB"}"#.to_owned(),
            r#"{"kty":"RSA","n":"AAAA","e":"AQAB"}"#.to_owned(),
            "7".to_owned(),
        ];
        for other in &others {
            let keys = KeySet::parse(&format!(r#"{{"keys":[{other},{good}]}}"#)).unwrap().keys;
            assert_eq!((keys.len(), keys[0].id.as_deref()), (1, Some("good")), "{other}");
            assert!(KeySet::parse(&format!(r#"{{"keys":[{other}]}}"#)).is_err(), "{other}");
        }
    }

    #[test]
    fn what_is_no_key_set_is_refused_in_words() {
        for (document, words) in
            [("", "no JSON"), ("{}", "no list `keys`"), (r#"{"keys":[]}"#, "no usable public key"), ("[]", "no list")]
        {
            assert!(KeySet::parse(document).unwrap_err().to_string().contains(words), "{document}");
        }
    }
}
