//! Tokens: JWTs with real signatures, and the key sets that verify them.
//!
//! The keys are no secrets: they follow from their names (RSA keys are taken from a fixed list), so that a scenario always
//! has the same ones and a manifest may name them before anything runs.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proxy_core::tls::SigningKey;
use ring::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The RSA keys there are, PKCS #8.
const RSA_KEYS: [&[u8]; 3] =
    [include_bytes!("keys/rsa-1.der"), include_bytes!("keys/rsa-2.der"), include_bytes!("keys/rsa-3.der")];

/// How a key signs: a JWS algorithm, RFC 7518 and 8037.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits.
    #[default]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl TokenAlgorithm {
    /// As in a token's head.
    pub fn name(self) -> &'static str {
        match self {
            TokenAlgorithm::Rs256 => "RS256",
            TokenAlgorithm::Es256 => "ES256",
            TokenAlgorithm::EdDsa => "EdDSA",
        }
    }
}

/// A key that signs tokens. Equal arguments make equal keys.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey {
    id: String,
    algorithm: TokenAlgorithm,
    /// From its name; of an RSA key, only its number counts.
    seed: [u8; 32],
    rsa: usize,
}

/// Shows no key, only which.
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({}, {})", self.id, self.algorithm.name())
    }
}

/// How a token is sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seal {
    /// Signed as it should be.
    #[default]
    Valid,
    /// Signed, and then changed.
    Forged,
    /// Not signed: `alg: none`.
    None,
}

impl TokenKey {
    /// How many RSA keys there can be in one scenario.
    pub const MOST_RSA: usize = RSA_KEYS.len();

    /// The key of this name, with the id it has in key sets. `number` counts the scenario's RSA keys; it wraps around.
    pub fn new(name: &str, id: &str, algorithm: TokenAlgorithm, number: usize) -> TokenKey {
        let seed = Sha256::digest(format!("meshsim token key {name}").as_bytes()).into();
        TokenKey { id: id.to_owned(), algorithm, seed, rsa: number % RSA_KEYS.len() }
    }

    /// How it signs.
    pub fn algorithm(&self) -> TokenAlgorithm {
        self.algorithm
    }

    /// Its public part as a JSON Web Key, RFC 7517.
    pub fn public(&self) -> Value {
        let (id, name) = (&self.id, self.algorithm.name());
        match self.algorithm {
            TokenAlgorithm::Rs256 => {
                let parts: Option<ring::rsa::PublicKeyComponents<Vec<u8>>> = self.rsa().map(|key| key.public().into());
                let (n, e) = parts.map(|parts| (encoded(&parts.n), encoded(&parts.e))).unwrap_or_default();
                json!({ "kty": "RSA", "kid": id, "use": "sig", "alg": name, "n": n, "e": e })
            }
            TokenAlgorithm::Es256 => {
                let point = self.p256().map_or([0; 65], |key| *key.public_point());
                let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
                json!({ "kty": "EC", "kid": id, "use": "sig", "alg": name, "crv": "P-256", "x": x, "y": y })
            }
            TokenAlgorithm::EdDsa => {
                let x = self.ed25519().map(|key| encoded(key.public_key().as_ref())).unwrap_or_default();
                json!({ "kty": "OKP", "kid": id, "use": "sig", "alg": name, "crv": "Ed25519", "x": x })
            }
        }
    }

    /// A token with these claims, in compact form.
    pub fn token(&self, claims: &Value, seal: Seal) -> String {
        let algorithm = if seal == Seal::None { "none" } else { self.algorithm.name() };
        let head = json!({ "alg": algorithm, "typ": "JWT", "kid": self.id });
        let signed = format!("{}.{}", encoded(head.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let mut signature = if seal == Seal::None { Vec::new() } else { self.sign(signed.as_bytes()) };
        if seal == Seal::Forged
            && let Some(byte) = signature.get_mut(7)
        {
            *byte ^= 1;
        }
        format!("{signed}.{}", encoded(&signature))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = match self.algorithm {
            TokenAlgorithm::Rs256 => self.rsa().and_then(|key| {
                let mut signature = vec![0; key.public().modulus_len()];
                // This padding is not random: nothing is drawn from the source of randomness that the function wants.
                let unused = ring::rand::SystemRandom::new();
                key.sign(&RSA_PKCS1_SHA256, &unused, message, &mut signature).ok()?;
                Some(signature)
            }),
            // DER of constant length: two integers of 32 bytes each, RFC 7518, 3.4 wants them bare.
            TokenAlgorithm::Es256 => self.p256().map(|key| key.sign(message)).and_then(|der| {
                let (r, s) = (der.get(4..36)?, der.get(38..70)?);
                Some([r, s].concat())
            }),
            TokenAlgorithm::EdDsa => self.ed25519().map(|key| key.sign(message).as_ref().to_vec()),
        };
        signature.unwrap_or_default()
    }

    fn rsa(&self) -> Option<ring::rsa::KeyPair> {
        ring::rsa::KeyPair::from_pkcs8(RSA_KEYS[self.rsa]).ok()
    }

    /// All but about one in 2^32 names give a valid scalar at once.
    fn p256(&self) -> Option<SigningKey> {
        let mut seed = self.seed;
        for _ in 0..8 {
            if let Some(key) = SigningKey::from_bytes(&seed) {
                return Some(key);
            }
            seed = Sha256::digest(seed).into();
        }
        None
    }

    fn ed25519(&self) -> Option<Ed25519KeyPair> {
        Ed25519KeyPair::from_seed_unchecked(&self.seed).ok()
    }
}

/// The public parts of keys as a JSON Web Key Set, on one line.
pub fn key_set<'a>(keys: impl IntoIterator<Item = &'a TokenKey>) -> String {
    let keys: Vec<Value> = keys.into_iter().map(TokenKey::public).collect();
    json!({ "keys": keys }).to_string()
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    fn decoded(value: &Value) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap()
    }

    /// Whether the key's public part verifies the token.
    fn verifies(key: &TokenKey, token: &str) -> bool {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = key.public();
        match key.algorithm() {
            TokenAlgorithm::Rs256 => {
                let parts = ring::rsa::PublicKeyComponents { n: decoded(&public["n"]), e: decoded(&public["e"]) };
                parts.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).is_ok()
            }
            TokenAlgorithm::Es256 => {
                let point = [vec![4], decoded(&public["x"]), decoded(&public["y"])].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).is_ok()
            }
            TokenAlgorithm::EdDsa => {
                let key = UnparsedPublicKey::new(&ED25519, decoded(&public["x"]));
                key.verify(signed.as_bytes(), &signature).is_ok()
            }
        }
    }

    #[test]
    fn what_is_signed_verifies_and_what_is_forged_does_not() {
        for algorithm in [TokenAlgorithm::Rs256, TokenAlgorithm::Es256, TokenAlgorithm::EdDsa] {
            let key = TokenKey::new("main", "main", algorithm, 1);
            let claims = json!({ "iss": "a", "groups": ["x"] });
            let token = key.token(&claims, Seal::Valid);
            assert_eq!(token, key.token(&claims, Seal::Valid), "{algorithm:?} is repeatable");
            assert!(verifies(&key, &token), "{algorithm:?}");
            assert!(!verifies(&key, &key.token(&claims, Seal::Forged)), "{algorithm:?}");
            assert!(!verifies(&TokenKey::new("other", "main", algorithm, 2), &token), "{algorithm:?}");
            assert!(key.token(&claims, Seal::None).ends_with('.'));
        }
    }
}
