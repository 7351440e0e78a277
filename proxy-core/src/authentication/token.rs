//! [`Token`]: a JSON Web Token in compact form (RFC 7515, RFC 7519), read but not yet believed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Algorithm, KeySet};
use crate::host::WallTime;

/// How far clocks may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Why a token is refused. The texts are those upstream's waypoint answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[allow(missing_docs, reason = "the text says it")]
pub enum TokenError {
    #[error("Jwt issuer is not configured")]
    UnknownIssuer,
    #[error("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections")]
    BadForm,
    #[error("Jwt header is an invalid Base64url encoded")]
    HeaderBase64,
    #[error("Jwt header is an invalid JSON")]
    HeaderJson,
    #[error("Jwt header [alg] field is required and must be a string")]
    HeaderAlgorithm,
    #[error("Jwt header [alg] is not supported")]
    UnsupportedAlgorithm,
    #[error("Jwt header [kid] field is not a string")]
    HeaderKeyId,
    #[error("Jwt header [crit] is not supported")]
    UnsupportedCritical,
    #[error("Jwt payload is an invalid Base64url encoded")]
    PayloadBase64,
    #[error("Jwt payload is an invalid JSON")]
    PayloadJson,
    #[error("Jwt payload [iss] field is not a string")]
    Issuer,
    #[error("Jwt payload [sub] field is not a string")]
    Subject,
    #[error("Jwt payload [aud] field is not a string or string list")]
    AudienceType,
    #[error("Jwt payload [iat] field is not an integer")]
    IssuedAt,
    #[error("Jwt payload [nbf] field is not an integer")]
    NotBefore,
    #[error("Jwt payload [exp] field is not an integer")]
    Expiry,
    #[error("Jwt signature is an invalid Base64url encoded")]
    SignatureBase64,
    #[error("Jwt is expired")]
    Expired,
    #[error("Jwt not yet valid")]
    NotYetValid,
    #[error("Audiences in Jwt are not allowed")]
    AudienceNotAllowed,
    #[error("Jwks doesn't have any valid public key")]
    NoKeys,
    #[error("Jwks doesn't have key to match kid or alg from Jwt")]
    NoMatchingKey,
    #[error("Jwt verification fails")]
    BadSignature,
}

/// A token that has the right form. Nothing it says is to be believed before [`Token::verify`].
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    /// What was signed.
    message: &'a str,
    algorithm: Algorithm,
    key_id: Option<String>,
    /// In base64url, as sent.
    pub(super) payload_text: &'a str,
    pub(super) payload: Map<String, Value>,
    signature: Vec<u8>,
    expiry: Option<f64>,
    not_before: Option<f64>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, TokenError> {
        let mut sections = text.split('.');
        let (Some(header), Some(payload_text), Some(signature), None) =
            (sections.next(), sections.next(), sections.next(), sections.next())
        else {
            return Err(TokenError::BadForm);
        };
        let header = object(header, TokenError::HeaderBase64, TokenError::HeaderJson)?;
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(TokenError::HeaderAlgorithm)?;
        let algorithm = Algorithm::from_name(algorithm).ok_or(TokenError::UnsupportedAlgorithm)?;
        let key_id = text_or(&header, "kid", TokenError::HeaderKeyId)?.filter(|id| !id.is_empty());
        if header.contains_key("crit") {
            return Err(TokenError::UnsupportedCritical);
        }
        let payload = object(payload_text, TokenError::PayloadBase64, TokenError::PayloadJson)?;
        text_or(&payload, "iss", TokenError::Issuer)?;
        text_or(&payload, "sub", TokenError::Subject)?;
        match payload.get("aud") {
            None | Some(Value::String(_)) => {}
            Some(Value::Array(members)) if members.iter().all(Value::is_string) => {}
            Some(_) => return Err(TokenError::AudienceType),
        }
        number_or(&payload, "iat", TokenError::IssuedAt)?;
        let not_before = number_or(&payload, "nbf", TokenError::NotBefore)?;
        let expiry = number_or(&payload, "exp", TokenError::Expiry)?;
        let message = &text[..text.len() - signature.len() - 1];
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::SignatureBase64)?;
        let key_id = key_id.map(str::to_owned);
        Ok(Token { message, algorithm, key_id, payload_text, payload, signature, expiry, not_before })
    }

    /// Whether it is in force, give or take [`CLOCK_SKEW`]. When it was issued does not matter.
    pub(super) fn check_time(&self, now: WallTime) -> Result<(), TokenError> {
        let (now, skew) = (now.unix_secs() as f64, CLOCK_SKEW.as_secs() as f64);
        if self.not_before.is_some_and(|from| now + skew < from) {
            return Err(TokenError::NotYetValid);
        }
        if self.expiry.is_some_and(|until| now > until + skew) {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    /// Whether it is meant for any of `wanted`; for anybody if there are none.
    pub(super) fn check_audience(&self, wanted: &[std::sync::Arc<str>]) -> Result<(), TokenError> {
        let is_wanted = |audience: &str| wanted.iter().any(|one| **one == *audience);
        let meant = match self.payload.get("aud") {
            Some(Value::String(audience)) => is_wanted(audience),
            Some(Value::Array(members)) => members.iter().filter_map(Value::as_str).any(is_wanted),
            _ => false,
        };
        if wanted.is_empty() || meant { Ok(()) } else { Err(TokenError::AudienceNotAllowed) }
    }

    /// Whether a key signed it. A key id, where both have one, must agree; the algorithm must be one the key is for.
    pub(super) fn verify(&self, keys: &KeySet) -> Result<(), TokenError> {
        if keys.keys.is_empty() {
            return Err(TokenError::NoKeys);
        }
        let mut error = TokenError::NoMatchingKey;
        for key in &keys.keys {
            let named = match (&self.key_id, &key.id) {
                (Some(wanted), Some(id)) => **wanted == **id,
                _ => true,
            };
            let allowed = key.algorithm.is_none_or(|only| only == self.algorithm);
            if !named || !allowed || !self.algorithm.fits(&key.material) {
                continue;
            }
            if self.algorithm.verifies(&key.material, self.message.as_bytes(), &self.signature) {
                return Ok(());
            }
            error = TokenError::BadSignature;
        }
        Err(error)
    }
}

fn object(text: &str, encoding: TokenError, json: TokenError) -> Result<Map<String, Value>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| encoding)?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(json),
    }
}

fn text_or<'a>(object: &'a Map<String, Value>, name: &str, error: TokenError) -> Result<Option<&'a str>, TokenError> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(error),
    }
}

fn number_or(object: &Map<String, Value>, name: &str, error: TokenError) -> Result<Option<f64>, TokenError> {
    match object.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(error),
    }
}
