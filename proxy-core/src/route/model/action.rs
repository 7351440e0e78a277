//! [`RouteAction`]: what becomes of a request a route matched.

use std::sync::Arc;

use bytes::Bytes;

use super::{HeaderChanges, RetryPolicy, Timeouts};
use crate::net::NamespacedHostname;
use crate::request::{Pattern, Share};

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "most routes forward, and each is made once and shared")]
pub enum RouteAction {
    /// It is sent to a backend.
    Forward(Forward),
    /// It is answered with another place.
    Redirect(Redirect),
    /// It is answered here.
    Respond(DirectResponse),
}

/// Sending to a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// Drawn by weight. None, or all of weight 0: answered 500.
    pub backends: Vec<WeightedBackend>,
    /// Changes of authority and path.
    pub rewrite: Rewrite,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// Whether it is tried again; `None` never.
    pub retry: Option<RetryPolicy>,
    /// Copies sent elsewhere.
    pub mirrors: Vec<Mirror>,
}

/// A backend and its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedBackend {
    /// Share of the sum.
    pub weight: u32,
    /// Where to.
    pub target: BackendTarget,
    /// Changes to the request's headers, after the route's own.
    pub request_headers: HeaderChanges,
    /// Changes to the response's headers, before the route's own.
    pub response_headers: HeaderChanges,
    /// What this backend's own filters do instead of the route's action.
    pub instead: Option<BackendOverride>,
}

impl WeightedBackend {
    /// A backend without filters of its own.
    pub fn new(weight: u32, target: BackendTarget) -> Self {
        WeightedBackend {
            weight,
            target,
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
            instead: None,
        }
    }
}

/// Where a share of requests goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendTarget {
    /// To the endpoints of a service; its own routes and waypoint do not matter.
    Service(Backend),
    /// Nowhere: the reference is invalid, and why. HTTP is answered 500, connections are closed.
    Invalid(Arc<str>),
}

/// A service, a port of it, perhaps a subset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// The service.
    pub service: NamespacedHostname,
    /// Service port.
    pub port: u16,
    /// A subset of [`super::BackendSettings`].
    pub subset: Option<Arc<str>>,
}

/// What a backend's own filters do instead of the route's action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendOverride {
    /// The request is answered with another place.
    Redirect(Redirect),
    /// The request is rewritten thus, not as the route says.
    Rewrite(Rewrite),
}

/// Changes of authority and path. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The new authority.
    pub authority: Option<Arc<str>>,
    /// The new path.
    pub path: Option<PathRewrite>,
}

/// How a path is replaced; the query stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// The whole path.
    Full(Arc<str>),
    /// The segments that matched a prefix (Gateway API): `/` strips them; no double slash arises.
    MatchedSegments(Arc<str>),
    /// The characters that matched a prefix (VirtualService); the whole path if the match was no prefix.
    MatchedText(Arc<str>),
    /// Every place an expression matches, `\1` standing for a group (VirtualService).
    Regex {
        /// What is looked for; not anchored.
        pattern: Pattern,
        /// What replaces it.
        substitution: Arc<str>,
    },
}

/// Another place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Its scheme; the request's if `None`.
    pub scheme: Option<Arc<str>>,
    /// Its host name, perhaps with a port; the request's if `None`.
    pub authority: Option<Arc<str>>,
    /// Its port.
    pub port: RedirectPort,
    /// Its path; the request's if `None`.
    pub path: Option<PathRewrite>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// The port of a redirect. The default port of the scheme is never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectPort {
    /// This one.
    Explicit(u16),
    /// The well-known one of the redirect's scheme if that is set, else the port the client addressed (Gateway API).
    SchemeOrRequest,
    /// The well-known one of the resulting scheme (VirtualService `FROM_PROTOCOL_DEFAULT`).
    SchemeDefault,
    /// The port the client addressed (VirtualService `FROM_REQUEST_PORT`).
    Request,
    /// The one in the authority, as it is (VirtualService with neither).
    Authority,
}

/// An answer of the route's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Bytes,
}

/// A copy sent elsewhere; its response is thrown away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Where to; an invalid one is never sent.
    pub target: BackendTarget,
    /// How many requests.
    pub share: Share,
    /// Whether `-shadow` is appended to the authority.
    pub shadow_authority: bool,
}
