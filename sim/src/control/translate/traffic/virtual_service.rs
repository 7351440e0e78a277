//! VirtualServices as the model has them.

use std::sync::Arc;
use std::time::Duration;

use proxy_core::request::Share;
use proxy_core::route::{
    DirectResponse, Forward, HttpMatch, HttpRoute, HttpRoutes, Mirror, Redirect, RedirectPort, RetryConditions,
    RetryPolicy, Rewrite, RouteAction, RouteKind, RouteOrigin, Timeouts, WeightedBackend,
};

use super::catalogue::{Listed, covers};
use super::virtual_filters as filters;
use super::virtual_match::http_match;
use super::{Context, is_exported};
use crate::cluster::istio::virtual_service::{
    DerivePort, HttpRedirect, HttpRetry, HttpRule, HttpRuleMatch, VirtualServiceSpec,
};
use crate::cluster::istio::{Percent, VirtualService};
use crate::cluster::{Kind, ObjectReference, Traffic};
use crate::control::translate::binding::Waypoint;

impl<'a> Context<'a> {
    /// VirtualServices for a service at a waypoint, oldest first: for mesh traffic, in the service's namespace or the
    /// waypoint's, exported there.
    pub(super) fn virtual_services(&self, waypoint: &Waypoint<'_>, listed: &Listed<'_>) -> Vec<&'a VirtualService> {
        let (own, ours) = (&*listed.key.namespace, &*waypoint.key.namespace);
        let mut found: Vec<&VirtualService> =
            self.cluster
                .virtual_routes()
                .filter(|written| written.is_for_mesh())
                .filter(|written| [own, ours].contains(&written.meta.namespace()))
                .filter(|written| is_exported(&written.spec.export_to, written.meta.namespace(), ours))
                .filter(|written| {
                    written.spec.hosts.iter().any(|host| {
                        covers(&self.catalogue.full_name(host, written.meta.namespace()), &listed.key.hostname)
                    })
                })
                .collect();
        found.sort_by_key(|written| (written.meta.created, written.meta.order));
        found
    }

    /// The `http` entries of a service's VirtualServices for a port, one after the other; `None` if no entry is for it.
    pub(super) fn virtual_http(&self, waypoint: &Waypoint<'_>, listed: &Listed<'_>, port: u16) -> Option<HttpRoutes> {
        let mut entries = Vec::new();
        let mut any = false;
        for written in self.virtual_services(waypoint, listed) {
            let place = Placed { written, waypoint, port, outer: None };
            for (index, rule) in written.spec.http.iter().enumerate() {
                let before = entries.len();
                let catches_all = self.http_rule(&place, index, rule, &mut entries);
                any |= entries.len() > before;
                if catches_all {
                    break; // the rest of this one can never be reached
                }
            }
        }
        any.then(|| HttpRoutes::new(entries))
    }

    /// Adds one rule's entries. True if the last of them matches everything.
    fn http_rule(&self, place: &Placed<'_>, index: usize, rule: &HttpRule, into: &mut Vec<Arc<HttpRoute>>) -> bool {
        if let Some(delegate) = &rule.delegate {
            return self.delegate(place, rule, &delegate.name, delegate.namespace.as_deref(), into);
        }
        let matches: Vec<(usize, Option<&HttpRuleMatch>)> = match &rule.r#match[..] {
            [] => vec![(0, None)],
            written => written.iter().enumerate().map(|(entry, written)| (entry, Some(written))).collect(),
        };
        let filters = filters::filters(rule);
        for (entry, written) in matches {
            let Some(mut matches) = http_match(written, place.waypoint, place.port) else { continue };
            if let Some(outer) = &place.outer {
                matches = both(outer, matches);
            }
            let catches_all = matches.is_catch_all();
            let origin = RouteOrigin {
                kind: RouteKind::VirtualService,
                namespace: place.written.meta.key.namespace.clone(),
                name: place.written.meta.key.name.clone(),
                rule: index,
                rule_name: rule.name.clone(),
                entry,
            };
            let action = self.action(place, rule);
            into.push(Arc::new(HttpRoute { origin, matches, filters: filters.clone(), action }));
            if catches_all {
                return true;
            }
        }
        false
    }

    /// The rules of another VirtualService, each under the matches of the one that names it. One level deep; the other
    /// must have no hosts of its own.
    fn delegate(
        &self,
        place: &Placed<'_>,
        rule: &HttpRule,
        name: &str,
        namespace: Option<&str>,
        into: &mut Vec<Arc<HttpRoute>>,
    ) -> bool {
        let namespace = namespace.filter(|name| !name.is_empty()).unwrap_or(place.written.meta.namespace());
        let object = ObjectReference::new(Kind::VirtualService, namespace, name);
        let Some(Traffic::VirtualService(other)) = self.cluster.traffic_object(&object).map(|object| &**object) else {
            return false;
        };
        let spec: &VirtualServiceSpec = &other.spec;
        if place.outer.is_some() || !spec.hosts.is_empty() {
            return false;
        }
        let outer: Vec<Option<&HttpRuleMatch>> =
            if rule.r#match.is_empty() { vec![None] } else { rule.r#match.iter().map(Some).collect() };
        let mut catches_all = false;
        for written in outer {
            let Some(outer) = http_match(written, place.waypoint, place.port) else { continue };
            let place = Placed { written: other, outer: Some(outer), ..*place };
            for (index, inner) in spec.http.iter().enumerate() {
                catches_all = self.http_rule(&place, index, inner, into);
                if catches_all {
                    break;
                }
            }
        }
        catches_all
    }

    fn action(&self, place: &Placed<'_>, rule: &HttpRule) -> RouteAction {
        if let Some(written) = &rule.redirect {
            return RouteAction::Redirect(redirect(written));
        }
        if let Some(written) = &rule.direct_response {
            let status = u16::try_from(written.status).unwrap_or(500);
            return RouteAction::Respond(DirectResponse { status, body: filters::body(written.body.as_ref()) });
        }
        let namespace = place.written.meta.namespace();
        let backends = rule.route.iter().map(|written| {
            // A single destination needs no weight.
            let weight = if rule.route.len() == 1 { 1 } else { written.weight.unwrap_or_default() };
            let target = self.destination(&written.destination, namespace, place.port);
            let headers = written.headers.as_ref();
            WeightedBackend {
                request_headers: headers.map(|headers| filters::changes(&headers.request)).unwrap_or_default(),
                response_headers: headers.map(|headers| filters::changes(&headers.response)).unwrap_or_default(),
                ..WeightedBackend::new(weight, target)
            }
        });
        let retries = rule.retries.as_ref();
        let ending = |written: Option<Duration>| written.filter(|time| !time.is_zero());
        RouteAction::Forward(Forward {
            backends: backends.collect(),
            rewrite: rule.rewrite.as_ref().map_or_else(Rewrite::default, filters::rewrite),
            timeouts: Timeouts {
                request: ending(rule.timeout.map(|span| span.0)),
                backend_request: ending(retries.and_then(|retries| retries.per_try_timeout).map(|span| span.0)),
            },
            retry: match retries {
                None => Some(self.default_retry.clone()).filter(|retry| retry.attempts > 0),
                Some(written) => retry(written),
            },
            mirrors: self.mirrors(rule, namespace, place.port),
        })
    }

    fn mirrors(&self, rule: &HttpRule, namespace: &str, port: u16) -> Vec<Mirror> {
        let share =
            |percent: Option<Percent>| percent.map_or(Share::ALL, |percent| Share::from_percentage(percent.value));
        let single = rule.mirror.iter().map(|destination| {
            let whole = rule.mirror_percent.map(Share::percent);
            let share = if rule.mirror_percentage.is_some() {
                share(rule.mirror_percentage)
            } else {
                whole.unwrap_or(Share::ALL)
            };
            (destination, share)
        });
        let several = rule.mirrors.iter().map(|mirror| (&mirror.destination, share(mirror.percentage)));
        single
            .chain(several)
            .map(|(destination, share)| Mirror {
                target: self.destination(destination, namespace, port),
                share,
                shadow_authority: true,
            })
            .collect()
    }
}

