//! [`Claims`]: what a validated token says.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// What a validated token says, and the principal that follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The payload, a JSON object.
    pub payload: Arc<Map<String, Value>>,
    /// `<issuer>/<subject>`; absent unless the token has both.
    pub principal: Option<Arc<str>>,
    /// Claims that are lists of words separated by spaces: `scope`, `permission`, and those a rule adds.
    pub space_delimited: Vec<Arc<str>>,
}

/// The way to a claim: one name, or several for a nested one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimPath(pub Vec<Arc<str>>);

/// `[a][b]`.
impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, "[{name}]"))
    }
}

impl fmt::Debug for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
