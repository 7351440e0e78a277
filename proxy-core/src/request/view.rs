//! [`RequestView`]: the head of a request.

use http::{HeaderMap, Method};

use super::Claims;

/// The head of one request as decisions see it: after normalisation of its path, before any change by a route.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// Method; gRPC is `POST`.
    pub method: &'a Method,
    /// `http` at a waypoint.
    pub scheme: &'a str,
    /// `:authority` or `Host`, with its port if it had one; empty if there was none.
    pub authority: &'a str,
    /// Path and query, normalised.
    pub path_and_query: &'a str,
    /// Header fields without pseudo ones.
    pub headers: &'a HeaderMap,
    /// What a validated token says.
    pub claims: Option<&'a Claims>,
}
