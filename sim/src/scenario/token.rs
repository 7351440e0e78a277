//! [`TokenPlan`]: a token that is made and signed when its request is.

use std::time::Duration;

use proxy_core::host::WallTime;
use serde_json::{Map, Value};

use crate::app::{HttpRequest, Seal, TokenKey};

/// A token to make.
#[derive(Clone, Debug)]
pub struct TokenPlan {
    /// Signs it.
    pub key: TokenKey,
    /// All but those that depend on when it is made.
    pub claims: Map<String, Value>,
    /// Until when it is valid, from when it is made.
    pub expires: Expiry,
    /// From when on it is valid, if not at once.
    pub valid_in: Option<Duration>,
    /// How it is sealed.
    pub seal: Seal,
    /// Where it goes.
    pub place: TokenPlace,
}

/// Until when a token is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// So long from when it is made.
    In(Duration),
    /// It expired so long ago.
    Ago(Duration),
}

/// Where a token goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// A header, after this text.
    Header(String, String),
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
}

impl TokenPlan {
    /// The token made at this time.
    pub fn token(&self, now: WallTime) -> String {
        let mut claims = self.claims.clone();
        let mut put = |name: &str, value: u64| {
            claims.entry(name).or_insert_with(|| Value::from(value));
        };
        put("iat", now.unix_secs());
        put(
            "exp",
            match self.expires {
                Expiry::In(time) => (now + time).unix_secs(),
                Expiry::Ago(time) => (now - time).unix_secs(),
            },
        );
        if let Some(time) = self.valid_in {
            put("nbf", (now + time).unix_secs());
        }
        self.key.token(&Value::Object(claims), self.seal)
    }

    /// Puts the token made at this time into a request.
    pub fn attach(&self, request: &mut HttpRequest, now: WallTime) {
        let token = self.token(now);
        match &self.place {
            TokenPlace::Header(name, before) => request.headers.push((name.clone(), format!("{before}{token}"))),
            TokenPlace::Cookie(name) => request.headers.push(("cookie".to_owned(), format!("{name}={token}"))),
            TokenPlace::Query(name) => {
                let path = &request.target.path;
                let sign = if path.contains('?') { '&' } else { '?' };
                request.target.path = format!("{path}{sign}{name}={token}").into();
            }
        }
    }
}
