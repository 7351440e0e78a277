//! HTTPRoutes and GRPCRoutes attached to services, and how they meet VirtualServices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::route::{
    Forward, HttpRoute, HttpRoutes, RetryConditions, RetryPolicy, RouteAction, RouteKind, RouteOrigin, Timeouts,
    Unordered, sort,
};

use super::Context;
use super::catalogue::{Listed, ListedObject};
use super::filters::invalid_filter;
use super::matches::http_match;
use crate::cluster::Kind;
use crate::cluster::gateway::{ParentReference, RetryPolicy as Written, Route, RouteRule};
use crate::control::translate::binding::Waypoint;

/// What HTTP routes of one port come to.
pub(super) struct PortHttp {
    /// For every client without routes of its own; `None` without any.
    pub(super) producer: Option<HttpRoutes>,
    /// By namespace of the client.
    pub(super) consumers: BTreeMap<Arc<str>, HttpRoutes>,
}

/// Further tries when a `retry` stanza does not say how many, as upstream.
const ATTEMPTS: u32 = 2;

impl Context<'_> {
    /// The HTTP routes of a port of a service at a waypoint; `None` if there are none.
    ///
    /// Routes of the service's own namespace count for everybody; if it has none, those of the waypoint's namespace do.
    /// A route of any other namespace counts for clients of that namespace, instead of the others: upstream does not
    /// have these, Gateway API does. VirtualServices count only where no Gateway API route does: upstream leaves what
    /// becomes of both together open.
    pub(super) fn http_routes(&self, waypoint: &Waypoint<'_>, listed: &Listed<'_>, port: u16) -> Option<PortHttp> {
        let mut by_namespace: BTreeMap<&Arc<str>, Vec<Unordered>> = BTreeMap::new();
        for route in self.cluster.routes().filter(|route| matches!(route.kind, Kind::HttpRoute | Kind::GrpcRoute)) {
            if route.parents.iter().any(|parent| is_parent(parent, listed, port)) && invalid_filter(route).is_none() {
                self.entries(route, by_namespace.entry(&route.meta.key.namespace).or_default());
            }
        }
        let own = &listed.key.namespace;
        let producer = by_namespace.remove(own).or_else(|| by_namespace.remove(&waypoint.key.namespace));
        by_namespace.remove(&waypoint.key.namespace);
        let producer = producer.map(|entries| HttpRoutes::new(sort(entries)));
        let producer = producer.or_else(|| self.virtual_http(waypoint, listed, port));
        let consumers: BTreeMap<Arc<str>, HttpRoutes> =
            by_namespace.into_iter().map(|(of, entries)| (of.clone(), HttpRoutes::new(sort(entries)))).collect();
        (producer.is_some() || !consumers.is_empty()).then_some(PortHttp { producer, consumers })
    }

    fn entries(&self, route: &Route, into: &mut Vec<Unordered>) {
        let kind = if route.kind == Kind::GrpcRoute { RouteKind::GrpcRoute } else { RouteKind::HttpRoute };
        let created = i64::try_from(route.meta.created.as_nanos()).unwrap_or(i64::MAX);
        for (index, rule) in route.rules.iter().enumerate() {
            let filters = self.rule_filters(rule);
            let action = match filters.redirect {
                Some(redirect) => RouteAction::Redirect(redirect),
                None => RouteAction::Forward(Forward {
                    backends: rule.backends.iter().map(|backend| self.weighted_backend(backend)).collect(),
                    rewrite: filters.rewrite,
                    timeouts: timeouts(rule),
                    retry: self.retry(rule.retry.as_ref()),
                    mirrors: filters.mirrors,
                }),
            };
            for (entry, written) in rule.matches.iter().enumerate() {
                let Some(matches) = http_match(written) else { continue };
                let origin = RouteOrigin {
                    kind,
                    namespace: route.meta.key.namespace.clone(),
                    name: route.meta.key.name.clone(),
                    rule: index,
                    rule_name: rule.name.clone(),
                    entry,
                };
                let route =
                    Arc::new(HttpRoute { origin, matches, filters: filters.filters.clone(), action: action.clone() });
                into.push(Unordered { route, created });
            }
        }
    }

    /// A `retry` stanza always adds what upstream adds, and a lost connection, which the API's conformance wants;
    /// without one the mesh's default holds.
    fn retry(&self, written: Option<&Written>) -> Option<RetryPolicy> {
        let Some(written) = written else { return Some(self.default_retry.clone()).filter(|retry| retry.attempts > 0) };
        let attempts = written.attempts.unwrap_or(ATTEMPTS);
        let base = written.backoff.unwrap_or(self.default_retry.backoff_base);
        (attempts > 0).then(|| RetryPolicy {
            attempts,
            on: RetryConditions {
                connect_failure: true,
                refused_stream: true,
                reset: true,
                statuses: written.codes.clone(),
                grpc_statuses: vec![CANCELLED, UNAVAILABLE],
                ..RetryConditions::default()
            },
            backoff_base: base,
            backoff_max: base.saturating_mul(10),
            backoff_floor: written.backoff.unwrap_or_default(),
            ..self.default_retry.clone()
        })
    }
}

const CANCELLED: u32 = 1;
const UNAVAILABLE: u32 = 14;

/// Zero is without end. One try's time without a `retry` stanza becomes that of the whole exchange, as upstream.
fn timeouts(rule: &RouteRule) -> Timeouts {
    let ending = |written: Option<Duration>| written.filter(|time| !time.is_zero());
    let (request, each) = (rule.timeouts.request, rule.timeouts.backend_request);
    match (each, &rule.retry) {
        (Some(each), None) => Timeouts { request: ending(Some(each)), backend_request: None },
        (each, _) => Timeouts { request: ending(request), backend_request: ending(each) },
    }
}

/// Whether a reference names this service and port.
pub(super) fn is_parent(parent: &ParentReference, listed: &Listed<'_>, port: u16) -> bool {
    let kind = match listed.object {
        ListedObject::Service(_) => parent.is_service(),
        ListedObject::Entry(_) => parent.is_service_entry(),
    };
    let name = listed.name();
    kind && parent.name == name.name
        && parent.namespace == name.namespace
        && parent.port.is_none_or(|only| only == port)
}
