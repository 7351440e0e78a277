//! Random records out of few names and addresses, so that they meet.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::fixture::*;
use super::{
    ApplicationProtocol, CidrVip, GatewayAddress, GatewayDestination, HealthPolicy, HealthStatus, IpFamilies,
    LoadBalancing, LoadBalancingMode, NetworkMode, PortMapping, RoutingScope, Service, ServicePort, TunnelProtocol,
    Visibility, WeightedWaypoint, Workload,
};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const NETWORKS: [&str; 2] = ["", "remote"];
const ADDRESSES: [&str; 6] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.10.0.1", "fd00::1", "fd00::2"];

pub(crate) fn address() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&ADDRESSES[..])
}

pub(crate) fn port() -> impl Strategy<Value = u16> {
    prop::sample::select(&[80u16, 8080, 15008][..])
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&NAMES[..])
}

fn network() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just(NETWORKS[0]), 1 => Just(NETWORKS[1])]
}

fn gateway() -> impl Strategy<Value = GatewayAddress> {
    let named = name().prop_map(|name| GatewayDestination::Hostname(key(name)));
    let addressed =
        (network(), address()).prop_map(|(network, address)| GatewayDestination::Address(on(network, address)));
    (prop_oneof![named, addressed], port())
        .prop_map(|(destination, hbone_mtls_port)| GatewayAddress { destination, hbone_mtls_port })
}

pub(crate) fn workload() -> impl Strategy<Value = Workload> {
    let services = btree_map(name().prop_map(key), vec((port(), 0..3u16), 0..2), 0..3);
    let tunnels = option::weighted(0.2, (any::<bool>(), option::of(Just(15088u16))));
    (
        (0..6u8, name(), any::<bool>(), vec(address(), 0..3), network()),
        (option::weighted(0.3, gateway()), option::weighted(0.5, gateway()), option::weighted(0.2, name())),
        (services, tunnels, proptest::bool::weighted(0.1), proptest::bool::weighted(0.8), 0..3u32),
    )
        .prop_map(|((id, account, hbone, addresses, network), (waypoint, gateway, hostname), rest)| {
            let (services, tunnel_to, is_host, is_healthy, capacity) = rest;
            let mapping = |(service_port, target): (u16, u16)| PortMapping { service_port, target_port: target * 4040 };
            let mapped = |mappings: Vec<_>| mappings.into_iter().map(mapping).collect();
            Workload {
                addresses: addresses.into_iter().map(|address| address.parse().unwrap()).collect(),
                network: network.into(),
                service_account: account.into(),
                tunnel_protocol: if hbone { TunnelProtocol::Hbone } else { TunnelProtocol::None },
                waypoint,
                network_gateway: gateway,
                hostname: hostname.map(|name| host(name).into()),
                services: services.into_iter().map(|(key, mappings)| (key, mapped(mappings))).collect(),
                application_tunnel: tunnel_to.and_then(|(proxy, port)| {
                    tunnel(if proxy { ApplicationProtocol::Proxy } else { ApplicationProtocol::None }, port)
                }),
                network_mode: if is_host { NetworkMode::HostNetwork } else { NetworkMode::Standard },
                status: if is_healthy { HealthStatus::Healthy } else { HealthStatus::Unhealthy },
                capacity,
                ..pod(&format!("w{id}"), "")
            }
        })
}

pub(crate) fn service() -> impl Strategy<Value = Service> {
    let vip = || (network(), address()).prop_map(|(network, address)| on(network, address));
    let block = (vip(), prop::sample::select(&[0u8, 8, 24, 31][..]));
    let blocks = vec(block.prop_map(|(base, prefix_length)| CidrVip { base, prefix_length }), 0..2);
    let ports = vec((port(), prop_oneof![Just(0u16), port()]), 0..3);
    let weighted = vec((gateway(), 0..3u32), 0..2);
    (
        (name(), any::<bool>(), vec(vip(), 0..3), blocks, ports),
        (option::weighted(0.3, gateway()), weighted, option::of(balancing()), families()),
        (any::<bool>(), proptest::bool::weighted(0.2)),
    )
        .prop_map(
            |((name, other, vips, cidr_vips, ports), (waypoint, weighted, load_balancing, ip_families), rest)| {
                let (canonical, is_hidden) = rest;
                let port = |(service_port, target_port)| ServicePort { service_port, target_port };
                let weight = |(destination, weight)| WeightedWaypoint { destination, weight };
                let mut key = key(name);
                if other {
                    key.namespace = "other".into();
                }
                Service {
                    name: name.into(),
                    key,
                    vips,
                    cidr_vips,
                    ports: ports.into_iter().map(port).collect(),
                    waypoint,
                    weighted_waypoints: weighted.into_iter().map(weight).collect(),
                    load_balancing,
                    ip_families,
                    canonical,
                    visibility: if is_hidden { Visibility::Namespace } else { Visibility::Public },
                    subject_alt_names: vec![],
                }
            },
        )
}

fn balancing() -> impl Strategy<Value = LoadBalancing> {
    let scopes = prop::sample::subsequence(vec![RoutingScope::Network, RoutingScope::Region, RoutingScope::Node], 0..3);
    let modes = [
        LoadBalancingMode::Unspecified,
        LoadBalancingMode::Strict,
        LoadBalancingMode::Failover,
        LoadBalancingMode::Passthrough,
    ];
    (scopes, prop::sample::select(modes.to_vec()), any::<bool>()).prop_map(|(routing_preference, mode, all)| {
        let health_policy = if all { HealthPolicy::AllowAll } else { HealthPolicy::OnlyHealthy };
        LoadBalancing { routing_preference, mode, health_policy }
    })
}

fn families() -> impl Strategy<Value = IpFamilies> {
    let all = [IpFamilies::Automatic, IpFamilies::Ipv4Only, IpFamilies::Ipv6Only, IpFamilies::Dual];
    prop::sample::select(all.to_vec())
}
