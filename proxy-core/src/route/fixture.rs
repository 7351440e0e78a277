//! Routes and requests for tests.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{
    Backend, BackendTarget, Filters, Forward, HttpMatch, HttpRoute, PathKind, PathMatch, RouteAction, RouteKind,
    RouteOrigin, WeightedBackend,
};
use crate::net::NamespacedHostname;
use crate::request::RequestView;

pub(super) fn origin(name: &str, rule: usize) -> RouteOrigin {
    RouteOrigin {
        kind: RouteKind::HttpRoute,
        namespace: "ns".into(),
        name: name.into(),
        rule,
        rule_name: None,
        entry: 0,
    }
}

pub(super) fn backend(name: &str) -> Backend {
    Backend { service: NamespacedHostname::new("ns", name), port: 80, subset: None }
}

pub(super) fn share(name: &str, weight: u32) -> WeightedBackend {
    WeightedBackend::new(weight, BackendTarget::Service(backend(name)))
}

pub(super) fn path(kind: PathKind) -> HttpMatch {
    HttpMatch { path: Some(PathMatch { kind, ignore_case: false }), ..HttpMatch::default() }
}

/// A route to a backend of its own name.
pub(super) fn route(name: &str, matches: HttpMatch) -> Arc<HttpRoute> {
    route_to(name, matches, vec![share(name, 1)])
}

pub(super) fn route_to(name: &str, matches: HttpMatch, backends: Vec<WeightedBackend>) -> Arc<HttpRoute> {
    Arc::new(HttpRoute {
        origin: origin(name, 0),
        matches,
        filters: Filters::default(),
        action: RouteAction::Forward(Forward { backends, ..Forward::default() }),
    })
}

/// A request that owns its head.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) authority: &'static str,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
}

impl Request {
    pub(super) fn get(path: &str) -> Self {
        Request { method: Method::GET, authority: "Echo:80", path: path.to_owned(), headers: HeaderMap::new() }
    }

    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    pub(super) fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            scheme: "http",
            authority: self.authority,
            path_and_query: &self.path,
            headers: &self.headers,
            claims: None,
        }
    }
}
