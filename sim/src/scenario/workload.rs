//! Whose pods are whose, and which of them may act as clients.

pub(super) use crate::cluster::owns;
use crate::cluster::{Cluster, ObjectName, ObjectReference};

/// The names of the healthy pods of `object`, in order.
pub(super) fn healthy_pods(cluster: &Cluster, object: &ObjectReference) -> Vec<ObjectName> {
    let pods = cluster.pods().filter(|pod| pod.is_healthy() && owns(object, pod));
    pods.map(|pod| pod.meta.key.clone()).collect()
}

/// The pod that speaks for `object`: the first healthy one, else the first that runs at all.
pub(super) fn first_pod(cluster: &Cluster, object: &ObjectReference) -> Option<ObjectName> {
    let running = || {
        let phases = [crate::cluster::PodPhase::Running, crate::cluster::PodPhase::Terminating];
        cluster.pods().find(|pod| owns(object, pod) && phases.contains(&pod.phase)).map(|pod| pod.meta.key.clone())
    };
    healthy_pods(cluster, object).into_iter().next().or_else(running)
}

/// The pod that has this address.
pub(super) fn is_at(cluster: &Cluster, address: std::net::IpAddr) -> Option<ObjectName> {
    let mut pods = cluster.pods().filter(|pod| !pod.spec.host_network && pod.addresses.contains(&address));
    pods.next().map(|pod| pod.meta.key.clone())
}
