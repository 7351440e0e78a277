//! [`TextMatch`]: how one string of a request is compared; [`Pattern`]: a compiled regular expression.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

/// Bytes a compiled expression may take. An expression that needs more is refused when it is read, never when it runs.
const COMPILED_MAX: usize = 1 << 20;

/// A regular expression of RE2's syntax that must match the whole string. Compiled once; runs in linear time.
#[derive(Clone)]
pub struct Pattern {
    source: Arc<str>,
    regex: Regex,
}

/// The expression is not one, or is too large.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{source_text}` is no usable regular expression: {reason}; write it in RE2 syntax, without look-around")]
pub struct InvalidPattern {
    /// As written.
    pub source_text: String,
    /// What the compiler says, on one line.
    pub reason: String,
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// If it is not in RE2's syntax (look-around and back-references are not) or compiles to more than 1 MiB.
    pub fn new(source: &str) -> Result<Self, InvalidPattern> {
        Pattern::compile(source, false)
    }

    /// Compiles an expression that ignores the case of letters.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub fn ignoring_case(source: &str) -> Result<Self, InvalidPattern> {
        Pattern::compile(source, true)
    }

    fn compile(source: &str, ignore_case: bool) -> Result<Self, InvalidPattern> {
        let invalid = |reason: String| InvalidPattern {
            source_text: source.to_owned(),
            reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        // On its own first: `a)(b` is not an expression, though it would be one between our parentheses.
        regex_syntax_check(source).map_err(&invalid)?;
        let regex = regex::RegexBuilder::new(&format!("^(?:{source})$"))
            .case_insensitive(ignore_case)
            .size_limit(COMPILED_MAX)
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Pattern { source: source.into(), regex })
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// As written, without the anchors.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

fn regex_syntax_check(source: &str) -> Result<(), String> {
    regex::RegexBuilder::new(source).size_limit(COMPILED_MAX).build().map(|_| ()).map_err(|error| error.to_string())
}

/// Equal if they behave alike: the same text, the same attention to case.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

/// How one string of a request is compared. Case counts unless the caller folds it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// The whole string.
    Exact(Arc<str>),
    /// Starts with.
    Prefix(Arc<str>),
    /// Ends with.
    Suffix(Arc<str>),
    /// The whole string matches an expression.
    Regex(Pattern),
    /// There is one at all, even an empty one.
    Present,
}

impl TextMatch {
    /// Whether `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            TextMatch::Exact(wanted) => **wanted == *text,
            TextMatch::Prefix(wanted) => text.starts_with(&**wanted),
            TextMatch::Suffix(wanted) => text.ends_with(&**wanted),
            TextMatch::Regex(pattern) => pattern.matches(text),
            TextMatch::Present => true,
        }
    }
}

impl fmt::Display for TextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextMatch::Exact(wanted) => write!(f, "is `{wanted}`"),
            TextMatch::Prefix(wanted) => write!(f, "starts with `{wanted}`"),
            TextMatch::Suffix(wanted) => write!(f, "ends with `{wanted}`"),
            TextMatch::Regex(pattern) => write!(f, "matches `{}`", pattern.as_str()),
            TextMatch::Present => f.write_str("is present"),
        }
    }
}
