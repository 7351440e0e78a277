//! Records and snapshots for tests, in few words.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{
    ApplicationProtocol, ApplicationTunnel, GatewayAddress, GatewayDestination, NamespacedHostname, NetworkAddress,
    PortMapping, Resource, Service, ServicePort, Snapshot, TunnelProtocol, Update, Workload,
};
use crate::policy::{Action, Authorization, Clause, Match, PolicyKey, Rule, Scope};

/// An HBONE pod of namespace `ns`, service account as its name, on node `node-1`.
pub(crate) fn pod(name: &str, address: &str) -> Workload {
    Workload {
        uid: format!("Kubernetes//Pod/ns/{name}").into(),
        name: name.into(),
        namespace: "ns".into(),
        service_account: name.into(),
        addresses: if address.is_empty() { vec![] } else { vec![address.parse().unwrap()] },
        node: "node-1".into(),
        tunnel_protocol: TunnelProtocol::Hbone,
        ..Workload::default()
    }
}

/// A plaintext pod.
pub(crate) fn plain_pod(name: &str, address: &str) -> Workload {
    Workload { tunnel_protocol: TunnelProtocol::None, ..pod(name, address) }
}

pub(crate) fn host(name: &str) -> String {
    format!("{name}.ns.svc.cluster.local")
}

pub(crate) fn key(name: &str) -> NamespacedHostname {
    NamespacedHostname::new("ns", &host(name))
}

/// `name.ns.svc.cluster.local`, ports 80 → 8080; no VIP if `vip` is empty.
pub(crate) fn service(name: &str, vip: &str) -> Service {
    Service {
        name: name.into(),
        key: key(name),
        vips: if vip.is_empty() { vec![] } else { vec![on("", vip)] },
        ports: vec![ServicePort { service_port: 80, target_port: 8080 }],
        ..Service::default()
    }
}

pub(crate) fn on(network: &str, address: &str) -> NetworkAddress {
    NetworkAddress { network: network.into(), address: address.parse().unwrap() }
}

/// The workload as an endpoint of a service of namespace `ns`, with port mappings of its own.
pub(crate) fn serving(mut workload: Workload, name: &str, mappings: &[(u16, u16)]) -> Workload {
    let mapping = |(service_port, target_port): &(u16, u16)| PortMapping {
        service_port: *service_port,
        target_port: *target_port,
    };
    workload.services.insert(key(name), mappings.iter().map(mapping).collect());
    workload
}

pub(crate) fn by_address(address: &str) -> Option<GatewayAddress> {
    let destination = GatewayDestination::Address(on("", address));
    Some(GatewayAddress { destination, hbone_mtls_port: 15008 })
}

pub(crate) fn by_hostname(name: &str, port: u16) -> Option<GatewayAddress> {
    let destination = GatewayDestination::Hostname(key(name));
    Some(GatewayAddress { destination, hbone_mtls_port: port })
}

pub(crate) fn tunnel(protocol: ApplicationProtocol, port: Option<u16>) -> Option<ApplicationTunnel> {
    Some(ApplicationTunnel { protocol, port })
}

/// A policy of namespace `ns` that matches these destination ports, or everything if there are none.
pub(crate) fn policy(name: &str, scope: Scope, action: Action, ports: &[u16]) -> Authorization {
    let choice = Match { destination_ports: ports.to_vec(), ..Match::default() };
    let clauses = if ports.is_empty() { vec![] } else { vec![Clause { matches: vec![choice] }] };
    Authorization { key: PolicyKey::new("ns", name), scope, action, rules: vec![Rule { clauses }], dry_run: false }
}

pub(crate) fn upsert(
    workloads: impl IntoIterator<Item = Workload>,
    services: impl IntoIterator<Item = Service>,
    policies: impl IntoIterator<Item = Authorization>,
) -> Update {
    let workloads = workloads.into_iter().map(|workload| Resource::Workload(Arc::new(workload)));
    let services = services.into_iter().map(|service| Resource::Service(Arc::new(service)));
    let policies = policies.into_iter().map(|policy| Resource::Authorization(Arc::new(policy)));
    Update { removed: vec![], upserted: workloads.chain(services).chain(policies).collect() }
}

pub(crate) fn snapshot(
    workloads: impl IntoIterator<Item = Workload>,
    services: impl IntoIterator<Item = Service>,
) -> Arc<Snapshot> {
    Snapshot::apply(&Snapshot::empty(), &upsert(workloads, services, [])).0
}

pub(crate) fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}
