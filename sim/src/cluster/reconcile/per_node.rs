//! DaemonSets: a pod on each node.

use std::sync::Arc;

use proxy_core::host::Instant;

use super::pod_meta;
use crate::cluster::pod::{Pod, PodPhase, PodSpec};
use crate::cluster::store::{Cluster, Node};
use crate::cluster::workloads::Controller;

/// The label that tells the pods of different templates apart.
const REVISION_LABEL: &str = "controller-revision-hash";

impl Cluster {
    /// One step of a DaemonSet: a pod on each node its template fits, none elsewhere; outdated pods are replaced one at a
    /// time, the old one going before the new one comes.
    pub(super) fn keep_per_node(&mut self, controller: &Controller, pods: &[Arc<Pod>], at: Instant) -> bool {
        let spec = &controller.template.spec;
        let mut nodes: Vec<Arc<Node>> = self.nodes.values().cloned().collect();
        nodes.sort_by_key(|node| node.index);
        let fits = |node: &Node| {
            spec.node_name.as_ref().is_none_or(|name| *name == node.meta.key.name)
                && spec.node_selector.iter().all(|(key, value)| node.meta.labels.get(key) == Some(value))
        };
        let mut changed = false;
        let mut settled = true;
        let mut outdated = None;
        for node in nodes.iter().filter(|node| fits(node)) {
            let mut here = pods.iter().filter(|pod| pod.spec.node_name.as_ref() == Some(&node.meta.key.name));
            match here.next() {
                None => {
                    self.create_on(controller, &node.meta.key.name, at);
                    changed = true;
                    settled = false;
                }
                Some(pod) => {
                    settled &= pod.is_healthy();
                    if pod.meta.label(REVISION_LABEL) != Some(&controller.template_hash) {
                        outdated = outdated.or(Some(pod.meta.key.clone()));
                    }
                }
            }
        }
        for pod in pods.iter().filter(|pod| pod.phase != PodPhase::Terminating) {
            let node = pod.spec.node_name.as_ref().and_then(|name| self.nodes.get(name));
            if !node.is_some_and(|node| fits(node)) {
                self.terminate(&pod.meta.key, None, at);
                changed = true;
            }
        }
        if let Some(outdated) = outdated.filter(|_| settled) {
            self.terminate(&outdated, None, at);
            changed = true;
        }
        changed
    }

    fn create_on(&mut self, controller: &Controller, node: &Arc<str>, at: Instant) {
        let name = self.next_pod_name(controller);
        let meta = pod_meta(controller, &name, [(REVISION_LABEL, controller.template_hash.clone())]);
        let spec = PodSpec { node_name: Some(node.clone()), ..(*controller.template.spec).clone() };
        self.create_pod(meta, Arc::new(spec), at);
    }
}
