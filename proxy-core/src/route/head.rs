//! [`NewHead`]: what a forwarded request looks like to its backend.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue};

use super::{BackendOverride, HttpMatch, Matched, Mirror, Outcome, Redirect, Rewrite, WeightedBackend};
use crate::request::{RequestView, split_authority};

/// Authority and path a route gives a request in place of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewHead {
    /// `None`: unchanged.
    pub authority: Option<HeaderValue>,
    /// With the query. `None`: unchanged.
    pub path_and_query: Option<String>,
}

impl Matched<'_> {
    /// Where the request is redirected to, by the route or by the backend drawn.
    pub fn redirect(&self) -> Option<&Redirect> {
        match &self.outcome {
            Outcome::Redirect(redirect) => Some(redirect),
            Outcome::Forward {
                share: WeightedBackend { instead: Some(BackendOverride::Redirect(redirect)), .. },
                ..
            } => Some(redirect),
            _ => None,
        }
    }

    /// Changes a forwarded request's headers, the route's changes first and then the backend's, and tells the rest of its
    /// head. A rewritten authority yields to one set by a header change. `headers` are those of `request`.
    pub fn change_request(&self, request: &RequestView<'_>, headers: &mut HeaderMap) -> NewHead {
        let Outcome::Forward { forward, share, .. } = &self.outcome else { return NewHead::default() };
        let rewrite = match &share.instead {
            Some(BackendOverride::Rewrite(rewrite)) => rewrite,
            _ => &forward.rewrite,
        };
        let Rewrite { authority, path } = rewrite;
        let HttpMatch { path: matched, .. } = &self.route.matches;
        let by_route = self.route.filters.request_headers.apply_to_request(headers);
        let by_backend = share.request_headers.apply_to_request(headers);
        let rewritten = authority.as_ref().and_then(|authority| HeaderValue::from_str(authority).ok());
        NewHead {
            authority: by_backend.or(by_route).or(rewritten),
            path_and_query: path.as_ref().map(|path| path.apply(matched.as_ref(), request.path_and_query)),
        }
    }

    /// Changes the headers of the response, the backend's changes first and then the route's. For an answer of the
    /// route's own too.
    pub fn change_response(&self, headers: &mut HeaderMap) {
        if let Outcome::Forward { share, .. } = &self.outcome {
            share.response_headers.apply_to_response(headers);
        }
        self.route.filters.response_headers.apply_to_response(headers);
    }
}

impl Mirror {
    /// The authority of the copy, `-shadow` after the host if it is marked so.
    pub fn authority<'a>(&self, authority: &'a str) -> Cow<'a, str> {
        match split_authority(authority) {
            _ if !self.shadow_authority => Cow::Borrowed(authority),
            (host, Some(port)) => Cow::Owned(format!("{host}-shadow:{port}")),
            (host, None) => Cow::Owned(format!("{host}-shadow")),
        }
    }
}

