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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::http::TrustDomains;
    use crate::state::{Resource, ResourceName, Snapshot, Update};

    fn apply(base: &Arc<Snapshot>, removed: Vec<ResourceName>, upserted: Vec<Resource>) -> (Arc<Snapshot>, bool) {
        let (next, applied) = Snapshot::apply(base, &Update { removed, upserted });
        (next, applied.routes_changed)
    }

    #[test]
    fn what_a_waypoint_is_told_is_found_by_name_until_it_is_removed() {
        let service = NamespacedHostname::new("ns", "echo.ns.svc.cluster.local");
        let gateway = GatewayKey::new("ns", "waypoint");
        let trust = TrustDomains { own: "cluster.local".into(), aliases: vec![] };
        let routes = ServiceRoutes {
            service: service.clone(),
            ports: Default::default(),
            policies: Default::default(),
            authentication: vec![],
            telemetry: None,
        };
        let told = vec![
            Resource::ServiceRoutes(Arc::new(routes)),
            Resource::BackendSettings(Arc::new(BackendSettings::new(service.clone()))),
            Resource::WaypointSettings(Arc::new(WaypointSettings::new(gateway.clone(), trust))),
        ];
        let (with, changed) = apply(&Snapshot::empty(), vec![], told.clone());
        assert!(changed && with.routes_of(&service).is_some() && with.backend_settings(&service).is_some());
        assert!(with.waypoint_settings(&gateway).is_some() && with.routes().count() == 1);

        let (again, changed) = apply(&with, vec![], told.clone());
        assert!(!changed && Arc::ptr_eq(&with, &again), "the same again changes nothing");

        let names = told.iter().map(Resource::name).collect();
        let (without, changed) = apply(&with, names, vec![]);
        assert!(changed && without.routes_of(&service).is_none() && *without == *Snapshot::empty());
    }

    #[test]
    fn routes_of_no_service_are_refused() {
        let nameless = BackendSettings::new(NamespacedHostname::new("ns", ""));
        let update = Update { removed: vec![], upserted: vec![Resource::BackendSettings(Arc::new(nameless))] };
        let (_, applied) = Snapshot::apply(&Snapshot::empty(), &update);
        assert_eq!(applied.rejected[0].reason, "a service needs a hostname");
    }
}
