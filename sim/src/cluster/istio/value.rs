//! Values that Istio's objects share: durations, expressions, string matches, percentages.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::request::Pattern;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::cluster::names;

/// A duration as written: `10s`, `1m30s`, `0.5s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text("a duration such as `10s`", |text| {
            names::duration(text).map(Span).map_err(|problem| told(&problem))
        }))
    }
}

/// A regular expression, compiled once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression(pub Pattern);

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text("a regular expression", |text| {
            Pattern::new(text).map(Expression).map_err(|error| error.to_string())
        }))
    }
}

fn told(problem: &crate::cluster::Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{}; {hint}", problem.message),
        None => problem.message.clone(),
    }
}

/// Reads a text and makes something of it.
struct Text<T>(&'static str, fn(&str) -> Result<T, String>);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }
}

/// `exact`, `prefix` or `regex`; as a header's match also none of them, which is "present".
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct StringMatch {
    pub exact: Option<Arc<str>>,
    pub prefix: Option<Arc<str>>,
    pub regex: Option<Expression>,
}

impl StringMatch {
    /// How many of the three are written.
    pub fn written(&self) -> usize {
        usize::from(self.exact.is_some()) + usize::from(self.prefix.is_some()) + usize::from(self.regex.is_some())
    }
}

/// `value` in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct Percent {
    pub value: f64,
}

/// A port by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct PortSelector {
    pub number: u32,
}
