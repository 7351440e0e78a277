//! Enumerations of the wire and ours, number by number.

use crate::policy::{Action, Scope};
use crate::state::{
    ApplicationProtocol, HealthPolicy, HealthStatus, IpFamilies, LoadBalancingMode, NetworkMode, RoutingScope,
    TunnelProtocol, Visibility, WorkloadType,
};

/// One enumeration: pairs of ours and the wire's number.
pub(super) struct Enumeration<T: 'static> {
    /// The field, for error texts.
    name: &'static str,
    pairs: &'static [(T, i32)],
}

impl<T: Copy + PartialEq + 'static> Enumeration<T> {
    /// Ours.
    ///
    /// # Errors
    /// Names the field and the number nobody knows.
    pub(super) fn read(&self, number: i32) -> Result<T, String> {
        self.read_known(number).ok_or_else(|| format!("unknown {} {number}", self.name))
    }

    pub(super) fn read_known(&self, number: i32) -> Option<T> {
        self.pairs.iter().find(|(_, wire)| *wire == number).map(|(ours, _)| *ours)
    }

    /// The wire's number.
    pub(super) fn write(&self, value: T) -> i32 {
        self.pairs.iter().find(|(ours, _)| *ours == value).map_or(0, |(_, wire)| *wire)
    }
}

/// `LEGACY_ISTIO_MTLS` (2) is refused as upstream does: nothing here speaks it.
pub(super) const TUNNEL_PROTOCOL: Enumeration<TunnelProtocol> =
    Enumeration { name: "tunnel protocol", pairs: &[(TunnelProtocol::None, 0), (TunnelProtocol::Hbone, 1)] };

pub(super) const WORKLOAD_TYPE: Enumeration<WorkloadType> = Enumeration {
    name: "workload type",
    pairs: &[(WorkloadType::Deployment, 0), (WorkloadType::CronJob, 1), (WorkloadType::Pod, 2), (WorkloadType::Job, 3)],
};

pub(super) const STATUS: Enumeration<HealthStatus> =
    Enumeration { name: "workload status", pairs: &[(HealthStatus::Healthy, 0), (HealthStatus::Unhealthy, 1)] };

pub(super) const NETWORK_MODE: Enumeration<NetworkMode> =
    Enumeration { name: "network mode", pairs: &[(NetworkMode::Standard, 0), (NetworkMode::HostNetwork, 1)] };

pub(super) const APPLICATION_PROTOCOL: Enumeration<ApplicationProtocol> = Enumeration {
    name: "application tunnel protocol",
    pairs: &[(ApplicationProtocol::None, 0), (ApplicationProtocol::Proxy, 1)],
};

pub(super) const ROUTING_SCOPE: Enumeration<RoutingScope> = Enumeration {
    name: "routing scope",
    pairs: &[
        (RoutingScope::Region, 1),
        (RoutingScope::Zone, 2),
        (RoutingScope::Subzone, 3),
        (RoutingScope::Node, 4),
        (RoutingScope::Cluster, 5),
        (RoutingScope::Network, 6),
    ],
};

pub(super) const LOAD_BALANCING_MODE: Enumeration<LoadBalancingMode> = Enumeration {
    name: "load balancing mode",
    pairs: &[
        (LoadBalancingMode::Unspecified, 0),
        (LoadBalancingMode::Strict, 1),
        (LoadBalancingMode::Failover, 2),
        (LoadBalancingMode::Passthrough, 3),
    ],
};

pub(super) const HEALTH_POLICY: Enumeration<HealthPolicy> =
    Enumeration { name: "health policy", pairs: &[(HealthPolicy::OnlyHealthy, 0), (HealthPolicy::AllowAll, 1)] };

pub(super) const IP_FAMILIES: Enumeration<IpFamilies> = Enumeration {
    name: "address families",
    pairs: &[(IpFamilies::Automatic, 0), (IpFamilies::Ipv4Only, 1), (IpFamilies::Ipv6Only, 2), (IpFamilies::Dual, 3)],
};

pub(super) const VISIBILITY: Enumeration<Visibility> =
    Enumeration { name: "visibility", pairs: &[(Visibility::Public, 0), (Visibility::Namespace, 1)] };

pub(super) const SCOPE: Enumeration<Scope> = Enumeration {
    name: "policy scope",
    pairs: &[(Scope::Global, 0), (Scope::Namespace, 1), (Scope::WorkloadSelector, 2)],
};

pub(super) const ACTION: Enumeration<Action> =
    Enumeration { name: "policy action", pairs: &[(Action::Allow, 0), (Action::Deny, 1)] };
