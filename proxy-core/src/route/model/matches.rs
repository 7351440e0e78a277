//! [`HttpMatch`]: which requests a route is for.

use std::sync::Arc;

use http::HeaderName;

use crate::request::{ClaimPath, Pattern, TextMatch};

/// Which requests a route is for: every part that is there must match. The default matches every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpMatch {
    /// Path, without the query.
    pub path: Option<PathMatch>,
    /// Method; case counts.
    pub method: Option<TextMatch>,
    /// Scheme.
    pub scheme: Option<TextMatch>,
    /// Authority with its port, folded to lower case; so must be the texts here.
    pub authority: Option<TextMatch>,
    /// Headers, repeated ones joined by `,`.
    pub headers: Vec<HeaderMatch>,
    /// Headers none of which may match.
    pub without_headers: Vec<HeaderMatch>,
    /// Query parameters, the first of a name.
    pub query: Vec<QueryMatch>,
    /// Claims of a validated token.
    pub claims: Vec<ClaimMatch>,
}

/// How a path is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathMatch {
    /// In which way.
    pub kind: PathKind,
    /// Whether letters match in either case. A [`PathKind::Regex`] never does by this: compile it so.
    pub ignore_case: bool,
}

/// In which way a path is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// The whole path.
    Exact(Arc<str>),
    /// Gateway API's prefix: whole segments; a trailing `/` here is ignored.
    SegmentPrefix(Arc<str>),
    /// VirtualService's prefix: characters.
    TextPrefix(Arc<str>),
    /// The whole path matches an expression.
    Regex(Pattern),
}

/// One header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// Its name.
    pub name: HeaderName,
    /// What it must be. Absent headers match nothing.
    pub value: TextMatch,
}

/// One query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryMatch {
    /// Its name, exactly.
    pub name: Arc<str>,
    /// What its first value must be. Absent parameters match nothing.
    pub value: TextMatch,
}

/// One claim of a validated token (`@request.auth.claims…`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimMatch {
    /// Which.
    pub claim: ClaimPath,
    /// What it, or one member of it, must be.
    pub value: TextMatch,
    /// Whether it must not match.
    pub negated: bool,
}
