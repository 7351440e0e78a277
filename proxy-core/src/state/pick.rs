//! Which endpoint of a service.

use std::net::IpAddr;
use std::sync::Arc;

use super::{
    HealthPolicy, HealthStatus, IpFamilies, LoadBalancing, LoadBalancingMode, RoutingScope, Service, Snapshot, Workload,
};
use crate::host::Rng;

/// What an endpoint is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// To serve the application's connection.
    Application,
    /// To carry it on: a waypoint or a network gateway, which may serve ports its service does not declare.
    Gateway,
}

/// Picks an endpoint of `service` for a client and the port of it that serves `port`; `None` if there is none.
///
/// The service's mode decides which endpoints are equal; among those chance decides, in proportion to capacity. An
/// endpoint that could not be reached is never picked. Modes are applied even to [`LoadBalancingMode::Passthrough`],
/// where they mean nothing: asking is the caller's decision.
pub(super) fn pick<'a>(
    snapshot: &'a Snapshot,
    service: &Service,
    source: &Workload,
    port: u16,
    purpose: Purpose,
    rng: &mut Rng,
) -> Option<(&'a Arc<Workload>, u16)> {
    let mut best = 0;
    let mut nearest: Vec<Candidate<'a>> = Vec::new();
    for candidate in candidates(snapshot, service, source, port, purpose) {
        if candidate.nearness > best {
            nearest.clear();
            best = candidate.nearness;
        }
        if candidate.nearness == best {
            nearest.push(candidate);
        }
    }
    let chosen = rng.weighted(nearest.iter().map(|candidate| u64::from(candidate.workload.capacity)))?;
    nearest.get(chosen).map(|candidate| (candidate.workload, candidate.port))
}

/// An endpoint of a service that may be picked.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The endpoint.
    pub workload: &'a Arc<Workload>,
    /// Where it serves the port asked for.
    pub port: u16,
    /// How near the service's mode finds it: more is nearer; all 0 without a preference.
    pub nearness: usize,
}

/// Every endpoint that may serve `port`: healthy as the service wants it, reachable, not ruled out by its mode. In order
/// of uid; capacity is not looked at.
pub(super) fn candidates<'a>(
    snapshot: &'a Snapshot,
    service: &Service,
    source: &Workload,
    port: u16,
    purpose: Purpose,
) -> impl Iterator<Item = Candidate<'a>> {
    let declared =
        service.ports.iter().find(|declared| declared.service_port == port).map(|declared| declared.target_port);
    let balancing = service.load_balancing.as_ref();
    let any_health = balancing.is_some_and(|balancing| balancing.health_policy == HealthPolicy::AllowAll);
    snapshot.endpoints(&service.key).iter().filter_map(move |endpoint| {
        if (endpoint.status == HealthStatus::Unhealthy && !any_health) || !is_reachable(endpoint, service, source) {
            return None;
        }
        let port = target_port(service, endpoint, port, declared, purpose)?;
        let nearness = balancing.map_or(Some(0), |balancing| rank(balancing, source, endpoint))?;
        Some(Candidate { workload: endpoint, port, nearness })
    })
}

/// It has an address of a family the service allows, a name to resolve, or a gateway in front of it.
fn is_reachable(endpoint: &Workload, service: &Service, source: &Workload) -> bool {
    endpoint.addresses.iter().any(|address| is_allowed(service.ip_families, *address))
        || endpoint.hostname.is_some()
        || (endpoint.network != source.network && endpoint.network_gateway.is_some())
}

/// Whether a service's endpoints may be reached by this address.
pub(super) fn is_allowed(families: IpFamilies, address: IpAddr) -> bool {
    match families {
        IpFamilies::Automatic | IpFamilies::Dual => true,
        IpFamilies::Ipv4Only => address.is_ipv4(),
        IpFamilies::Ipv6Only => address.is_ipv6(),
    }
}

/// The endpoint's own mapping, else the service's numeric target, else the port itself if a tunnel listens there.
fn target_port(
    service: &Service,
    endpoint: &Workload,
    port: u16,
    declared: Option<u16>,
    purpose: Purpose,
) -> Option<u16> {
    if declared.is_none() && (purpose == Purpose::Application || endpoint.application_tunnel.is_none()) {
        return None;
    }
    let mapped = endpoint.endpoint_port(&service.key, port);
    let tunnelled = || {
        let tunnel = endpoint.application_tunnel.filter(|_| purpose == Purpose::Gateway)?;
        tunnel.port.map(|_| port)
    };
    mapped.or(declared.filter(|target| *target != 0)).or_else(tunnelled)
}

/// How near an endpoint is: more is nearer. `None` if it is not to be used at all.
fn rank(balancing: &LoadBalancing, source: &Workload, endpoint: &Workload) -> Option<usize> {
    let scopes = &balancing.routing_preference;
    match balancing.mode {
        LoadBalancingMode::Unspecified | LoadBalancingMode::Passthrough => Some(0),
        LoadBalancingMode::Strict => scopes.iter().all(|scope| shares(*scope, source, endpoint)).then_some(0),
        LoadBalancingMode::Failover => {
            let mut rest = scopes.as_slice();
            let mut rank = 0;
            // Led by the network, any endpoint of ours beats all of other networks, which still rank by the rest.
            if let Some((RoutingScope::Network, others)) = rest.split_first() {
                if shares(RoutingScope::Network, source, endpoint) {
                    rank = scopes.len();
                }
                rest = others;
            }
            Some(rank + rest.iter().take_while(|scope| shares(**scope, source, endpoint)).count())
        }
    }
}

/// Two empty values are the same value.
fn shares(scope: RoutingScope, source: &Workload, endpoint: &Workload) -> bool {
    match scope {
        RoutingScope::Region => source.locality.region == endpoint.locality.region,
        RoutingScope::Zone => source.locality.zone == endpoint.locality.zone,
        RoutingScope::Subzone => source.locality.subzone == endpoint.locality.subzone,
        RoutingScope::Node => source.node == endpoint.node,
        RoutingScope::Cluster => source.cluster_id == endpoint.cluster_id,
        RoutingScope::Network => source.network == endpoint.network,
    }
}
