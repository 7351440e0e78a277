//! [`JwtRule`]: one issuer whose tokens are accepted.

use std::sync::Arc;

use http::HeaderName;

use super::KeySet;
use crate::policy::PolicyKey;
use crate::request::ClaimPath;

/// One issuer whose tokens are accepted, and what becomes of them (one entry of a RequestAuthentication's `jwtRules`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtRule {
    /// The RequestAuthentication it is from.
    pub origin: PolicyKey,
    /// `iss` must be this.
    pub issuer: Arc<str>,
    /// `aud` must name one of these; any will do if there are none.
    pub audiences: Vec<Arc<str>>,
    /// What signatures are checked with. [`KeySet::unusable`] if they could not be fetched.
    pub keys: Arc<KeySet>,
    /// Where tokens are looked for. Default: [`TokenLocations::default`].
    pub locations: TokenLocations,
    /// Whether the backend sees the token.
    pub forward_original_token: bool,
    /// The header that carries the payload in base64url to the backend.
    pub output_payload_to_header: Option<HeaderName>,
    /// Headers that carry single claims to the backend; what the client sends under these names is removed.
    pub output_claim_to_headers: Vec<ClaimHeader>,
    /// Claims besides `scope` and `permission` that are lists separated by spaces.
    pub space_delimited_claims: Vec<Arc<str>>,
}

/// Where tokens are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLocations {
    /// Headers, in order.
    pub headers: Vec<HeaderLocation>,
    /// Query parameters, in order.
    pub parameters: Vec<Arc<str>>,
    /// Cookies, in order.
    pub cookies: Vec<Arc<str>>,
}

/// A header that carries a token after a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderLocation {
    /// Its name.
    pub name: HeaderName,
    /// What comes before the token, e.g. `Bearer ` with its space; may be empty.
    pub prefix: Arc<str>,
}

/// `Authorization: Bearer …` and the query parameter `access_token`.
impl Default for TokenLocations {
    fn default() -> Self {
        TokenLocations {
            headers: vec![HeaderLocation { name: http::header::AUTHORIZATION, prefix: "Bearer ".into() }],
            parameters: vec!["access_token".into()],
            cookies: Vec::new(),
        }
    }
}

/// A claim the backend sees as a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimHeader {
    /// The header.
    pub header: HeaderName,
    /// The claim; nested ones by several names.
    pub claim: ClaimPath,
}
