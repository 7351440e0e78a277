//! [`sort`]: which of several Gateway API routes is tried first.

use std::cmp::Reverse;
use std::sync::Arc;

use super::{HttpMatch, HttpRoute, PathKind};

/// A route of Gateway API, before it has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unordered {
    /// The route.
    pub route: Arc<HttpRoute>,
    /// When its object was created: older objects come first. Any unit.
    pub created: i64,
    /// Of a GRPCRoute's match: characters of the service and of the method it names. They rank its expressions, whose
    /// text says more than was written.
    pub call: Option<(usize, usize)>,
}

/// Routes of one service and port in the order in which they are tried (HTTPRoute and GRPCRoute `matches`).
///
/// Exact paths come first, then the longest prefix in characters, then the longest expression, then those without a
/// path; then those with a method; then by how many headers, then by how many query parameters they name. Of equals the
/// older object comes first, then the lower `namespace/name`, then the earlier rule, then the earlier match. The forms
/// a GRPCRoute's method is translated into (exact, prefix, expression) sort as that API wants by the same rule; of its
/// expressions the longer service comes first, then the longer method.
///
/// The result does not depend on the order of `routes`.
pub fn sort(mut routes: Vec<Unordered>) -> Vec<Arc<HttpRoute>> {
    routes.sort_by_cached_key(|entry| {
        let origin = &entry.route.origin;
        // As written `namespace/name`, not part by part: `a-b/x` comes before `a/x`.
        let name = format!("{}/{}", origin.namespace, origin.name);
        (specificity(&entry.route.matches, entry.call), entry.created, name, origin.kind, origin.rule, origin.entry)
    });
    routes.into_iter().map(|entry| entry.route).collect()
}

type Specificity = (u8, Reverse<(usize, usize)>, Reverse<bool>, Reverse<usize>, Reverse<usize>);

/// The lower the more specific.
fn specificity(matches: &HttpMatch, call: Option<(usize, usize)>) -> Specificity {
    let (kind, length) = match matches.path.as_ref().map(|path| &path.kind) {
        Some(PathKind::Exact(path)) => (0, (path.chars().count(), 0)),
        Some(PathKind::SegmentPrefix(prefix) | PathKind::TextPrefix(prefix)) => (1, (prefix.chars().count(), 0)),
        Some(PathKind::Regex(pattern)) => (2, call.unwrap_or_else(|| (pattern.as_str().chars().count(), 0))),
        None => (3, (0, 0)),
    };
    let method = matches.method.is_some();
    (kind, Reverse(length), Reverse(method), Reverse(matches.headers.len()), Reverse(matches.query.len()))
}
