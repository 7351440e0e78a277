//! The controllers: from what is wanted to pods.
//!
//! - [`gateway`]: what each waypoint consists of.
//! - [`deployment`]: moves between ReplicaSets.
//! - [`replicas`]: keeps a number of equal pods (ReplicaSets and Jobs).
//! - [`ordered`]: keeps numbered pods (StatefulSets).
//! - [`per_node`]: keeps a pod on each node (DaemonSets).

mod deployment;
mod gateway;
mod ordered;
mod per_node;
mod replicas;

pub(crate) use gateway::is_of_this_revision;
pub use gateway::{GATEWAY_NAME_LABEL, gateway_of};

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::host::Instant;

use super::diagnostic::Source;
use super::object::{Kind, Labels, Meta, ObjectName, OwnerReference};
use super::pod::Pod;
use super::store::{Cluster, builtin};
use super::workloads::{Controller, pod_name};

/// The pods of each owner, by its uid, in order of name.
type Owned = BTreeMap<Arc<str>, Vec<Arc<Pod>>>;

impl Cluster {
    /// Lets every controller act until none has anything to do at this moment. What has to wait for pods is done when they
    /// change.
    pub(super) fn reconcile(&mut self, at: Instant) {
        // Each pass moves replica counts one way only; the bound is a guard, not a budget.
        const PASSES_MAX: usize = 1000;
        for _ in 0..PASSES_MAX {
            let mut changed = self.reconcile_gateways(at);
            changed |= self.reconcile_deployments(at);
            changed |= self.reconcile_pods(at);
            changed |= self.schedule(at);
            if !changed {
                break;
            }
        }
        self.dirty = None;
        self.finish_namespaces();
    }

    fn reconcile_pods(&mut self, at: Instant) -> bool {
        let mut owned = Owned::new();
        for pod in self.pods.values() {
            if let Some(owner) = &pod.meta.owner {
                owned.entry(owner.uid.clone()).or_default().push(pod.clone());
            }
        }
        let controllers: Vec<Arc<Controller>> = self.controllers.values().cloned().collect();
        let mut changed = false;
        for controller in controllers {
            let pods = owned.get(&controller.meta.uid).map(Vec::as_slice).unwrap_or_default();
            changed |= match controller.kind() {
                Kind::ReplicaSet | Kind::Job => self.keep_replicas(&controller, pods, at),
                Kind::StatefulSet => self.keep_ordered(&controller, pods, at),
                Kind::DaemonSet => self.keep_per_node(&controller, pods, at),
                _ => false,
            };
        }
        changed
    }

    /// Deleted namespaces go when their last pod has gone.
    fn finish_namespaces(&mut self) {
        let done: Vec<Arc<str>> = self
            .namespaces
            .values()
            .filter(|namespace| namespace.deleting)
            .map(|namespace| namespace.meta.key.name.clone())
            .filter(|name| !self.pods.keys().any(|key| key.namespace == *name))
            .collect();
        for name in done {
            self.namespaces.remove_mut(&name);
            self.revision += 1;
        }
    }

    /// A name no pod of this controller ever had.
    fn next_pod_name(&mut self, controller: &Controller) -> String {
        let key = &controller.meta.key;
        let mut serial = self.serials.get(key).copied().unwrap_or_default();
        let name = loop {
            let name = pod_name(self.config.seed, &key.namespace, &key.name, serial);
            serial += 1;
            if !self.pods.contains_key(&ObjectName::new(&key.namespace, &name)) {
                break name;
            }
        };
        self.serials.insert_mut(key.clone(), serial);
        name
    }
}

/// Who owns what this controller makes.
fn owner(controller: &Controller) -> OwnerReference {
    OwnerReference {
        kind: controller.kind().name().into(),
        name: controller.meta.key.name.clone(),
        uid: controller.meta.uid.clone(),
    }
}

/// The meta of a new pod of a controller; `extra` labels are added to the template's.
fn pod_meta(controller: &Controller, name: &str, extra: impl IntoIterator<Item = (&'static str, Arc<str>)>) -> Meta {
    let mut labels: Labels = controller.template.labels.clone();
    labels.extend(extra.into_iter().map(|(key, value)| (key.into(), value)));
    let mut meta = builtin(ObjectName::new(controller.meta.namespace(), name), labels);
    meta.annotations = controller.template.annotations.clone();
    meta.owner = Some(owner(controller));
    meta.source = Source::clone(&controller.meta.source);
    meta
}

#[cfg(test)]
mod tests;
