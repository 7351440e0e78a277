//! [`Diagnostic`]: what is wrong with an input, where, and the next step.

use std::fmt;
use std::sync::Arc;

/// A place in an input file. Lines and columns count from 1; columns count characters.
/// Line 0 means the thing came from no file (a default object, an API call).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// As the caller named the file.
    pub file: Arc<str>,
    /// From 1; 0 if unknown.
    pub line: u32,
    /// From 1; 0 if unknown.
    pub column: u32,
}

impl Source {
    /// A place in a file.
    pub fn new(file: &Arc<str>, line: u32, column: u32) -> Self {
        Source { file: file.clone(), line, column }
    }

    /// The place of things no file mentions.
    pub fn builtin() -> Self {
        Source { file: "<built in>".into(), line: 0, column: 0 }
    }
}

/// `file:line:column`, less what is unknown.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// Something wrong with an input, without a place: what operations on the cluster return. The caller knows where the
/// request was written and turns it into a [`Diagnostic`] with [`Problem::at`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One sentence without a full stop; names in backticks.
    pub message: String,
    /// The next step, as a question or an instruction.
    pub hint: Option<String>,
}

impl Problem {
    /// Without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Problem { message: message.into(), hint: None }
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With a hint if there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Placed in a file.
    pub fn at(self, source: &Source) -> Diagnostic {
        Diagnostic {
            file: source.file.clone(),
            line: source.line,
            column: source.column,
            message: self.message,
            hint: self.hint,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// Something wrong (or, as a notice, worth knowing) in an input file. Prints as
///
/// ```text
/// catalog/deny.yaml:14:9: no service `serverr` in namespace `default`
///   hint: did you mean `server`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// As the caller named the file.
    pub file: Arc<str>,
    /// From 1; 0 if unknown.
    pub line: u32,
    /// From 1, in characters; 0 if unknown.
    pub column: u32,
    /// One sentence without a full stop; names in backticks.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Where it points.
    pub fn source(&self) -> Source {
        Source { file: self.file.clone(), line: self.line, column: self.column }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a message quotes must neither break its line nor speak to the terminal.
        let message = self.message.replace(char::is_control, "\u{fffd}");
        write!(f, "{}: {message}", self.source())?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// Sorts by place within each file; files stay in the order in which they are first mentioned.
pub(super) fn in_order_of_writing(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut files: Vec<Arc<str>> = Vec::new();
    for diagnostic in &diagnostics {
        if !files.contains(&diagnostic.file) {
            files.push(diagnostic.file.clone());
        }
    }
    diagnostics.sort_by_cached_key(|diagnostic| {
        let file = files.iter().position(|file| *file == diagnostic.file);
        (file, diagnostic.line, diagnostic.column)
    });
    diagnostics
}

/// `did you mean ..?` for the candidate nearest to `name`, if one is near enough to be a slip of the keyboard.
/// Ties go to the candidate that comes first.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// The candidate nearest to `name`, if one is near enough to be a slip of the keyboard: at most a third of its letters
/// differ (at least one), or only upper and lower case does. Names over 200 bytes have no neighbours.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 200;
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate.len() > LONGEST || candidate == name {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
        let allowed = (name.chars().count().max(candidate.chars().count()) / 3).max(1);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_prints_place_fact_and_hint() {
        let file: Arc<str> = "catalog/deny.yaml".into();
        let problem = Problem::new("no service `serverr` in namespace `default`")
            .maybe_hint(did_you_mean("serverr", ["client", "server"]));
        let text = problem.at(&Source::new(&file, 14, 9)).to_string();
        assert_eq!(
            text,
            "catalog/deny.yaml:14:9: no service `serverr` in namespace `default`\n  hint: did you mean `server`?"
        );
    }

    #[test]
    fn hints_are_given_only_for_slips() {
        assert_eq!(nearest("targetport", ["port", "targetPort"]), Some("targetPort"));
        assert_eq!(nearest("replcias", ["replicas", "selector"]), Some("replicas"));
        assert_eq!(nearest("foo", ["replicas", "selector"]), None);
        assert_eq!(nearest("ab", ["cd"]), None);
        assert_eq!(nearest(&"x".repeat(300), [&*"x".repeat(299)]), None);
    }
}
