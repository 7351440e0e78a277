//! [`Service`]: `istio.workload.Service`, decoded.

use std::sync::Arc;

use super::workload::{GatewayAddress, NetworkAddress};
use crate::identity::Identity;
use crate::net::NamespacedHostname;

/// One service. Primary key: `namespace/hostname`. Endpoints are not part of the record: workloads name their services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Kubernetes name.
    pub name: Arc<str>,
    /// Namespace and fully qualified name.
    pub key: NamespacedHostname,
    /// Full-length VIPs; empty means headless.
    pub vips: Vec<NetworkAddress>,
    /// CIDR VIPs.
    pub cidr_vips: Vec<CidrVip>,
    /// Declared ports.
    pub ports: Vec<ServicePort>,
    /// Extra identities its endpoints may prove.
    pub subject_alt_names: Vec<Identity>,
    /// Service waypoint (VIP traffic only).
    pub waypoint: Option<GatewayAddress>,
    /// Several waypoints, sampled per connection; all-zero falls back to `waypoint`.
    pub weighted_waypoints: Vec<WeightedWaypoint>,
    /// How an endpoint is chosen.
    pub load_balancing: Option<LoadBalancing>,
    /// Which families its endpoints may be reached on.
    pub ip_families: IpFamilies,
    /// Wins over others of the same VIP or hostname, after the client's own namespace.
    pub canonical: bool,
    /// Who may use it.
    pub visibility: Visibility,
}

impl Default for Service {
    fn default() -> Self {
        Service {
            name: "".into(),
            key: NamespacedHostname::new("", ""),
            vips: Vec::new(),
            cidr_vips: Vec::new(),
            ports: Vec::new(),
            subject_alt_names: Vec::new(),
            waypoint: None,
            weighted_waypoints: Vec::new(),
            load_balancing: None,
            ip_families: IpFamilies::Automatic,
            canonical: false,
            visibility: Visibility::Public,
        }
    }
}

/// A VIP that is a block of addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CidrVip {
    /// Network and masked address.
    pub base: NetworkAddress,
    /// Shorter than the full length.
    pub prefix_length: u8,
}

/// A declared port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePort {
    /// Port clients use.
    pub service_port: u16,
    /// Port of the endpoints; 0 means named, mapped per endpoint.
    pub target_port: u16,
}

/// A waypoint and its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedWaypoint {
    /// Where it is.
    pub destination: GatewayAddress,
    /// Its share of the sum.
    pub weight: u32,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancing {
    /// Scopes, most important first.
    pub routing_preference: Vec<RoutingScope>,
    /// What the scopes do.
    pub mode: LoadBalancingMode,
    /// Whether unready endpoints count.
    pub health_policy: HealthPolicy,
}

/// What a client and an endpoint may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the wire's names")]
pub enum RoutingScope {
    Region,
    Zone,
    Subzone,
    Node,
    Cluster,
    Network,
}

/// What routing scopes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoadBalancingMode {
    /// Nothing: all candidates are equal.
    Unspecified,
    /// Candidates must match every scope.
    Strict,
    /// Candidates that match more leading scopes win.
    Failover,
    /// No choice at all: go where the client said.
    Passthrough,
}

/// Whether unready endpoints count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the wire's names")]
pub enum HealthPolicy {
    OnlyHealthy,
    AllowAll,
}

/// Which address families a service uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the wire's names")]
pub enum IpFamilies {
    Automatic,
    Ipv4Only,
    Ipv6Only,
    Dual,
}

/// Who may use a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Visibility {
    /// Everyone.
    Public,
    /// Clients of its own namespace.
    Namespace,
}
