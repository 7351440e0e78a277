//! Where a rewritten request goes.

use super::{PathKind, PathMatch, PathRewrite};

impl PathRewrite {
    /// The new path and query. `matched` is the path match of the route that decided.
    pub fn apply(&self, matched: Option<&PathMatch>, path_and_query: &str) -> String {
        let (path, query) = match path_and_query.find('?') {
            Some(end) => path_and_query.split_at(end),
            None => (path_and_query, ""),
        };
        let mut new = self.new_path(matched.map(|matched| &matched.kind), path);
        if !new.starts_with('/') {
            new.insert(0, '/');
        }
        // A replacement with a query of its own replaces the old one.
        if !new.contains('?') {
            new.push_str(query);
        }
        new
    }

    fn new_path(&self, matched: Option<&PathKind>, path: &str) -> String {
        match self {
            PathRewrite::Full(new) => new.to_string(),
            PathRewrite::Regex { pattern, substitution } => pattern.replace_all(path, substitution),
            PathRewrite::MatchedSegments(new) => {
                let prefix = match matched {
                    Some(PathKind::SegmentPrefix(prefix) | PathKind::TextPrefix(prefix) | PathKind::Exact(prefix)) => {
                        prefix.strip_suffix('/').unwrap_or(prefix)
                    }
                    Some(PathKind::Regex(_)) | None => "",
                };
                let rest = path.get(prefix.len()..).unwrap_or("");
                format!("{}{rest}", new.strip_suffix('/').unwrap_or(new))
            }
            PathRewrite::MatchedText(new) => {
                let kept = match matched {
                    Some(PathKind::TextPrefix(prefix)) => prefix.len(),
                    Some(PathKind::SegmentPrefix(prefix)) => prefix.strip_suffix('/').unwrap_or(prefix).len(),
                    Some(PathKind::Exact(_) | PathKind::Regex(_)) => path.len(),
                    // Without a match every request begins with the prefix `/`.
                    None => 1,
                };
                format!("{new}{}", path.get(kept..).unwrap_or(""))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::Pattern;

    fn by(kind: PathKind) -> Option<PathMatch> {
        Some(PathMatch { kind, ignore_case: false })
    }

    #[test]
    fn segments_of_a_prefix_are_replaced_as_gateway_api_tabulates() {
        for (path, prefix, new, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/prefix/one/two", "/prefix/one", "/one", "/one/two"),
            ("/strip-prefix", "/strip-prefix", "/", "/"),
            ("/strip-prefix/three", "/strip-prefix", "/", "/three"),
            ("/a/b?x=/foo", "/a", "/c", "/c/b?x=/foo"),
            ("/a", "/", "/c", "/c/a"),
        ] {
            let rewrite = PathRewrite::MatchedSegments(new.into());
            let matched = by(PathKind::SegmentPrefix(prefix.into()));
            assert_eq!(rewrite.apply(matched.as_ref(), path), expected, "{path} {prefix} {new}");
        }
    }

    #[test]
    fn a_full_path_replaces_all_but_the_query() {
        assert_eq!(PathRewrite::Full("/one".into()).apply(None, "/full/one/two?a=b"), "/one?a=b");
        assert_eq!(PathRewrite::Full("one?c".into()).apply(None, "/full?a=b"), "/one?c");
    }

    #[test]
    fn a_virtual_service_replaces_the_characters_that_matched() {
        let rewrite = PathRewrite::MatchedText("/new".into());
        for (kind, path, expected) in [
            (by(PathKind::TextPrefix("/old".into())), "/older/x?q", "/newer/x?q"),
            (by(PathKind::Exact("/old".into())), "/old", "/new"),
            (by(PathKind::Regex(Pattern::new("/o.*").unwrap())), "/old/x", "/new"),
            (None, "/old", "/newold"),
        ] {
            assert_eq!(rewrite.apply(kind.as_ref(), path), expected);
        }
        let pattern = Pattern::new("^/api/v(\\d)/(.*)$").unwrap();
        let rewrite = PathRewrite::Regex { pattern, substitution: "/v\\1/api/\\2".into() };
        assert_eq!(rewrite.apply(None, "/api/v2/users?x=/api/v3/"), "/v2/api/users?x=/api/v3/");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_rewritten_path_is_a_path(path in "/[a/é]{0,8}(\\?[a=]{0,3})?", prefix in "/[a/é]{0,4}", new in "[a/]{0,4}") {
            for rewrite in [PathRewrite::MatchedSegments(new.as_str().into()), PathRewrite::MatchedText(new.as_str().into())] {
                for kind in [PathKind::SegmentPrefix(prefix.as_str().into()), PathKind::Exact(prefix.as_str().into())] {
                    prop_assert!(rewrite.apply(by(kind).as_ref(), &path).starts_with('/'));
                }
            }
        }
    }
}
