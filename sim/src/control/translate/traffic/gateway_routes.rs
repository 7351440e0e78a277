//! HTTPRoutes and GRPCRoutes attached to services, and how they meet VirtualServices.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::route::{
    Forward, HttpRoute, HttpRoutes, RetryPolicy, RouteAction, RouteKind, RouteOrigin, Timeouts, Unordered, sort,
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
                let call = written.grpc.as_ref().map(|call| {
                    let length = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.chars().count());
                    (length(&call.service), length(&call.method))
                });
                into.push(Unordered { route, created, call });
            }
        }
    }

    /// Without a `retry` stanza the mesh's default holds.
    fn retry(&self, written: Option<&Written>) -> Option<RetryPolicy> {
        let policy = match written {
            Some(written) => RetryPolicy::of_gateway_api(&written.codes, written.attempts, written.backoff),
            None => self.default_retry.clone(),
        };
        Some(policy).filter(|policy| policy.attempts > 0)
    }
}

fn timeouts(rule: &RouteRule) -> Timeouts {
    Timeouts::of_gateway_api(rule.timeouts.request, rule.timeouts.backend_request, rule.retry.is_some())
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
