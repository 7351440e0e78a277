//! [`endpoints`]: who serves an address, from the objects as written.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::cluster::istio::{ExternalEndpoint, ServiceEntry};
use crate::cluster::{Cluster, Labels, Pod, Protocol, Service, TargetPort};

/// Someone who may serve: a pod's uid and the port there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::invariant) struct Endpoint {
    /// The pod.
    pub(in crate::invariant) pod: Arc<str>,
    /// The port in the pod.
    pub(in crate::invariant) port: u16,
}

/// Pods that may serve what is sent to `destination`; `None` if nothing in the cluster has that address.
pub(in crate::invariant) fn endpoints(cluster: &Cluster, destination: SocketAddr) -> Option<Vec<Endpoint>> {
    let address = destination.ip();
    let mut found: Option<Vec<Endpoint>> = None;
    for service in cluster.services().filter(|service| service.cluster_ips().contains(&address)) {
        found.get_or_insert_default().extend(of_service(cluster, service, destination.port()));
    }
    for entry in cluster.service_entries() {
        let written = entry.addresses.iter().any(|block| {
            let full = if block.address.is_ipv4() { 32 } else { 128 };
            block.prefix_length == full && block.address == address
        });
        let automatic = entry.automatic_addresses.values().flatten().any(|own| *own == address);
        if written || automatic {
            found.get_or_insert_default().extend(of_entry(cluster, entry, destination.port()));
        }
    }
    for pod in owners(cluster, address) {
        found.get_or_insert_default().push(Endpoint { pod: pod.meta.uid.clone(), port: destination.port() });
    }
    found
}

/// Whether endpoints behind an address are known by name. What a name meant is remembered for as long as DNS said, so that
/// changes take effect late.
pub(in crate::invariant) fn are_named(cluster: &Cluster, address: IpAddr) -> bool {
    cluster.service_entries().any(|entry| {
        let automatic = entry.automatic_addresses.values().flatten().any(|own| *own == address);
        (automatic || entry.addresses.iter().any(|block| block.address == address))
            && entry.endpoints.iter().any(|one| matches!(one.address, ExternalEndpoint::Hostname(_)))
    })
}

/// Pods that may serve a port of a service.
pub(in crate::invariant) fn of_service(cluster: &Cluster, service: &Service, port: u16) -> Vec<Endpoint> {
    let Some(port) =
        service.ports.iter().find(|candidate| candidate.number == port && candidate.protocol == Protocol::Tcp)
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for pod in cluster.pods() {
        let selected = service.selector.as_ref().is_some_and(|wanted| {
            pod.meta.namespace() == service.meta.namespace() && carries(&pod.meta.labels, wanted)
        });
        if selected && (pod.is_healthy() || service.publish_not_ready_addresses) {
            let target = match &port.target {
                TargetPort::Number(number) => Some(*number),
                TargetPort::Name(name) => pod.port_named(name, Protocol::Tcp),
            };
            found.extend(target.map(|port| Endpoint { pod: pod.meta.uid.clone(), port }));
        }
    }
    if service.selector.is_none() {
        let slices = cluster.endpoint_slices().filter(|slice| {
            slice.is_ip
                && slice.meta.namespace() == service.meta.namespace()
                && slice.service.as_deref() == Some(service.meta.name())
        });
        for slice in slices {
            let number = slice
                .ports
                .iter()
                .find(|candidate| &*candidate.name == port.name.as_deref().unwrap_or_default())
                .and_then(|port| port.number);
            for address in slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses) {
                for pod in owners(cluster, *address) {
                    found.extend(number.map(|port| Endpoint { pod: pod.meta.uid.clone(), port }));
                }
            }
        }
    }
    found
}

fn of_entry(cluster: &Cluster, entry: &ServiceEntry, port: u16) -> Vec<Endpoint> {
    let Some(port) = entry.ports.iter().find(|candidate| candidate.number == port) else { return Vec::new() };
    let target = port.target_port.unwrap_or(port.number);
    let mut found = Vec::new();
    let at = |address: IpAddr, port: u16| {
        owners(cluster, address).map(move |pod| Endpoint { pod: pod.meta.uid.clone(), port })
    };
    let selected = cluster.workload_entries().filter(|workload| {
        workload.meta.namespace() == entry.meta.namespace()
            && entry.workload_selector.as_ref().is_some_and(|wanted| carries(&workload.meta.labels, wanted))
    });
    for written in entry.endpoints.iter().chain(selected.map(|workload| &workload.spec)) {
        let port = written.ports.get(&port.name).copied().unwrap_or(target);
        match &written.address {
            ExternalEndpoint::Address(address) => found.extend(at(*address, port)),
            // Names are resolved outside of pods: no search list, and nothing but what the cluster's DNS says.
            ExternalEndpoint::Hostname(name) => {
                let name = format!("{}.", name.trim_end_matches('.'));
                for address in cluster.resolve(&name, entry.meta.namespace()).addresses() {
                    found.extend(at(*address, port));
                    let services = cluster.services().filter(|service| service.cluster_ips().contains(address));
                    found.extend(services.flat_map(|service| of_service(cluster, service, port)));
                }
            }
            ExternalEndpoint::UnixSocket(_) | ExternalEndpoint::Unspecified => {}
        }
    }
    for pod in cluster.pods().filter(|pod| pod.meta.namespace() == entry.meta.namespace() && pod.is_healthy()) {
        if entry.workload_selector.as_ref().is_some_and(|wanted| carries(&pod.meta.labels, wanted)) {
            let port = pod.port_named(&port.name, Protocol::Tcp).unwrap_or(target);
            found.push(Endpoint { pod: pod.meta.uid.clone(), port });
        }
    }
    found
}

/// Pods with this address; host-network pods share their node's.
fn owners(cluster: &Cluster, address: IpAddr) -> impl Iterator<Item = &Arc<Pod>> {
    cluster.pods().filter(move |pod| pod.addresses.contains(&address))
}

fn carries(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
