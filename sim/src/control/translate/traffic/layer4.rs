//! TCPRoutes, TLSRoutes, and the `tcp` and `tls` parts of VirtualServices.

use proxy_core::route::{BackendTarget, RouteKind, RouteOrigin, TcpBackend, TcpRoute};

use super::Context;
use super::catalogue::Listed;
use super::gateway_routes::is_parent;
use crate::cluster::Kind;
use crate::cluster::gateway::Route;
use crate::cluster::istio::VirtualService;
use crate::cluster::istio::virtual_service::RouteDestination;
use crate::control::translate::binding::Waypoint;

impl Context<'_> {
    /// Where opaque connections to a port go: TLSRoutes before TCPRoutes before VirtualServices; of a kind the oldest,
    /// then the lowest name. Only those of the service's namespace count, or, if it has none, of the waypoint's.
    pub(super) fn layer4_routes(&self, waypoint: &Waypoint<'_>, listed: &Listed<'_>, port: u16) -> Vec<TcpRoute> {
        let own = &listed.key.namespace;
        for namespace in [own, &waypoint.key.namespace] {
            let attached = |kind: Kind| {
                let mut routes: Vec<&Route> = self
                    .cluster
                    .routes()
                    .filter(|route| route.kind == kind && route.meta.key.namespace == *namespace)
                    .filter(|route| route.parents.iter().any(|parent| is_parent(parent, listed, port)))
                    .filter(|route| kind != Kind::TlsRoute || is_for_own_host(route, listed))
                    .collect();
                routes.sort_by_key(|route| (route.meta.created, route.meta.name()));
                routes
            };
            let routes: Vec<TcpRoute> = [attached(Kind::TlsRoute), attached(Kind::TcpRoute)]
                .concat()
                .into_iter()
                .filter_map(|route| self.layer4_route(route))
                .collect();
            if !routes.is_empty() {
                return routes;
            }
        }
        self.virtual_services(waypoint, listed).into_iter().filter_map(|found| self.virtual_tcp(found, port)).collect()
    }

    fn layer4_route(&self, route: &Route) -> Option<TcpRoute> {
        let rule = route.rules.first()?;
        let kind = if route.kind == Kind::TlsRoute { RouteKind::TlsRoute } else { RouteKind::TcpRoute };
        let backends =
            rule.backends.iter().map(|written| TcpBackend { weight: written.weight, target: self.target(written) });
        let origin = RouteOrigin {
            kind,
            namespace: route.meta.key.namespace.clone(),
            name: route.meta.key.name.clone(),
            rule: 0,
            rule_name: rule.name.clone(),
            entry: 0,
        };
        Some(TcpRoute { origin, backends: backends.collect() })
    }

    /// The first `tls` or `tcp` entry of a VirtualService for this port. Of a match only the port is looked at.
    fn virtual_tcp(&self, written: &VirtualService, port: u16) -> Option<TcpRoute> {
        let is_for = |only: Option<u32>| only.is_none_or(|only| only == u32::from(port));
        let tls = written.spec.tls.iter().enumerate().find(|(_, rule)| rule.r#match.iter().any(|one| is_for(one.port)));
        let usable = |one: &crate::cluster::istio::virtual_service::TcpRuleMatch| {
            is_for(one.port) && one.source_labels.is_empty()
        };
        let tcp = written
            .spec
            .tcp
            .iter()
            .enumerate()
            .find(|(_, rule)| rule.r#match.is_empty() || rule.r#match.iter().any(usable));
        let (rule, routes) =
            tls.map(|(index, rule)| (index, &rule.route)).or(tcp.map(|(index, rule)| (index, &rule.route)))?;
        let origin = RouteOrigin {
            kind: RouteKind::VirtualService,
            namespace: written.meta.key.namespace.clone(),
            name: written.meta.key.name.clone(),
            rule,
            rule_name: None,
            entry: 0,
        };
        let weight = |route: &RouteDestination| if routes.len() == 1 { 1 } else { route.weight.unwrap_or_default() };
        let backends = routes.iter().map(|route| TcpBackend {
            weight: weight(route),
            target: self.destination(&route.destination, written.meta.namespace(), port),
        });
        Some(TcpRoute { origin, backends: backends.filter(|backend| !is_weightless(backend)).collect() })
    }
}

fn is_weightless(backend: &TcpBackend) -> bool {
    backend.weight == 0 && !matches!(backend.target, BackendTarget::Invalid(_))
}

/// Without looking at server names a waypoint can only serve the one name its service has.
fn is_for_own_host(route: &Route, listed: &Listed<'_>) -> bool {
    route.hostnames.is_empty() || route.hostnames.iter().any(|host| host.eq_ignore_ascii_case(&listed.key.hostname))
}
