//! Filters of Gateway API routes as the model has them.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use proxy_core::request::Share;
use proxy_core::route::{
    BackendOverride, Cors, Filters, HeaderChanges, Mirror, OriginMatch, PathRewrite, Redirect, RedirectPort, Rewrite,
    UnmatchedPreflight, WeightedBackend,
};

use super::Context;
use crate::cluster::gateway::{
    BackendReference, CorsFilter, Filter, FilterAction, HeaderChanges as Written, MirrorFilter, PathChange,
    RedirectFilter, RewriteFilter, Route, RouteRule,
};

/// What the filters of a rule come to.
#[derive(Default)]
pub(super) struct RuleFilters {
    pub(super) filters: Filters,
    pub(super) redirect: Option<Redirect>,
    pub(super) rewrite: Rewrite,
    pub(super) mirrors: Vec<Mirror>,
}

/// Why a route is not programmed at all: a filter of it is unsupported or cannot be applied as written.
pub(crate) fn invalid_filter(route: &Route) -> Option<String> {
    let filters = route
        .rules
        .iter()
        .flat_map(|rule| rule.filters.iter().chain(rule.backends.iter().flat_map(|backend| &backend.filters)));
    filters
        .filter_map(|filter| match filter {
            Filter::Unsupported(kind) => Some(format!("no waypoint has filter `{kind}`")),
            Filter::Action(FilterAction::RequestHeaders(changes) | FilterAction::ResponseHeaders(changes)) => {
                let mut values = changes.set.iter().chain(&changes.add);
                let bad = values.find(|(_, value)| HeaderValue::from_str(value).is_err());
                bad.map(|(name, _)| format!("the value of header `{name}` cannot be sent"))
            }
            Filter::Action(_) => None,
        })
        .next()
}

/// The backend a mirror sends to.
pub(super) fn mirrored(filter: &Filter) -> Option<&BackendReference> {
    match filter {
        Filter::Action(FilterAction::Mirror(mirror)) => Some(&mirror.backend),
        _ => None,
    }
}

impl Context<'_> {
    /// Of a repeated filter the last counts; mirrors add up.
    pub(super) fn rule_filters(&self, rule: &RouteRule) -> RuleFilters {
        let mut all = RuleFilters::default();
        for filter in &rule.filters {
            let Filter::Action(action) = filter else { continue };
            match action {
                FilterAction::RequestHeaders(changes) => all.filters.request_headers = header_changes(changes),
                FilterAction::ResponseHeaders(changes) => all.filters.response_headers = header_changes(changes),
                FilterAction::Redirect(written) => all.redirect = Some(redirect(written)),
                FilterAction::Rewrite(written) => all.rewrite = rewrite(written),
                FilterAction::Mirror(written) => all.mirrors.push(self.mirror(written)),
                FilterAction::Cors(written) => all.filters.cors = Some(cors(written)),
            }
        }
        all
    }

    /// A backend with its own filters.
    pub(super) fn weighted_backend(&self, written: &BackendReference) -> WeightedBackend {
        let mut backend = WeightedBackend::new(written.weight, self.target(written));
        for filter in &written.filters {
            let Filter::Action(action) = filter else { continue };
            match action {
                FilterAction::RequestHeaders(changes) => backend.request_headers = header_changes(changes),
                FilterAction::ResponseHeaders(changes) => backend.response_headers = header_changes(changes),
                FilterAction::Redirect(written) => {
                    backend.instead = Some(BackendOverride::Redirect(redirect(written)));
                }
                FilterAction::Rewrite(written) => backend.instead = Some(BackendOverride::Rewrite(rewrite(written))),
                // The model has neither for a single backend, nor has upstream.
                FilterAction::Mirror(_) | FilterAction::Cors(_) => {}
            }
        }
        backend
    }

    fn mirror(&self, written: &MirrorFilter) -> Mirror {
        let (numerator, denominator) = written.fraction;
        Mirror {
            target: self.target(&written.backend),
            share: Share { numerator, denominator },
            shadow_authority: true,
        }
    }
}

/// Of a repeated name the first counts.
fn header_changes(written: &Written) -> HeaderChanges {
    let pairs = |list: &[(Arc<str>, Arc<str>)]| {
        let mut pairs: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, value) in list {
            if let Some((name, value)) = header(name, value)
                && pairs.iter().all(|(known, _)| *known != name)
            {
                pairs.push((name, value));
            }
        }
        pairs
    };
    HeaderChanges {
        remove: written.remove.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect(),
        set: pairs(&written.set),
        add: pairs(&written.add),
    }
}

/// A header that can be sent.
pub(super) fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
}

fn redirect(written: &RedirectFilter) -> Redirect {
    Redirect {
        scheme: written.scheme.clone(),
        authority: written.hostname.clone(),
        port: written.port.map_or(RedirectPort::SchemeOrRequest, RedirectPort::Explicit),
        path: written.path.as_ref().map(path),
        status: written.status,
    }
}

fn rewrite(written: &RewriteFilter) -> Rewrite {
    Rewrite { authority: written.hostname.clone(), path: written.path.as_ref().map(path) }
}

fn path(written: &PathChange) -> PathRewrite {
    match written {
        PathChange::Full(path) => PathRewrite::Full(path.clone()),
        PathChange::Prefix(path) => PathRewrite::MatchedSegments(path.clone()),
    }
}

fn cors(written: &CorsFilter) -> Cors {
    Cors {
        origins: written.allow_origins.iter().filter_map(|origin| OriginMatch::from_gateway_api(origin).ok()).collect(),
        methods: written.allow_methods.clone(),
        headers: written.allow_headers.clone(),
        expose: written.expose_headers.clone(),
        credentials: written.allow_credentials,
        max_age: Some(written.max_age),
        unmatched: UnmatchedPreflight::Answer,
    }
}
