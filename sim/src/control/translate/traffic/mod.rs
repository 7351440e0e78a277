//! What waypoints are told besides workloads and services: routes, how to talk to backends, policies, tokens, settings.
//!
//! - [`catalogue`]: every service a route may name.
//! - [`gateway_routes`], [`matches`], [`filters`], [`backends`], [`layer4`]: Gateway API.
//! - [`virtual_service`], [`virtual_match`], [`virtual_filters`], [`destination_rule`]: Istio's own APIs.
//! - [`policies`], [`authentication`]: who may do what, and whose tokens count.
//! - [`settings`], [`telemetry`]: what holds for a waypoint as a whole.

mod authentication;
pub(crate) mod backends;
pub(crate) mod catalogue;
mod destination_rule;
pub(crate) mod filters;
mod gateway_routes;
mod layer4;
mod matches;
pub(crate) mod policies;
mod settings;
pub(crate) mod targets;
mod telemetry;
#[cfg(test)]
pub(crate) mod tests;
mod virtual_filters;
mod virtual_match;
mod virtual_service;

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::route::{GatewayKey, PortProtocol, PortRoutes, RetryPolicy, ServiceRoutes};
use proxy_core::state::{NamespacedHostname, Resource};

use self::catalogue::{Catalogue, Listed, ListedObject};
use super::binding::{Waypoint, Waypoints};
use crate::cluster::Cluster;
use crate::cluster::istio::Resolution;
use crate::control::Resources;

/// Everything translation of one object may need to know of the others.
pub(crate) struct Context<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) catalogue: Catalogue<'a>,
    /// Of a route that says nothing of retries.
    pub(super) default_retry: RetryPolicy,
}

impl<'a> Context<'a> {
    pub(crate) fn new(cluster: &'a Cluster, catalogue: Catalogue<'a>) -> Self {
        Context { cluster, catalogue, default_retry: settings::default_retry(cluster) }
    }

    /// Tells each waypoint what it is to do. `members` are the workloads of each service by uid, with their labels.
    pub(super) fn tell(&self, waypoints: &Waypoints<'_>, members: &Members<'_>, resources: &mut Resources) {
        let mut attached: BTreeMap<GatewayKey, Vec<&Listed<'_>>> = BTreeMap::new();
        for listed in self.catalogue.iter() {
            let namespace = listed.name().namespace.as_ref();
            for waypoint in waypoints.intended(namespace, listed.labels(), listed.annotations()) {
                attached.entry(waypoint.key.clone()).or_default().push(listed);
            }
        }
        for waypoint in waypoints.ours() {
            let key = &waypoint.key;
            resources.insert_for(key, Resource::WaypointSettings(Arc::new(self.settings(waypoint))));
            for listed in attached.get(key).into_iter().flatten() {
                let routes = self.service_routes(waypoint, listed);
                resources.insert_for(key, Resource::ServiceRoutes(Arc::new(routes)));
            }
            for listed in self.catalogue.iter() {
                if let Some(settings) = self.backend_settings(waypoint, listed, members) {
                    resources.insert_for(key, Resource::BackendSettings(Arc::new(settings)));
                }
            }
        }
    }

    /// What a waypoint does with requests to one service.
    fn service_routes(&self, waypoint: &Waypoint<'_>, listed: &Listed<'_>) -> ServiceRoutes {
        let ports = listed.ports.iter().map(|(port, protocol)| {
            let mut routes = PortRoutes::implicit(*protocol);
            let http = if protocol.is_opaque() { None } else { self.http_routes(waypoint, listed, *port) };
            if let Some(http) = http {
                routes.http = http.producer;
                routes.consumer_http = http.consumers;
            }
            routes.tcp = self.layer4_routes(waypoint, listed, *port);
            // The waypoint looks into TLS no more than into anything opaque.
            debug_assert!(routes.http.is_none() || *protocol != PortProtocol::Tls);
            (*port, routes)
        });
        ServiceRoutes {
            service: listed.key.clone(),
            ports: ports.collect(),
            policies: self.service_policies(listed),
            authentication: self.service_authentication(listed),
            telemetry: self.service_telemetry(waypoint, listed),
        }
    }
}

/// The workloads of each service: uid and labels.
pub(crate) type Members<'a> = BTreeMap<NamespacedHostname, Vec<(Arc<str>, &'a crate::cluster::Labels)>>;

/// Whether an object with this `exportTo` is seen from a namespace. Nothing written is everywhere.
fn is_exported(export_to: &[Arc<str>], own: &str, to: &str) -> bool {
    export_to.is_empty()
        || export_to.iter().any(|namespace| match &**namespace {
            "*" => true,
            "." => own == to,
            "~" => false,
            namespace => namespace == to,
        })
}

/// Where a ServiceEntry's connections go, if not to endpoints.
fn discovery(listed: &Listed<'_>) -> proxy_core::route::Discovery {
    use proxy_core::route::Discovery;
    match listed.object {
        ListedObject::Entry(entry) => match entry.resolution {
            Resolution::None => Discovery::OriginalDestination,
            Resolution::DynamicDns => {
                let suffix = listed.key.hostname.strip_prefix('*').unwrap_or(&listed.key.hostname);
                Discovery::DynamicDns { suffix: suffix.into() }
            }
            Resolution::Static | Resolution::Dns | Resolution::DnsRoundRobin => Discovery::Endpoints,
        },
        ListedObject::Service(_) => Discovery::Endpoints,
    }
}
