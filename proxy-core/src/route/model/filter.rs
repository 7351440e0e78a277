//! [`Filters`]: what a route does to requests and responses besides sending them somewhere.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::request::{Share, TextMatch};

/// What a route does to request and response besides its action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Changes to the request's headers, before the backend's own.
    pub request_headers: HeaderChanges,
    /// Changes to the response's headers, after the backend's own.
    pub response_headers: HeaderChanges,
    /// Cross-origin rules.
    pub cors: Option<Cors>,
    /// Injected faults.
    pub fault: Option<Fault>,
}

/// Changes to headers, in this order: remove, set, add.
///
/// `host` may be set (not added or removed) on a request: it replaces the authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Names that go.
    pub remove: Vec<HeaderName>,
    /// Replaced or created. Of a repeated name the first counts.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Appended to what is there.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

/// Cross-origin rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// ORed.
    pub origins: Vec<OriginMatch>,
    /// `*` alone allows what is asked for.
    pub methods: Vec<Arc<str>>,
    /// `*` alone allows what is asked for.
    pub headers: Vec<Arc<str>>,
    /// Response headers scripts may read.
    pub expose: Vec<Arc<str>>,
    /// Whether credentials may be sent.
    pub credentials: bool,
    /// How long a preflight's answer holds; not said if `None`.
    pub max_age: Option<Duration>,
    /// What becomes of a preflight whose origin is not allowed.
    pub unmatched: UnmatchedPreflight,
}

/// An origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginMatch {
    /// `*`: any that is written as one.
    Any,
    /// As a text: exact, prefix, or whole expression.
    Text(TextMatch),
}

/// What becomes of a preflight whose origin is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmatchedPreflight {
    /// Answered here, without any header that allows anything: what Gateway API wants.
    Answer,
    /// Sent on as any other request: VirtualService's default.
    Forward,
}

/// Injected faults: the delay first, then the abort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// How many requests wait, and how long.
    pub delay: Option<(Share, Duration)>,
    /// How many requests are answered here, and with what.
    pub abort: Option<(Share, AbortStatus)>,
}

/// What an aborted request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortStatus {
    /// An HTTP status.
    Http(u16),
    /// A gRPC status, with HTTP 200.
    Grpc(u32),
}
