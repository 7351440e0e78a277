//! What a proxy was told: workloads, services and policies, and resolution over them. Pure but for `handle`.

mod handle;
mod index;
mod pick;
pub mod resolve;
mod service;
mod shared;
mod source;
mod update;
mod workload;

pub use handle::{LocalWorkload, StateHandle};
pub use index::Snapshot;
pub use service::{
    CidrVip, HealthPolicy, IpFamilies, LoadBalancing, LoadBalancingMode, RoutingScope, Service, ServicePort,
    Visibility, WeightedWaypoint,
};
pub use shared::SharedUpdate;
pub use source::{ConfigSource, Push};
pub use update::{Applied, Rejected, Resource, ResourceName, Update};
pub use workload::{
    ApplicationProtocol, ApplicationTunnel, GatewayAddress, GatewayDestination, HealthStatus, Locality,
    NamespacedHostname, NetworkAddress, NetworkMode, PortMapping, TunnelProtocol, Workload, WorkloadType,
};
