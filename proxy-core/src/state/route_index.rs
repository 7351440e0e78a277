//! [`RouteIndex`]: what a waypoint was told besides workloads and services.

use std::sync::Arc;

use super::NamespacedHostname;
use super::map::Map;
use crate::route::{BackendSettings, GatewayKey, ServiceRoutes, WaypointSettings};

/// Routes, backend settings and waypoint settings, each by its name. Empty in a node proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RouteIndex {
    routes: Map<NamespacedHostname, Arc<ServiceRoutes>>,
    backends: Map<NamespacedHostname, Arc<BackendSettings>>,
    waypoints: Map<GatewayKey, Arc<WaypointSettings>>,
}

impl RouteIndex {
    pub(super) fn routes(&self, service: &NamespacedHostname) -> Option<&Arc<ServiceRoutes>> {
        self.routes.get(service)
    }

    pub(super) fn all_routes(&self) -> impl DoubleEndedIterator<Item = &Arc<ServiceRoutes>> {
        self.routes.values()
    }

    pub(super) fn backend(&self, service: &NamespacedHostname) -> Option<&Arc<BackendSettings>> {
        self.backends.get(service)
    }

    pub(super) fn waypoint(&self, gateway: &GatewayKey) -> Option<&Arc<WaypointSettings>> {
        self.waypoints.get(gateway)
    }

    // Each of these tells whether anything changed.

    pub(super) fn insert_routes(&mut self, routes: &Arc<ServiceRoutes>) -> bool {
        insert(&mut self.routes, &routes.service, routes)
    }

    pub(super) fn insert_backend(&mut self, settings: &Arc<BackendSettings>) -> bool {
        insert(&mut self.backends, &settings.service, settings)
    }

    pub(super) fn insert_waypoint(&mut self, settings: &Arc<WaypointSettings>) -> bool {
        insert(&mut self.waypoints, &settings.gateway, settings)
    }

    pub(super) fn remove_routes(&mut self, service: &NamespacedHostname) -> bool {
        self.routes.remove(service).is_some()
    }

    pub(super) fn remove_backend(&mut self, service: &NamespacedHostname) -> bool {
        self.backends.remove(service).is_some()
    }

    pub(super) fn remove_waypoint(&mut self, gateway: &GatewayKey) -> bool {
        self.waypoints.remove(gateway).is_some()
    }
}

fn insert<K: Ord + Clone, V: Eq>(map: &mut Map<K, Arc<V>>, key: &K, value: &Arc<V>) -> bool {
    if map.get(key).is_some_and(|known| Arc::ptr_eq(known, value) || known == value) {
        return false;
    }
    map.insert(key.clone(), value.clone());
    true
}