impl HttpMatch {
    /// Whether it matches every request, so that nothing after it in the same object is ever reached.
    pub fn is_catch_all(&self) -> bool {
        use super::PathKind::{SegmentPrefix, TextPrefix};
        let any_path = self.path.as_ref().is_none_or(|path| match &path.kind {
            SegmentPrefix(prefix) | TextPrefix(prefix) => matches!(&**prefix, "" | "/"),
            _ => false,
        });
        any_path && *self == HttpMatch { path: self.path.clone(), ..HttpMatch::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderName, header};

    use super::*;
    use crate::host::Rng;
    use crate::request::Share;
    use crate::route::fixture::{Request, backend, path, route, share};
    use crate::route::{
        BackendTarget, Decision, Filters, Forward, HeaderChanges, HttpRoute, HttpRoutes, PathKind, PathRewrite,
        PortProtocol, PortRoutes, RedirectPort, RouteAction, choose,
    };

    fn changes(name: &'static str, value: &'static str) -> HeaderChanges {
        let entry = (HeaderName::from_static(name), HeaderValue::from_static(value));
        HeaderChanges { add: vec![entry], ..HeaderChanges::default() }
    }

    fn run(change: impl FnOnce(&mut Filters, &mut Forward), check: impl FnOnce(&Matched<'_>, &Request)) {
        let mut filters = Filters::default();
        let rewrite =
            Rewrite { authority: Some("rewritten".into()), path: Some(PathRewrite::MatchedSegments("/new".into())) };
        let mut forward = Forward { backends: vec![share("v1", 1)], rewrite, ..Forward::default() };
        change(&mut filters, &mut forward);
        let plain = route("a", path(PathKind::SegmentPrefix("/old".into())));
        let route = HttpRoute { filters, action: RouteAction::Forward(forward), ..(*plain).clone() };
        let http = Some(HttpRoutes::new(vec![Arc::new(route)]));
        let routes = PortRoutes { http, ..PortRoutes::implicit(PortProtocol::Http) };
        let request = Request::get("/old/x?y").header("x", "0");
        match choose(&routes, None, &request.view(), &mut Rng::from_number(1)) {
            Decision::Matched(matched) => check(&matched, &request),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_routes_changes_come_before_the_backends_on_requests_and_after_on_responses() {
        let change = |filters: &mut Filters, forward: &mut Forward| {
            (filters.request_headers, filters.response_headers) = (changes("x", "route"), changes("x", "route"));
            let share = &mut forward.backends[0];
            (share.request_headers, share.response_headers) = (changes("x", "backend"), changes("x", "backend"));
        };
        run(change, |matched, request| {
            let mut headers = request.headers.clone();
            let head = matched.change_request(&request.view(), &mut headers);
            assert_eq!(headers.get_all("x").iter().collect::<Vec<_>>(), ["0", "route", "backend"]);
            assert_eq!(head.authority, Some(HeaderValue::from_static("rewritten")));
            assert_eq!(head.path_and_query.as_deref(), Some("/new/x?y"));
            let mut headers = HeaderMap::new();
            matched.change_response(&mut headers);
            assert_eq!(headers.get_all("x").iter().collect::<Vec<_>>(), ["backend", "route"]);
        });
    }

    #[test]
    fn a_backends_own_rewrite_or_redirect_replaces_the_routes() {
        let rewrite = Rewrite { authority: None, path: Some(PathRewrite::Full("/own".into())) };
        let change = |_: &mut Filters, forward: &mut Forward| {
            forward.backends[0].instead = Some(BackendOverride::Rewrite(rewrite));
        };
        run(change, |matched, request| {
            let head = matched.change_request(&request.view(), &mut request.headers.clone());
            assert_eq!((head.authority, head.path_and_query.as_deref()), (None, Some("/own?y")));
            assert_eq!(matched.redirect(), None);
        });
        let port = RedirectPort::SchemeOrRequest;
        let redirect = Redirect { scheme: None, authority: None, port, path: None, status: 307 };
        let change = |_: &mut Filters, forward: &mut Forward| {
            forward.backends[0].instead = Some(BackendOverride::Redirect(redirect));
        };
        run(change, |matched, _| assert_eq!(matched.redirect().map(|redirect| redirect.status), Some(307)));
    }

    #[test]
    fn host_set_by_a_filter_wins_over_a_rewrite() {
        let set = vec![(header::HOST, HeaderValue::from_static("set"))];
        let change = |filters: &mut Filters, _: &mut Forward| filters.request_headers.set = set;
        run(change, |matched, request| {
            let head = matched.change_request(&request.view(), &mut request.headers.clone());
            assert_eq!(head.authority, Some(HeaderValue::from_static("set")));
        });
    }

    #[test]
    fn a_copy_is_marked_in_its_host() {
        let target = BackendTarget::Service(backend("v2"));
        let mut mirror = Mirror { target, share: Share::ALL, shadow_authority: true };
        assert_eq!((mirror.authority("a"), mirror.authority("a:80")), ("a-shadow".into(), "a-shadow:80".into()));
        mirror.shadow_authority = false;
        assert_eq!(mirror.authority("a:80"), "a:80");
    }

    #[test]
    fn only_a_match_of_everything_is_a_catch_all() {
        assert!(HttpMatch::default().is_catch_all() && path(PathKind::TextPrefix("/".into())).is_catch_all());
        assert!(!path(PathKind::SegmentPrefix("/a".into())).is_catch_all());
        assert!(!HttpMatch { method: Some(crate::request::TextMatch::Present), ..HttpMatch::default() }.is_catch_all());
    }
}
