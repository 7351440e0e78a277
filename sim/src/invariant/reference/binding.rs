//! [`bound`]: which waypoint traffic to an address must pass, from labels as written.
//!
//! From the documentation of Istio's ambient mode: `istio.io/use-waypoint` and its companions.

use std::net::IpAddr;

use crate::cluster::gateway::{AllowedNamespaces, Gateway};
use crate::cluster::{Cluster, Labels, ObjectName};

/// Who stands before an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::invariant) enum Bound {
    /// Nobody.
    Nobody,
    /// This gateway.
    To(ObjectName),
    /// Several may, or the reference does not go that far.
    Unclear,
}

/// Whether policies are judged of what goes to `address` as others than the client's and the server's proxies see it: a
/// waypoint stands before it, which has its own view of a request and, towards the server, an identity of its own.
pub(in crate::invariant) fn is_judged_at_a_waypoint(cluster: &Cluster, address: IpAddr) -> bool {
    bound(cluster, address) != Bound::Nobody && cluster.authorization_policies().next().is_some()
}

/// Which waypoint traffic to `address` must pass: a service's for its virtual address, a workload's for a pod's.
pub(in crate::invariant) fn bound(cluster: &Cluster, address: IpAddr) -> Bound {
    if let Some(service) = cluster.services().find(|service| service.cluster_ips().contains(&address)) {
        return by_labels(cluster, service.meta.namespace(), &service.meta.labels, "service");
    }
    let entry = cluster.service_entries().any(|entry| {
        entry.addresses.iter().any(|block| block.address == address)
            || entry.automatic_addresses.values().flatten().any(|own| *own == address)
    });
    if entry {
        return Bound::Unclear;
    }
    let mut pods = cluster.pods().filter(|pod| pod.addresses.contains(&address));
    match (pods.next(), pods.next()) {
        (Some(pod), None) if pod.spec.host_network => Bound::Unclear,
        (Some(pod), None) => by_labels(cluster, pod.meta.namespace(), &pod.meta.labels, "workload"),
        (None, _) => Bound::Nobody,
        _ => Bound::Unclear,
    }
}

fn by_labels(cluster: &Cluster, namespace: &str, labels: &Labels, kind: &str) -> Bound {
    // A waypoint is behind nobody.
    if labels.contains_key("gateway.networking.k8s.io/gateway-name") {
        return Bound::Nobody;
    }
    let of_namespace = cluster.namespace(namespace).map(|namespace| &namespace.meta.labels);
    let says = |labels: &&Labels| labels.contains_key("istio.io/use-waypoint");
    let Some(words) = Some(labels).filter(says).or(of_namespace.filter(says)) else { return Bound::Nobody };
    if words.contains_key("istio.io/use-waypoint-canary") {
        return Bound::Unclear;
    }
    let name = words.get("istio.io/use-waypoint").map_or("none", |name| name);
    if name == "none" {
        return Bound::Nobody;
    }
    let home = words.get("istio.io/use-waypoint-namespace").map_or(namespace, |home| home);
    let Some(gateway) = cluster.gateway(home, name) else { return Bound::Nobody };
    let usable = !gateway.addresses.is_empty() && serves(cluster, gateway, kind) && admits(cluster, gateway, namespace);
    if usable { Bound::To(ObjectName::new(home, name)) } else { Bound::Nobody }
}

fn serves(cluster: &Cluster, gateway: &Gateway, kind: &str) -> bool {
    const LABEL: &str = "istio.io/waypoint-for";
    let class = cluster.gateway_class(&gateway.class);
    let serves = gateway.meta.label(LABEL).or_else(|| class.and_then(|class| class.meta.label(LABEL)));
    match serves.unwrap_or("service") {
        "all" => true,
        one => one == kind,
    }
}

fn admits(cluster: &Cluster, gateway: &Gateway, from: &str) -> bool {
    if gateway.meta.namespace() == from {
        return true;
    }
    let listener = gateway.listeners.iter().find(|listener| listener.port == 15_008 || &*listener.protocol == "HBONE");
    match listener.map(|listener| &listener.allowed) {
        Some(AllowedNamespaces::All) => true,
        Some(AllowedNamespaces::Selector(selector)) => {
            cluster.namespace(from).is_some_and(|namespace| selector.matches(&namespace.meta.labels))
        }
        Some(AllowedNamespaces::Same) | None => false,
    }
}
