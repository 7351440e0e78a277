//! What a proxy was told: workloads, services and policies, and resolution over them. Pure but for `handle`.

mod apply;
#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
pub(crate) mod fixture;
mod handle;
mod index;
mod list;
mod map;
mod pick;
mod policy_index;
mod resolve;
mod route_index;
mod service;
mod service_index;
mod shared;
mod source;
mod update;
mod workload;
mod workload_index;

pub use crate::net::NamespacedHostname;
pub(crate) use apply::check_resource;
pub use handle::{LocalWorkload, StateHandle};
pub use index::{AddressOwner, Snapshot};
pub use pick::{Candidate, Purpose};
pub use resolve::{Resolution, Upstream, UpstreamAddress};
pub use service::{
    CidrVip, HealthPolicy, IpFamilies, LoadBalancing, LoadBalancingMode, RoutingScope, Service, ServicePort,
    Visibility, WeightedWaypoint,
};
pub use shared::SharedUpdate;
pub use source::{ConfigSource, Push};
pub use update::{Applied, Rejected, Resource, ResourceName, Update};
pub use workload::{
    ApplicationProtocol, ApplicationTunnel, GatewayAddress, GatewayDestination, HealthStatus, Locality, NetworkAddress,
    NetworkMode, PortMapping, TunnelProtocol, Workload, WorkloadType,
};
