//! ReplicaSets and Jobs: a number of equal pods.

use std::cmp::Reverse;
use std::sync::Arc;

use proxy_core::host::Instant;

use super::pod_meta;
use crate::cluster::object::Kind;
use crate::cluster::pod::{Pod, PodPhase};
use crate::cluster::store::Cluster;
use crate::cluster::workloads::Controller;

impl Cluster {
    /// Makes missing pods and deletes superfluous ones. A pod whose labels no longer match is let go: it lives on without
    /// an owner, and is replaced.
    pub(super) fn keep_replicas(&mut self, controller: &Controller, pods: &[Arc<Pod>], at: Instant) -> bool {
        let wanted = controller.replicas().unwrap_or_default() as usize;
        let mut changed = false;
        let mut living: Vec<&Arc<Pod>> = Vec::new();
        for pod in pods.iter().filter(|pod| pod.phase != PodPhase::Terminating) {
            if controller.selector.matches(&pod.meta.labels) {
                living.push(pod);
            } else {
                let mut orphan = Pod::clone(pod);
                orphan.meta.owner = None;
                self.put_pod(orphan);
                changed = true;
            }
        }
        for _ in living.len()..wanted {
            let name = self.next_pod_name(controller);
            let job = (controller.kind() == Kind::Job).then(|| controller.meta.key.name.clone());
            let labels =
                job.into_iter().flat_map(|name| [("batch.kubernetes.io/job-name", name.clone()), ("job-name", name)]);
            self.create_pod(pod_meta(controller, &name, labels), controller.template.spec.clone(), at);
            changed = true;
        }
        if living.len() > wanted {
            // As Kubernetes: without a node first, then not started, then not ready, then the youngest.
            living.sort_by_key(|pod| (pod.node.is_some(), pod.phase, pod.ready, Reverse(pod.meta.order)));
            for pod in &living[..living.len() - wanted] {
                self.terminate(&pod.meta.key, None, at);
            }
            changed = true;
        }
        changed
    }
}
