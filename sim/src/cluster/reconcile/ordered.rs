//! StatefulSets: numbered pods, one at a time.

use std::sync::Arc;

use proxy_core::host::Instant;

use super::pod_meta;
use crate::cluster::object::ObjectName;
use crate::cluster::pod::{Pod, PodPhase};
use crate::cluster::store::Cluster;
use crate::cluster::workloads::{Controller, ControllerSpec};

/// The label that tells the pods of different templates apart.
const REVISION_LABEL: &str = "controller-revision-hash";

impl Cluster {
    /// One step of a StatefulSet: missing pods in order, superfluous ones from the end, outdated ones from the end; each
    /// after the one before is ready (or gone), unless `Parallel`.
    pub(super) fn keep_ordered(&mut self, controller: &Controller, pods: &[Arc<Pod>], at: Instant) -> bool {
        let ControllerSpec::StatefulSet { replicas, parallel, first_ordinal, .. } = controller.spec else {
            return false;
        };
        let name = |ordinal: u32| {
            ObjectName::new(controller.meta.namespace(), &format!("{}-{ordinal}", controller.meta.name()))
        };
        let end = first_ordinal.saturating_add(replicas);
        let mut changed = false;
        for ordinal in first_ordinal..end {
            let key = name(ordinal);
            // A pod of that name may still be going, or belong to somebody else.
            let healthy = match self.pods.get(&key) {
                Some(pod) => pod.is_healthy(),
                None => {
                    self.create_numbered(controller, &key, ordinal, at);
                    changed = true;
                    false
                }
            };
            if !healthy && !parallel {
                return changed;
            }
        }
        let mut superfluous: Vec<(u32, &Arc<Pod>)> = pods
            .iter()
            .filter_map(|pod| Some((ordinal(controller, pod)?, pod)))
            .filter(|(ordinal, _)| !(first_ordinal..end).contains(ordinal))
            .collect();
        superfluous.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
        for (_, pod) in &superfluous {
            if pod.phase != PodPhase::Terminating {
                self.terminate(&pod.meta.key, None, at);
                changed = true;
            }
            if !parallel {
                return changed;
            }
        }
        for ordinal in (first_ordinal..end).rev() {
            let Some(pod) = self.pods.get(&name(ordinal)).cloned() else { return changed };
            if pod.phase == PodPhase::Terminating {
                return changed;
            }
            if pod.meta.label(REVISION_LABEL) != Some(&controller.template_hash) {
                self.terminate(&pod.meta.key, None, at);
                return true;
            }
            if !pod.is_healthy() {
                return changed;
            }
        }
        changed
    }

    fn create_numbered(&mut self, controller: &Controller, key: &ObjectName, ordinal: u32, at: Instant) {
        let labels = [
            (REVISION_LABEL, controller.template_hash.clone()),
            ("statefulset.kubernetes.io/pod-name", key.name.clone()),
            ("apps.kubernetes.io/pod-index", ordinal.to_string().into()),
        ];
        self.create_pod(pod_meta(controller, &key.name, labels), controller.template.spec.clone(), at);
    }
}

fn ordinal(controller: &Controller, pod: &Pod) -> Option<u32> {
    pod.meta.name().strip_prefix(controller.meta.name())?.strip_prefix('-')?.parse().ok()
}
