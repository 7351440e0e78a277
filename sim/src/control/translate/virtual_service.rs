//! What a node without a proxy in between makes of a Service's address.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use proxy_core::state::NamespacedHostname;

use super::service::Memberships;
use crate::cluster::{Cluster, IpFamily, PodPhase};

/// Service addresses and the endpoints behind each: what kube-proxy programs on every node. Only traffic that no node
/// proxy captures meets it.
///
/// Endpoints are ready pods (or all, where a Service publishes unready ones) and written EndpointSlices, of the address's
/// family, in order of pod name. An address without endpoints is in the table, so that dialling it is refused.
/// `internalTrafficPolicy` and traffic distribution are not regarded.
pub fn virtual_services(cluster: &Cluster) -> BTreeMap<SocketAddr, Vec<SocketAddr>> {
    let memberships = Memberships::new(cluster);
    let mut backends: BTreeMap<(NamespacedHostname, u16), Vec<SocketAddr>> = BTreeMap::new();
    let mut unready: BTreeMap<(NamespacedHostname, u16), Vec<SocketAddr>> = BTreeMap::new();
    for pod in cluster.pods().filter(|pod| matches!(pod.phase, PodPhase::Running | PodPhase::Terminating)) {
        let into = if pod.is_healthy() { &mut backends } else { &mut unready };
        for (service, ports) in memberships.of_pod(pod) {
            for port in ports {
                let sockets = pod.addresses.iter().map(|address| SocketAddr::new(*address, port.target_port));
                into.entry((service.clone(), port.service_port)).or_default().extend(sockets);
            }
        }
    }
    for slice in cluster.endpoint_slices() {
        let Some(named) = memberships.of_slice(slice) else { continue };
        for port in super::external::slice_ports(slice, named) {
            let ready = slice.endpoints.iter().filter(|endpoint| endpoint.pod.is_none() && endpoint.ready);
            let sockets = ready.flat_map(|endpoint| &endpoint.addresses);
            let sockets = sockets.map(|address| SocketAddr::new(*address, port.target_port));
            backends.entry((named.key.clone(), port.service_port)).or_default().extend(sockets);
        }
    }
    let mut table = BTreeMap::new();
    for named in memberships.kubernetes() {
        for port in &named.service.ports {
            let key = (named.key.clone(), port.number);
            let mut all = backends.get(&key).cloned().unwrap_or_default();
            if named.service.publish_not_ready_addresses {
                all.extend(unready.get(&key).into_iter().flatten());
            }
            for vip in named.service.cluster_ips() {
                let family = IpFamily::of(*vip);
                let sockets = all.iter().filter(|socket| IpFamily::of(socket.ip()) == family).copied().collect();
                table.insert(SocketAddr::new(*vip, port.number), sockets);
            }
        }
    }
    table
}
