//! Whose pods are whose, and which of them may act as clients.

use crate::cluster::{Cluster, Kind, ObjectName, ObjectReference, Pod};

/// Whether `object` is the pod itself or owns it, directly or as the Deployment of its ReplicaSet.
pub(super) fn owns(object: &ObjectReference, pod: &Pod) -> bool {
    if *object.name.namespace != *pod.meta.namespace() {
        return false;
    }
    if object.kind == Kind::Pod {
        return *object.name.name == *pod.meta.name();
    }
    let Some(owner) = &pod.meta.owner else { return false };
    if object.kind == Kind::Deployment {
        // A Deployment names its ReplicaSets after itself and the hash their pods are labelled with.
        let hash = pod.meta.label("pod-template-hash");
        let deployment = hash.and_then(|hash| owner.name.strip_suffix(hash)).and_then(|name| name.strip_suffix('-'));
        return &*owner.kind == Kind::ReplicaSet.name() && deployment == Some(&object.name.name);
    }
    *owner.kind == *object.kind.name() && owner.name == object.name.name
}

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
