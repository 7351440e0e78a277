//! Keys that sign tokens: their names, key sets in manifests, tokens of requests.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Resolver;
use crate::app::{Seal, TokenAlgorithm, TokenKey, key_set};
use crate::cluster::diagnostic::{Problem, did_you_mean};
use crate::cluster::yaml::{Position, Spanned};
use crate::scenario::schema::{KeyForm, SealWay, TokenAlgorithmName, TokenSection};
use crate::scenario::token::{Expiry, TokenPlace, TokenPlan};

/// What stands in a manifest for a key set.
const START: &str = "${jwks:";

/// Whether a manifest asks for key sets.
pub(super) fn are_named(text: &str) -> bool {
    text.contains(START)
}

impl Resolver {
    pub(super) fn keys(&mut self, keys: &BTreeMap<String, Spanned<KeyForm>>) {
        let mut rsa = 0;
        for (name, form) in keys {
            let algorithm = match form.algorithm {
                TokenAlgorithmName::RS256 => TokenAlgorithm::Rs256,
                TokenAlgorithmName::ES256 => TokenAlgorithm::Es256,
                TokenAlgorithmName::EdDsa => TokenAlgorithm::EdDsa,
            };
            if algorithm == TokenAlgorithm::Rs256 {
                rsa += 1;
                if rsa > TokenKey::MOST_RSA {
                    let problem = Problem::new(format!("a scenario has at most {} RSA keys", TokenKey::MOST_RSA));
                    self.complain(form.position, problem.hint("there is no such limit for ES256 and EdDSA"));
                }
            }
            let id = form.id.as_deref().unwrap_or(name);
            self.keys.insert(name.clone(), TokenKey::new(name, id, algorithm, rsa));
        }
    }

    pub(super) fn key(&mut self, name: &str, position: Position) -> Option<&TokenKey> {
        if !self.keys.contains_key(name) {
            let problem = Problem::new(format!("no key is called `{name}`"))
                .hint("declare it at the top: `keys: { name: RS256 }`")
                .maybe_hint(did_you_mean(name, self.keys.keys().map(String::as_str)));
            self.complain(position, problem);
        }
        self.keys.get(name)
    }

    /// The text of a manifest with key sets in place of their names.
    pub(super) fn with_key_sets(&mut self, text: &str, position: Position) -> Option<String> {
        let mut parts = text.split(START);
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let Some((names, rest)) = part.split_once('}') else {
                self.complain(position, Problem::new(format!("a manifest has a `{START}` without a `}}`")));
                return None;
            };
            let mut keys = Vec::new();
            for name in names.split(',') {
                keys.push(self.key(name.trim(), position)?.clone());
            }
            whole.push_str(&key_set(&keys));
            whole.push_str(rest);
        }
        Some(whole)
    }

    pub(super) fn token(&mut self, token: &Spanned<TokenSection>) -> Option<TokenPlan> {
        let key = match &token.key {
            Some(name) => self.key(name, name.position)?.clone(),
            None if self.keys.len() == 1 => self.keys.values().next()?.clone(),
            None => {
                let problem = Problem::new("it is not clear which key signs this token");
                self.complain(token.position, problem.hint("name one of `keys` in `key`"));
                return None;
            }
        };
        let expires = match (token.expires_in, token.expired_for) {
            (Some(_), Some(_)) => {
                let problem = Problem::new("a token has either `expires_in` or `expired_for`");
                self.complain(token.position, problem);
                return None;
            }
            (_, Some(time)) => Expiry::Ago(time.0),
            (time, None) => Expiry::In(time.map_or(std::time::Duration::from_secs(3600), |time| time.0)),
        };
        let mut claims = Map::new();
        let texts = [("iss", &token.issuer), ("sub", &token.subject)];
        for (name, text) in texts {
            if let Some(text) = text {
                claims.insert(name.to_owned(), Value::from(text.as_str()));
            }
        }
        if let Some(audience) = &token.audience {
            let audience = match audience.0.as_slice() {
                [one] => Value::from(one.as_str()),
                several => Value::from(several),
            };
            claims.insert("aud".to_owned(), audience);
        }
        claims.extend(token.claims.iter().map(|(name, value)| (name.clone(), value.clone())));
        Some(TokenPlan {
            key,
            claims,
            expires,
            valid_in: token.valid_in.map(|time| time.0),
            seal: match token.signature {
                SealWay::Valid => Seal::Valid,
                SealWay::Forged => Seal::Forged,
                SealWay::None => Seal::None,
            },
            place: self.token_place(token)?,
        })
    }

    fn token_place(&mut self, token: &Spanned<TokenSection>) -> Option<TokenPlace> {
        let place = match (&token.header, &token.query, &token.cookie) {
            (None, None, None) => {
                let prefix = token.prefix.clone().unwrap_or_else(|| "Bearer ".to_owned());
                return Some(TokenPlace::Header("authorization".to_owned(), prefix));
            }
            (Some(name), None, None) => {
                TokenPlace::Header(name.to_ascii_lowercase(), token.prefix.clone().unwrap_or_default())
            }
            (None, Some(name), None) => TokenPlace::Query(name.clone()),
            (None, None, Some(name)) => TokenPlace::Cookie(name.clone()),
            _ => {
                let problem = Problem::new("a token goes into one place: `header`, `query` or `cookie`");
                self.complain(token.position, problem);
                return None;
            }
        };
        let name = match &place {
            TokenPlace::Header(name, _) | TokenPlace::Query(name) | TokenPlace::Cookie(name) => name,
        };
        if name.parse::<http::HeaderName>().is_err() {
            self.complain(token.position, Problem::new(format!("`{name}` cannot carry a token")));
            return None;
        }
        Some(place)
    }
}
