//! [`HttpRoutes`]: routes in order, and an index that spares looking at most of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{HttpRoute, PathKind, PathMatch};

/// Routes in the order in which they are tried: the first that matches decides.
///
/// Routes with an exact path or a prefix of whole segments are found by the path; only the rest are tried in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRoutes {
    entries: Vec<Arc<HttpRoute>>,
    /// By the whole path. Places in `entries`, ascending.
    exact: BTreeMap<Arc<str>, Vec<u32>>,
    /// By the prefix without its trailing slash. Places in `entries`, ascending.
    prefix: BTreeMap<Arc<str>, Vec<u32>>,
    /// All others, ascending.
    rest: Vec<u32>,
}

impl HttpRoutes {
    /// From entries already in order (see [`crate::route::sort`] for Gateway API's).
    pub fn new(entries: Vec<Arc<HttpRoute>>) -> Self {
        let mut routes = HttpRoutes::default();
        for (place, route) in (0u32..).zip(&entries) {
            match &route.matches.path {
                Some(PathMatch { kind: PathKind::Exact(path), ignore_case: false }) => {
                    routes.exact.entry(path.clone()).or_default().push(place);
                }
                Some(PathMatch { kind: PathKind::SegmentPrefix(prefix), ignore_case: false }) => {
                    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                    routes.prefix.entry(prefix.into()).or_default().push(place);
                }
                _ => routes.rest.push(place),
            }
        }
        routes.entries = entries;
        routes
    }

    /// In order.
    pub fn entries(&self) -> &[Arc<HttpRoute>] {
        &self.entries
    }

    /// In order, without those the path alone rules out. Their paths must still be compared.
    pub fn candidates(&self, path: &str) -> impl Iterator<Item = &Arc<HttpRoute>> {
        let mut indexed: Vec<u32> = self.exact.get(path).into_iter().flatten().copied().collect();
        if !self.prefix.is_empty() {
            let ends = path.match_indices('/').map(|(place, _)| place).chain([path.len()]);
            // A path that ends in a slash would be asked twice for what comes before it; no two ends are equal.
            for end in ends {
                indexed.extend(path.get(..end).and_then(|prefix| self.prefix.get(prefix)).into_iter().flatten());
            }
        }
        indexed.sort_unstable();
        let mut indexed = indexed.into_iter().peekable();
        let mut rest = self.rest.iter().copied().peekable();
        let places = std::iter::from_fn(move || match (indexed.peek(), rest.peek()) {
            (Some(one), Some(other)) if one < other => indexed.next(),
            (Some(_), None) => indexed.next(),
            _ => rest.next(),
        });
        places.filter_map(|place| self.entries.get(place as usize))
    }
}
