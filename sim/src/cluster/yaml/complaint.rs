//! What serde finds wrong, in the words of a person who writes YAML.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::node::Position;
use super::scalar::{Plain, resolve_plain};
use crate::cluster::diagnostic::{Problem, did_you_mean};

/// The way from the root to a node, for messages.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, key) => f.write_str(key),
            Path::Field(parent, key) => write!(f, "{parent}.{key}"),
            Path::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Serde's complaint, placed by the innermost node it passes on its way out.
#[derive(Debug)]
pub(super) struct Error {
    message: String,
    hint: Option<String>,
    pub(super) position: Option<Position>,
    path: String,
}

impl Error {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Error { message: message.into(), hint: None, position: None, path: String::new() }
    }

    fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = self.hint.or(hint);
        self
    }

    pub(super) fn place(mut self, position: Position, path: Path<'_>) -> Self {
        if self.position.is_none() {
            self.position = Some(position);
            self.path = path.to_string();
        }
        self
    }

    pub(super) fn problem(self) -> Problem {
        let message = if self.path.is_empty() { self.message } else { format!("`{}`: {}", self.path, self.message) };
        Problem { message, hint: self.hint }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let wanted = wanted(&expected.to_string());
        let hint = match found {
            Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_) | Unexpected::Bool(_)
                if wanted == "text" =>
            {
                Some("put quotes around it".to_owned())
            }
            Unexpected::Str(text) if wanted.contains("number") && !matches!(resolve_plain(text), Plain::Text(_)) => {
                Some("remove the quotes".to_owned())
            }
            _ => None,
        };
        Error::new(format!("expected {wanted}, found {}", describe(found))).hint(hint)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Error::new(format!("expected {}, found {}", wanted(&expected.to_string()), describe(found)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let choices = || format!("one of {}", list(expected));
        let hint = did_you_mean(variant, expected.iter().copied()).unwrap_or_else(choices);
        Error::new(format!("unknown value `{variant}`")).hint(Some(hint))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        unknown_field(field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Error::new(format!("missing field `{field}`"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Error::new(format!("field `{field}` is written twice"))
    }
}

pub(super) fn unknown_field(field: &str, expected: &[&str]) -> Error {
    let choices = || match expected.len() {
        0 => None,
        1..=12 => Some(format!("the fields here are {}", list(expected))),
        _ => None,
    };
    let hint = did_you_mean(field, expected.iter().copied()).or_else(choices);
    Error::new(format!("unknown field `{field}`")).hint(hint)
}

pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// What was expected, in the words of a person who writes YAML.
fn wanted(expected: &str) -> String {
    match expected {
        "a string" | "string" | "a borrowed string" | "a character" => "text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => format!("a whole number ({expected})"),
        "u8" | "u16" | "u32" | "u64" | "usize" => format!("a whole number, not negative ({expected})"),
        "f32" | "f64" => "a number".to_owned(),
        "IntOrString" => "a whole number or text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        // Types of the program mean nothing to whoever writes YAML; those of k8s-openapi name only themselves.
        other if other.starts_with("struct ") => "a mapping".to_owned(),
        other if other.starts_with(|first: char| first.is_ascii_uppercase()) && !other.contains(' ') => {
            "a mapping".to_owned()
        }
        other if other.starts_with("enum ") => "one of its words".to_owned(),
        other if other.starts_with("tuple struct ") || other.starts_with("newtype struct ") => "a value".to_owned(),
        other => other.to_owned(),
    }
}

fn describe(found: Unexpected<'_>) -> String {
    const LONGEST: usize = 60;
    match found {
        Unexpected::Bool(value) => format!("boolean `{value}`"),
        Unexpected::Signed(value) => format!("number `{value}`"),
        Unexpected::Unsigned(value) => format!("number `{value}`"),
        Unexpected::Float(value) => format!("number `{value}`"),
        Unexpected::Str(text) if text.chars().count() > LONGEST => {
            format!("text `{}…`", text.chars().take(LONGEST).collect::<String>())
        }
        Unexpected::Str(text) => format!("text `{text}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}
