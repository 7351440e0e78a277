//! [`PathTemplate`]: paths with `{*}` and `{**}` in them.

use std::sync::Arc;

/// A path in which `{*}` stands for one segment and `{**}` for any characters, slashes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    source: Arc<str>,
    /// Segments before `{**}`, or all of them. `None` is `{*}`: one segment that is not empty.
    head: Vec<Option<Arc<str>>>,
    /// What follows `{**}`, literally; `None` if there is no `{**}`.
    tail: Option<Arc<str>>,
}

impl PathTemplate {
    /// Whether a path of a policy is a template at all.
    pub fn is_one(text: &str) -> bool {
        text.contains(['{', '}'])
    }

    /// Reads a template.
    ///
    /// # Errors
    /// In words: an operator that is not a whole segment or unknown, anything but literals after `{**}`, a `*` outside
    /// braces, no slash at the start.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("path template `{text}` {what}"));
        let Some(path) = text.strip_prefix('/') else { return wrong("does not begin with a slash") };
        let mut head = Vec::new();
        let mut segments = path.split('/');
        while let Some(segment) = segments.next() {
            match segment {
                "{*}" => head.push(None),
                "{**}" => {
                    let rest: String = segments.flat_map(|segment| ["/", segment]).collect();
                    if rest.contains(['{', '}', '*']) {
                        return wrong("has an operator after `{**}`; only literals may follow it");
                    }
                    return Ok(PathTemplate { source: text.into(), head, tail: Some(rest.into()) });
                }
                _ if segment.contains(['{', '}']) => {
                    return wrong("has braces inside a segment; `{*}` and `{**}` are whole segments");
                }
                _ if segment.contains('*') => return wrong("has a `*` outside braces"),
                literal => head.push(Some(literal.into())),
            }
        }
        Ok(PathTemplate { source: text.into(), head, tail: None })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether a path without its query matches.
    pub fn matches(&self, path: &str) -> bool {
        let Some(mut rest) = path.strip_prefix('/') else { return false };
        let last = self.head.len();
        for (place, wanted) in (1..).zip(&self.head) {
            let (segment, after) = match rest.split_once('/') {
                Some((segment, after)) => (segment, Some(after)),
                None => (rest, None),
            };
            let fits = match wanted {
                Some(literal) => **literal == *segment,
                None => !segment.is_empty(),
            };
            let complete = place == last && self.tail.is_none();
            match after {
                _ if !fits => return false,
                Some(_) if complete => return false,
                Some(after) => rest = after,
                None if complete => return true,
                None => return false,
            }
        }
        self.tail.as_ref().is_some_and(|tail| rest.ends_with(&**tail))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn operators_match_as_upstream_documents_them() {
        for (template, path, expected) in [
            ("/foo/{*}", "/foo/bar", true),
            ("/foo/{*}", "/foo/bar/baz", false),
            ("/foo/{*}", "/foo/", false),
            ("/foo/{*}", "/foo", false),
            ("/foo/{**}/", "/foo/bar/baz/", true),
            ("/foo/{**}/", "/foo/bar", false),
            ("/foo/{**}", "/foo/", true),
            ("/foo/{**}", "/foo/a/b", true),
            ("/foo/{**}", "/foo", false),
            ("/{*}/bar/{**}", "/foo/bar/baz", true),
            ("/{*}/bar/{**}", "/foo/qux/baz", false),
            ("/{**}/file.json", "/a/b/file.json", true),
            ("/{**}/file.json", "//file.json", true),
            ("/{**}/file.json", "/file.json", false),
            ("/{**}", "/", true),
            ("/{*}", "/", false),
            ("/a/{*}/c", "/a/b/c", true),
            ("/a/{*}/c", "/a/b/d", false),
            ("/a/{*}/c", "/a/b/c/", false),
        ] {
            assert_eq!(PathTemplate::read(template).unwrap().matches(path), expected, "{template} {path}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for wrong in ["/{**}/{*}", "/{**}/{**}", "/a{*}", "/{*}b", "/{x}", "/*/{*}", "{*}", "/{*", "/{**}/*", "/{***}"]
        {
            assert!(PathTemplate::read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_template_agrees_with_its_expression(
            template in "(/(a|b|\\{\\*\\})){0,3}(/\\{\\*\\*\\}(/a)?)?",
            path in "(/[ab]{0,2}){0,5}",
        ) {
            if let Ok(read) = PathTemplate::read(&template) {
                let expression = template.replace("{**}", ".\u{1}").replace("{*}", "[^/]+").replace('\u{1}', "*");
                let regex = regex::Regex::new(&format!("^{expression}$")).unwrap();
                prop_assert_eq!(read.matches(&path), regex.is_match(&path), "{} {}", template, path);
            }
        }
    }
}
