//! Tokens and the keys that sign them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::Texts;
use crate::cluster::yaml::Spanned;
use crate::scenario::quantity::Time;

/// A key that signs tokens. Its secret part follows from its name and is the same in every run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyForm {
    /// How it signs.
    pub algorithm: TokenAlgorithmName,
    /// The `kid` in tokens and key sets; default its name.
    pub id: Option<String>,
}

/// How a key signs: a JWS algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "their names")]
pub enum TokenAlgorithmName {
    #[default]
    RS256,
    ES256,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// A JSON Web Token, made and signed when the request is, and sent with it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSection {
    /// The key that signs it, by its name in `keys`; default the only one there is.
    pub key: Option<Spanned<String>>,
    /// `iss`.
    pub issuer: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `aud`: one, or a list.
    pub audience: Option<Texts>,
    /// Further claims, any JSON.
    #[serde(default)]
    pub claims: BTreeMap<String, serde_json::Value>,
    /// `exp`, from the client's clock when the request is made; default `1h`.
    pub expires_in: Option<Time>,
    /// `exp` so long ago: the token has expired.
    pub expired_for: Option<Time>,
    /// `nbf` so far ahead: the token is not valid yet.
    pub valid_in: Option<Time>,
    /// Whether it is sealed as it should be; default `valid`.
    #[serde(default)]
    pub signature: SealWay,
    /// The header it goes into; default `authorization`, after `Bearer `.
    pub header: Option<String>,
    /// What stands before it in a header of its own; default nothing.
    pub prefix: Option<String>,
    /// The query parameter it goes into, instead of a header.
    pub query: Option<String>,
    /// The cookie it goes into, instead of a header.
    pub cookie: Option<String>,
}

/// How a token is sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SealWay {
    /// Signed as it should be.
    #[default]
    Valid,
    /// Signed, and then changed.
    Forged,
    /// Not signed: `alg: none`.
    None,
}
