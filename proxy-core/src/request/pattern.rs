//! [`TextMatch`]: how one string of a request is compared; [`Pattern`]: a compiled regular expression.

use std::fmt;
use std::sync::{Arc, OnceLock};

use regex::Regex;

/// Bytes a compiled expression may take. An expression that needs more is refused when it is read, never when it runs.
const COMPILED_MAX: usize = 1 << 20;

/// A regular expression of RE2's syntax that must match the whole string. Compiled once; runs in linear time.
#[derive(Clone)]
pub struct Pattern {
    source: Arc<str>,
    whole: Regex,
    /// Not anchored; made when it is first needed, which for most expressions is never.
    anywhere: OnceLock<Option<Regex>>,
    ignore_case: bool,
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
        build(source, ignore_case).map_err(|error| invalid(error.to_string()))?;
        let whole = build(&format!("^(?:{source})$"), ignore_case).map_err(|error| invalid(error.to_string()))?;
        Ok(Pattern { source: source.into(), whole, anywhere: OnceLock::new(), ignore_case })
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }

    /// `text` with every place that matches replaced by `substitution`, in which `\0` to `\9` stand for the match and
    /// its groups and `\\` for a backslash.
    pub fn replace_all(&self, text: &str, substitution: &str) -> String {
        let expand = |captures: &regex::Captures<'_>| {
            let mut out = String::new();
            let mut letters = substitution.chars();
            while let Some(letter) = letters.next() {
                match letter {
                    '\\' => match letters.next() {
                        Some(next) => match next.to_digit(10) {
                            Some(group) => {
                                out.push_str(captures.get(group as usize).map_or("", |found| found.as_str()));
                            }
                            None => out.push(next),
                        },
                        None => out.push('\\'),
                    },
                    other => out.push(other),
                }
            }
            out
        };
        match self.anywhere.get_or_init(|| build(&self.source, self.ignore_case).ok()) {
            Some(regex) => regex.replace_all(text, expand).into_owned(),
            None => text.to_owned(),
        }
    }

    /// As written, without the anchors.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

fn build(text: &str, ignore_case: bool) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(text).case_insensitive(ignore_case).size_limit(COMPILED_MAX).build()
}

/// Equal if they behave alike: the same text, the same attention to case.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.ignore_case == other.ignore_case
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_the_whole_text_or_not_at_all() {
        let pattern = Pattern::new("a|b+").unwrap();
        assert!(pattern.matches("a") && pattern.matches("bbb"));
        assert!(!pattern.matches("ab") && !pattern.matches("xa") && !pattern.matches("a\n"));
    }

    #[test]
    fn what_is_no_expression_or_too_large_is_refused_in_words() {
        for wrong in ["a)(b", "(?=x)", "(a)\\1", "[", "(?:a{1000}){1000}"] {
            let error = Pattern::new(wrong).unwrap_err().to_string();
            assert!(error.contains(wrong) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn case_counts_unless_it_is_to_be_ignored() {
        assert!(!Pattern::new("/abc").unwrap().matches("/ABC"));
        assert!(Pattern::ignoring_case("/abc").unwrap().matches("/ABC"));
        assert_ne!(Pattern::new("a").unwrap(), Pattern::ignoring_case("a").unwrap());
    }

    #[test]
    fn groups_are_put_where_the_substitution_names_them() {
        let pattern = Pattern::new("/service/([^/]+)(/.*)").unwrap();
        assert_eq!(pattern.replace_all("/service/foo/v1/api", "\\2/instance/\\1"), "/v1/api/instance/foo");
        assert_eq!(Pattern::new("one").unwrap().replace_all("/xxx/one/yyy/one/zzz", "two"), "/xxx/two/yyy/two/zzz");
    }
}