/// Where a rule stands while it is translated.
#[derive(Clone)]
struct Placed<'p> {
    written: &'p VirtualService,
    waypoint: &'p Waypoint<'p>,
    port: u16,
    /// What the rule that delegates to it matches.
    outer: Option<HttpMatch>,
}

/// What satisfies both. Where both say something of the path, method, scheme or authority the inner one counts: upstream
/// refuses a delegate whose matches are not narrower, and a narrower one implies the outer.
fn both(outer: &HttpMatch, inner: HttpMatch) -> HttpMatch {
    let mut all = inner;
    all.path = all.path.or_else(|| outer.path.clone());
    all.method = all.method.or_else(|| outer.method.clone());
    all.scheme = all.scheme.or_else(|| outer.scheme.clone());
    all.authority = all.authority.or_else(|| outer.authority.clone());
    all.headers.extend(outer.headers.iter().cloned());
    all.without_headers.extend(outer.without_headers.iter().cloned());
    all.query.extend(outer.query.iter().cloned());
    all.claims.extend(outer.claims.iter().cloned());
    all
}

fn redirect(written: &HttpRedirect) -> Redirect {
    let port = match (written.port.and_then(|port| u16::try_from(port).ok()), written.derive_port) {
        (Some(port), _) => RedirectPort::Explicit(port),
        (None, Some(DerivePort::FromProtocolDefault)) => RedirectPort::SchemeDefault,
        (None, Some(DerivePort::FromRequestPort)) => RedirectPort::Request,
        (None, None) => RedirectPort::Authority,
    };
    Redirect {
        scheme: written.scheme.clone(),
        authority: written.authority.clone(),
        port,
        path: written.uri.as_ref().map(|uri| proxy_core::route::PathRewrite::Full(uri.clone())),
        status: written.redirect_code.and_then(|code| u16::try_from(code).ok()).unwrap_or(301),
    }
}

/// `retries`, also of the mesh configuration. Zero attempts is never.
pub(super) fn retry(written: &HttpRetry) -> Option<RetryPolicy> {
    let attempts = u32::try_from(written.attempts).unwrap_or_default();
    let on = match written.retry_on.as_deref().filter(|words| !words.is_empty()) {
        Some(words) => RetryConditions::read(words),
        None => RetryConditions::upstream_default(),
    };
    let base = written.backoff.map_or(Duration::from_millis(25), |span| span.0);
    (attempts > 0).then(|| RetryPolicy {
        attempts,
        on,
        backoff_base: base,
        backoff_max: base.saturating_mul(10),
        avoid_previous_endpoints: written.retry_ignore_previous_hosts.unwrap_or(true),
        remote_localities: written.retry_remote_localities.unwrap_or_default(),
        ..RetryPolicy::default()
    })
}
