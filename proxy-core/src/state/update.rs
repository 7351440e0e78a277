//! [`Update`]: one push, applied atomically.

use std::fmt;
use std::sync::Arc;

use super::{Service, Workload};
use crate::net::NamespacedHostname;
use crate::policy::{Authorization, PolicyKey};
use crate::route::{BackendSettings, GatewayKey, ServiceRoutes, WaypointSettings};

/// One push: removals, then upserts. Shared between all the proxies it goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Resources that are gone, by primary name.
    pub removed: Vec<ResourceName>,
    /// Resources that are new or changed.
    pub upserted: Vec<Resource>,
}

/// A resource as pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `type.googleapis.com/istio.workload.Address`.
    Workload(Arc<Workload>),
    /// `type.googleapis.com/istio.workload.Address`.
    Service(Arc<Service>),
    /// `type.googleapis.com/istio.security.Authorization`.
    Authorization(Arc<Authorization>),
    /// What a waypoint does with requests to one service. Only that waypoint is told.
    ServiceRoutes(Arc<ServiceRoutes>),
    /// How a waypoint talks to one service's endpoints. Only waypoints are told.
    BackendSettings(Arc<BackendSettings>),
    /// What holds for all a waypoint does. Only that waypoint is told.
    WaypointSettings(Arc<WaypointSettings>),
    /// Something under this name that could not be read: it is rejected, and the previous value stays.
    Malformed(Arc<Rejected>),
}

impl Resource {
    /// Its primary name.
    pub fn name(&self) -> ResourceName {
        match self {
            Resource::Workload(workload) => ResourceName::Workload(workload.uid.clone()),
            Resource::Service(service) => ResourceName::Service(service.key.clone()),
            Resource::Authorization(policy) => ResourceName::Authorization(policy.key.clone()),
            Resource::ServiceRoutes(routes) => ResourceName::ServiceRoutes(routes.service.clone()),
            Resource::BackendSettings(settings) => ResourceName::BackendSettings(settings.service.clone()),
            Resource::WaypointSettings(settings) => ResourceName::WaypointSettings(settings.gateway.clone()),
            Resource::Malformed(rejected) => rejected.name.clone(),
        }
    }
}

/// A primary name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceName {
    /// By uid.
    Workload(Arc<str>),
    /// By `namespace/hostname`.
    Service(NamespacedHostname),
    /// By `namespace/name`.
    Authorization(PolicyKey),
    /// By `namespace/hostname` of the service.
    ServiceRoutes(NamespacedHostname),
    /// By `namespace/hostname` of the service.
    BackendSettings(NamespacedHostname),
    /// By `namespace/name` of the Gateway.
    WaypointSettings(GatewayKey),
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResourceName::Workload(uid) => f.write_str(uid),
            ResourceName::Service(key) => key.fmt(f),
            ResourceName::Authorization(key) => key.fmt(f),
            ResourceName::ServiceRoutes(key) => write!(f, "routes of {key}"),
            ResourceName::BackendSettings(key) => write!(f, "backend settings of {key}"),
            ResourceName::WaypointSettings(key) => write!(f, "settings of waypoint {key}"),
        }
    }
}

/// A resource that could not be taken; the previous value stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which.
    pub name: ResourceName,
    /// Why, in words.
    pub reason: String,
}

/// What came of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether any policy changed.
    pub policies_changed: bool,
    /// Whether routes, backend settings or waypoint settings changed.
    pub routes_changed: bool,
    /// Workloads whose record changed or went.
    pub workloads_changed: Vec<Arc<str>>,
    /// Resources refused; the rest was applied.
    pub rejected: Vec<Rejected>,
}
