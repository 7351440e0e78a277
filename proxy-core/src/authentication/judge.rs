//! [`authenticate`]: what the tokens of a request prove.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::location::strip;
use super::token::{Token, TokenError};
use super::{ClaimHeader, JwtRule};
use crate::host::WallTime;
use crate::policy::PolicyKey;
use crate::request::{ClaimPath, Claims, RequestView};

/// What the tokens of a request prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// It carries none where rules look: it goes on without a principal.
    Anonymous,
    /// A token is valid.
    Authenticated(Box<Authenticated>),
    /// It carries one and none is valid: 401.
    Refused(Refusal),
}

/// A valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// What it says.
    pub claims: Claims,
    /// The RequestAuthentication that accepts it.
    pub origin: PolicyKey,
    /// Indices of the rules a token of the request satisfies.
    rules: Vec<usize>,
    /// The payload as it was sent, by rule.
    payloads: Vec<String>,
}

/// Why a request is answered 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong with the token. Its text is the answer's body.
    pub error: TokenError,
    /// The RequestAuthentication whose rule says so.
    pub origin: PolicyKey,
}

impl Refusal {
    /// The `www-authenticate` header of the answer.
    pub fn www_authenticate(&self, request: &RequestView<'_>) -> String {
        let RequestView { scheme, authority, .. } = request;
        format!("Bearer realm=\"{scheme}://{authority}{}\", error=\"invalid_token\"", request.path())
    }

    /// The access log's response code details.
    pub fn details(&self) -> String {
        format!("jwt_authn_access_denied{{{}}}", self.error.to_string().replace(' ', "_"))
    }
}

/// In words, with the object's name.
impl fmt::Display for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Authentication::Anonymous => f.write_str("no token"),
            Authentication::Authenticated(valid) => {
                let principal = valid.claims.principal.as_deref().unwrap_or("a token without a subject");
                write!(f, "{principal}, by RequestAuthentication {}", valid.origin)
            }
            Authentication::Refused(refusal) => {
                write!(f, "401 by RequestAuthentication {}: {}", refusal.origin, refusal.error)
            }
        }
    }
}

/// Checks the tokens of a request against all rules that apply to it. The caller leaves out CORS preflights.
///
/// A rule is satisfied if every token in its locations is valid for it, and there is one. If any rule is satisfied the
/// request is; of several the first tells who it is. Otherwise any token in any rule's locations refuses it.
pub fn authenticate(rules: &[&JwtRule], request: &RequestView<'_>, now: WallTime) -> Authentication {
    let mut valid: Option<Authenticated> = None;
    let mut refusal: Option<Refusal> = None;
    for (index, rule) in rules.iter().enumerate() {
        match rule.check(request, now) {
            None => {}
            Some(Ok((claims, payload))) => {
                let valid = valid.get_or_insert_with(|| Authenticated {
                    claims,
                    origin: rule.origin.clone(),
                    rules: Vec::new(),
                    payloads: Vec::new(),
                });
                valid.rules.push(index);
                valid.payloads.push(payload);
            }
            // That a token is another issuer's is the least that can be said of it.
            Some(Err(error)) if refusal.as_ref().is_none_or(|known| known.error == TokenError::UnknownIssuer) => {
                refusal = Some(Refusal { error, origin: rule.origin.clone() });
            }
            Some(Err(_)) => {}
        }
    }
    match (valid, refusal) {
        (Some(valid), _) => Authentication::Authenticated(Box::new(valid)),
        (None, Some(refusal)) => Authentication::Refused(refusal),
        (None, None) => Authentication::Anonymous,
    }
}

impl Authentication {
    /// Changes a request that goes on: what clients may not say themselves is removed, tokens that are not forwarded are
    /// taken out, headers made of payload and claims are put in. Returns the new path and query if they changed.
    pub fn apply(&self, rules: &[&JwtRule], headers: &mut HeaderMap, path_and_query: &str) -> Option<String> {
        for rule in rules {
            for name in rule
                .output_payload_to_header
                .iter()
                .chain(rule.output_claim_to_headers.iter().map(|ClaimHeader { header, .. }| header))
            {
                headers.remove(name);
            }
        }
        let Authentication::Authenticated(valid) = self else { return None };
        let mut path: Option<String> = None;
        for (index, payload) in valid.rules.iter().zip(&valid.payloads) {
            let Some(rule) = rules.get(*index) else { continue };
            if !rule.forward_original_token
                && let Some(changed) = strip(rule, headers, path.as_deref().unwrap_or(path_and_query))
            {
                path = Some(changed);
            }
            if let (Some(name), Ok(value)) = (&rule.output_payload_to_header, HeaderValue::from_str(payload)) {
                headers.insert(name.clone(), value);
            }
        }
        for rule in valid.rules.iter().take(1).filter_map(|index| rules.get(*index)) {
            for ClaimHeader { header, claim } in &rule.output_claim_to_headers {
                if let Some(value) = header_value(&valid.claims, claim) {
                    headers.insert(header.clone(), value);
                }
            }
        }
        path
    }
}

/// A claim as a header: text, numbers and truth values as they are, anything else as base64 of its JSON.
fn header_value(claims: &Claims, claim: &ClaimPath) -> Option<HeaderValue> {
    let text = match claims.get(claim)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null => return None,
        value @ (Value::Array(_) | Value::Object(_)) => STANDARD.encode(value.to_string()),
    };
    HeaderValue::from_str(&text).ok()
}

impl JwtRule {
    /// `None` without a token. Else the claims of the first and its payload as sent, or what is wrong with one of them.
    fn check(&self, request: &RequestView<'_>, now: WallTime) -> Option<Result<(Claims, String), TokenError>> {
        let mut first = None;
        for text in self.locations.find(request) {
            match self.check_one(&text, now) {
                Ok(valid) => first = first.or(Some(Ok(valid))),
                Err(error) => return Some(Err(error)),
            }
        }
        first
    }

    fn check_one(&self, text: &str, now: WallTime) -> Result<(Claims, String), TokenError> {
        let token = Token::parse(text)?;
        if token.payload.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(TokenError::UnknownIssuer);
        }
        token.check_time(now)?;
        token.check_audience(&self.audiences)?;
        token.verify(&self.keys)?;
        let subject = token.payload.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty());
        let claims = Claims {
            principal: subject.map(|subject| format!("{}/{subject}", self.issuer).into()),
            payload: Arc::new(token.payload),
            space_delimited: self.space_delimited_claims.clone(),
        };
        Ok((claims, token.payload_text.to_owned()))
    }
}

#[cfg(test)]
mod tests;
