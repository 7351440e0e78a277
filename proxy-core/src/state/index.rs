//! [`Snapshot`]: everything a proxy was told, indexed. Immutable; an update makes another that shares most of it.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use super::pick::{self, Candidate, Purpose};
use super::policy_index::PolicyIndex;
use super::route_index::RouteIndex;
use super::service_index::ServiceIndex;
use super::workload_index::WorkloadIndex;
use super::{LocalWorkload, NamespacedHostname, Service, Workload};
use crate::policy::{Authorization, Connection, Decision, PolicyKey};
use crate::route::{BackendSettings, GatewayKey, ServiceRoutes, WaypointSettings};

/// Everything a proxy was told at one moment.
///
/// Cheap to clone: it is made of persistent maps. Two snapshots are equal if they answer every question alike.
/// Deterministic: every answer is a function of the records held, not of the order in which they came, except which
/// of several equally good workloads owns an address (the one that claimed it last).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub(super) workloads: WorkloadIndex,
    pub(super) services: ServiceIndex,
    pub(super) policies: PolicyIndex,
    pub(super) routes: RouteIndex,
}

/// What an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressOwner<'a> {
    /// A workload's own address.
    Workload(&'a Arc<Workload>),
    /// A VIP.
    Service(&'a Arc<Service>),
}

impl Snapshot {
    /// Nothing. Always the same allocation, so that proxies that start from nothing share what comes of an update.
    pub fn empty() -> Arc<Snapshot> {
        static EMPTY: LazyLock<Arc<Snapshot>> = LazyLock::new(Arc::default);
        EMPTY.clone()
    }

    /// A workload by uid.
    pub fn workload(&self, uid: &str) -> Option<&Arc<Workload>> {
        self.workloads.get(uid)
    }

    /// All workloads, by uid.
    pub fn workloads(&self) -> impl DoubleEndedIterator<Item = &Arc<Workload>> {
        self.workloads.all()
    }

    /// How many workloads are known.
    pub fn workload_count(&self) -> usize {
        self.workloads.len()
    }

    /// The workloads of a node, by uid.
    pub fn workloads_on_node(&self, node: &str) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.on_node(node)
    }

    /// The workload a proxy instance serves: never found by address. Of several, the lowest uid.
    pub fn local_workload(&self, local: &LocalWorkload) -> Option<&Arc<Workload>> {
        let is_it = |workload: &&Arc<Workload>| {
            workload.namespace == local.namespace
                && workload.service_account == local.service_account
                && (local.node.is_empty() || workload.node == local.node)
        };
        self.workloads.named(&local.name).iter().filter(is_it).min_by_key(|workload| &workload.uid)
    }

    /// The workload that owns an address. Workloads in their node's network own none.
    pub fn workload_of_address(&self, network: &str, address: IpAddr) -> Option<&Arc<Workload>> {
        self.workloads.owner(network, address)
    }

    /// What an address belongs to, for a client of `namespace`: a workload, else a service.
    pub fn address_owner(&self, network: &str, address: IpAddr, namespace: &str) -> Option<AddressOwner<'_>> {
        let workload = self.workloads.owner(network, address).map(AddressOwner::Workload);
        workload.or_else(|| self.service_of_address(network, address, namespace).map(AddressOwner::Service))
    }

    /// A service by its primary key, whoever may see it.
    pub fn service(&self, key: &NamespacedHostname) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    /// All services, by key.
    pub fn services(&self) -> impl DoubleEndedIterator<Item = &Arc<Service>> {
        self.services.all()
    }

    /// The service a client of `namespace` means by an address. An exact VIP wins over a block.
    ///
    /// Among services that share a VIP: those it may see, then its own namespace's, then a canonical one, then the
    /// lowest key. Among blocks: those it may see, then its own namespace's, then the longest, then a canonical one.
    pub fn service_of_address(&self, network: &str, address: IpAddr, namespace: &str) -> Option<&Arc<Service>> {
        self.services.of_address(network, address, namespace)
    }

    /// The service a client of `namespace` means by a name, ranked as by VIP; a service of the `preferred` namespace
    /// comes after a canonical one. Letter case is ignored.
    pub fn service_of_hostname(
        &self,
        hostname: &str,
        namespace: &str,
        preferred: Option<&str>,
    ) -> Option<&Arc<Service>> {
        self.services.of_hostname(hostname, namespace, preferred, |_| true)
    }

    /// As [`Snapshot::service_of_hostname`], among the services that are `wanted`.
    pub fn service_of_hostname_where(
        &self,
        hostname: &str,
        namespace: &str,
        preferred: Option<&str>,
        wanted: impl Fn(&Service) -> bool,
    ) -> Option<&Arc<Service>> {
        self.services.of_hostname(hostname, namespace, preferred, wanted)
    }

    /// Whether any service's hostname is a wildcard.
    pub fn has_wildcard_services(&self) -> bool {
        self.services.has_wildcards()
    }

    /// The workload that is resolved by DNS under this name.
    pub fn workload_of_hostname(&self, name: &NamespacedHostname) -> Option<&Arc<Workload>> {
        self.workloads.of_hostname(name)
    }

    /// Every endpoint of a service, healthy or not, by uid; whether or not the service itself is known.
    pub fn endpoints(&self, service: &NamespacedHostname) -> &[Arc<Workload>] {
        self.workloads.endpoints(service)
    }

    /// Every endpoint that may serve `port` of a service to a client at `source`, in order of uid: for a caller that
    /// chooses by rules of its own. What is ruled out by health, reachability or the service's mode is left out.
    pub fn candidates(
        &self,
        service: &Service,
        source: &Workload,
        port: u16,
        purpose: Purpose,
    ) -> impl Iterator<Item = Candidate<'_>> {
        pick::candidates(self, service, source, port, purpose)
    }

    /// Whether a workload is an endpoint of a service.
    pub fn is_endpoint(&self, service: &NamespacedHostname, uid: &str) -> bool {
        self.workloads.endpoint(service, uid).is_some()
    }

    /// A policy by its resource name.
    pub fn policy(&self, key: &PolicyKey) -> Option<&Arc<Authorization>> {
        self.policies.get(key)
    }

    /// All policies, by key.
    pub fn policies(&self) -> impl DoubleEndedIterator<Item = &Arc<Authorization>> {
        self.policies.all()
    }

    /// What this waypoint does with requests to a service; `None` if the service is not attached to it.
    pub fn routes_of(&self, service: &NamespacedHostname) -> Option<&Arc<ServiceRoutes>> {
        self.routes.routes(service)
    }

    /// The routes of all services attached to this waypoint, by service.
    pub fn routes(&self) -> impl DoubleEndedIterator<Item = &Arc<ServiceRoutes>> {
        self.routes.all_routes()
    }

    /// How to talk to a service's endpoints; `None` for upstream's defaults.
    pub fn backend_settings(&self, service: &NamespacedHostname) -> Option<&Arc<BackendSettings>> {
        self.routes.backend(service)
    }

    /// What holds for all that the waypoint of this name does.
    pub fn waypoint_settings(&self, gateway: &GatewayKey) -> Option<&Arc<WaypointSettings>> {
        self.routes.waypoint(gateway)
    }

    /// Judges a connection to `destination` by every policy that applies to it: those of global scope, those of its
    /// namespace, and those it names. The policy reported is the first in that order; within a scope by key.
    pub fn authorize(&self, destination: &Workload, connection: &Connection) -> Decision {
        self.policies.authorize(destination, connection)
    }
}

#[cfg(test)]
mod tests;
