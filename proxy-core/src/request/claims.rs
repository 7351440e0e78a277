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
    /// Claims that are lists of words separated by spaces, besides `scope` and `permission`.
    pub space_delimited: Vec<Arc<str>>,
}

impl Claims {
    /// The claim at the end of `path`.
    pub fn get(&self, path: &ClaimPath) -> Option<&Value> {
        let (first, rest) = path.0.split_first()?;
        rest.iter().try_fold(self.payload.get(&**first)?, |value, name| value.as_object()?.get(&**name))
    }

    /// Whether the claim is a string that is `wanted`, or a list with such a member. Numbers and truth values are
    /// neither; a claim that is a list separated by spaces is asked word by word.
    pub fn any(&self, path: &ClaimPath, wanted: impl Fn(&str) -> bool) -> bool {
        match self.get(path) {
            Some(Value::String(text)) if self.is_space_delimited(path) => text.split_whitespace().any(wanted),
            Some(Value::String(text)) => wanted(text),
            Some(Value::Array(members)) => members.iter().filter_map(Value::as_str).any(wanted),
            _ => false,
        }
    }

    fn is_space_delimited(&self, path: &ClaimPath) -> bool {
        let [name] = &*path.0 else { return false };
        matches!(&**name, "scope" | "permission") || self.space_delimited.contains(name)
    }
}

/// The way to a claim: one name, or several for a nested one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimPath(pub Vec<Arc<str>>);

impl ClaimPath {
    /// The claim of this name.
    pub fn one(name: &str) -> Self {
        ClaimPath(vec![name.into()])
    }

    /// From `[a]` or `[a][b]`; `None` if it is not so written.
    pub fn from_brackets(text: &str) -> Option<Self> {
        let mut names = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (name, tail) = rest.strip_prefix('[')?.split_once(']')?;
            if name.is_empty() {
                return None;
            }
            names.push(name.into());
            rest = tail;
        }
        (!names.is_empty()).then_some(ClaimPath(names))
    }

    /// From `a` or `a.b`, as headers made of claims name them; `None` if a name is empty.
    pub fn from_dots(text: &str) -> Option<Self> {
        let names: Vec<Arc<str>> = text.split('.').map(Arc::from).collect();
        names.iter().all(|name| !name.is_empty()).then_some(ClaimPath(names))
    }

    /// From the header name by which a VirtualService matches a claim: `@request.auth.claims.a.b` or
    /// `@request.auth.claims[a][b]`; `None` if it is an ordinary header.
    pub fn from_route_header(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("@request.auth.claims")?;
        match rest.strip_prefix('.') {
            Some(dotted) => ClaimPath::from_dots(dotted),
            None => ClaimPath::from_brackets(rest),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn any(path: &str, wanted: &str) -> bool {
        let payload = json!({
            "sub": "me", "groups": ["a", "b"], "scope": "read write", "roles": "x y", "deep": {"er": ["z"]},
            "number": 7, "words": "one two",
        });
        let payload = payload.as_object().cloned().unwrap_or_default();
        let claims = Claims { payload: Arc::new(payload), principal: None, space_delimited: vec!["words".into()] };
        claims.any(&ClaimPath::from_brackets(path).unwrap(), |text| text == wanted)
    }

    #[test]
    fn a_claim_is_a_string_or_a_member_of_a_list() {
        assert!(any("[sub]", "me") && any("[groups]", "b") && any("[deep][er]", "z"));
        assert!(!any("[groups]", "c") && !any("[deep]", "z") && !any("[sub][x]", "me") && !any("[number]", "7"));
    }

    #[test]
    fn only_some_claims_are_lists_of_words() {
        assert!(any("[scope]", "write") && any("[words]", "two") && !any("[scope]", "read write"));
        assert!(any("[roles]", "x y") && !any("[roles]", "x"));
    }

    #[test]
    fn claim_paths_are_read_in_all_their_forms() {
        let path = ClaimPath(vec!["a".into(), "b".into()]);
        assert_eq!(ClaimPath::from_brackets("[a][b]"), Some(path.clone()));
        assert_eq!(ClaimPath::from_dots("a.b"), Some(path.clone()));
        assert_eq!(ClaimPath::from_route_header("@request.auth.claims.a.b"), Some(path.clone()));
        assert_eq!(ClaimPath::from_route_header("@request.auth.claims[a][b]"), Some(path));
        for wrong in ["", "a", "[a", "[a]b", "[]", "[a][]"] {
            assert_eq!(ClaimPath::from_brackets(wrong), None, "{wrong}");
        }
        assert_eq!(ClaimPath::from_route_header("x-header"), None);
    }
}
