//! Whether a route's match fits a request.

use super::{ClaimMatch, HeaderMatch, HttpMatch, PathKind, PathMatch};
use crate::request::{RequestView, TextMatch};

impl HttpMatch {
    /// Whether every part that is there matches. Cheap comparisons come first.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        fits(&self.method, request.method.as_str())
            && self.path.as_ref().is_none_or(|path| path.matches(request.path()))
            && fits(&self.scheme, request.scheme)
            && self.authority.as_ref().is_none_or(|wanted| wanted.matches(&request.authority.to_ascii_lowercase()))
            && self.headers.iter().all(|header| header.matches(request))
            && !self.without_headers.iter().any(|header| header.matches(request))
            && self
                .query
                .iter()
                .all(|wanted| request.query_parameter(&wanted.name).is_some_and(|value| wanted.value.matches(value)))
            && self.claims.iter().all(|claim| claim.matches(request))
    }
}

fn fits(wanted: &Option<TextMatch>, text: &str) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted.matches(text))
}

impl HeaderMatch {
    /// Whether the request has this header with a value that matches.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        request.header(&self.name).is_some_and(|text| self.value.matches(&text))
    }
}

impl ClaimMatch {
    /// Whether a validated token says so. Without a token only a negated match holds.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        let found = request.claims.is_some_and(|claims| match &self.value {
            TextMatch::Present => claims.get(&self.claim).is_some(),
            value => claims.any(&self.claim, |text| value.matches(text)),
        });
        found != self.negated
    }
}

impl PathMatch {
    /// Whether a path without its query matches.
    pub fn matches(&self, path: &str) -> bool {
        let folds = self.ignore_case;
        let same = |one: &str, other: &str| if folds { one.eq_ignore_ascii_case(other) } else { one == other };
        let begins = |prefix: &str| path.get(..prefix.len()).is_some_and(|start| same(start, prefix));
        match &self.kind {
            PathKind::Exact(wanted) => same(path, wanted),
            PathKind::TextPrefix(prefix) => begins(prefix),
            PathKind::SegmentPrefix(prefix) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                begins(prefix) && path[prefix.len()..].bytes().next().is_none_or(|next| next == b'/')
            }
            PathKind::Regex(pattern) => pattern.matches(path),
        }
    }
}
