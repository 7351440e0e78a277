//! Which node a pod goes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::host::Instant;

use super::diagnostic::did_you_mean;
use super::ipam;
use super::object::ObjectName;
use super::pod::{Pod, PodEventKind, PodPhase};
use super::store::{Cluster, Node};

/// Pods of one owner on one node.
type Spread = BTreeMap<(Arc<str>, Arc<str>), u32>;

impl Cluster {
    /// Gives each pod without a node the one with fewest pods of the same owner, then fewest pods, then the oldest, among
    /// those that fit: pinned by name, labelled as selected, with an address left. Pods that fit nowhere wait. True if any
    /// pod got a node.
    pub(super) fn schedule(&mut self, at: Instant) -> bool {
        let mut waiting: Vec<Arc<Pod>> =
            self.pods.values().filter(|pod| pod.node.is_none() && pod.phase == PodPhase::Pending).cloned().collect();
        if waiting.is_empty() {
            return false;
        }
        waiting.sort_by_key(|pod| pod.meta.order);
        let mut nodes: Vec<Arc<Node>> = self.nodes.values().cloned().collect();
        nodes.sort_by_key(|node| node.index);
        let mut spread = Spread::new();
        for pod in self.pods.values() {
            if let (Some(owner), Some(node)) = (&pod.meta.owner, &pod.node) {
                *spread.entry((owner.uid.clone(), node.clone())).or_default() += 1;
            }
        }
        let mut scheduled = false;
        for pod in waiting {
            scheduled |= self.place(&pod, &nodes, &mut spread, at);
        }
        scheduled
    }

    fn place(&mut self, pod: &Arc<Pod>, nodes: &[Arc<Node>], spread: &mut Spread, at: Instant) -> bool {
        let owner = pod.meta.owner.as_ref().map(|owner| owner.uid.clone());
        let siblings = |spread: &Spread, node: &Arc<str>| {
            let key = owner.clone().map(|owner| (owner, node.clone()));
            key.and_then(|key| spread.get(&key)).copied().unwrap_or_default()
        };
        let best = nodes.iter().filter(|node| self.fits(pod, node)).min_by_key(|node| {
            let pods = self.pools.get(&node.meta.key.name).map_or(0, |pool| pool.pods);
            (siblings(spread, &node.meta.key.name), pods, node.index)
        });
        let Some(node) = best else { return false };
        let name = node.meta.key.name.clone();
        let Some(pool) = self.pools.get_mut(&name).map(Arc::make_mut) else { return false };
        let mut pod = Pod::clone(pod);
        pod.addresses = match pod.spec.host_network {
            true => node.addresses.clone(),
            false => match pool.take(self.config.address_reuse) {
                Some(host) => ipam::pod_addresses(&self.config, node.index, host),
                None => return false,
            },
        };
        pool.pods += 1;
        if let Some(owner) = owner {
            *spread.entry((owner, name.clone())).or_default() += 1;
        }
        pod.node = Some(name);
        pod.times.scheduled = Some(at);
        pod.times.started = Some(at + self.config.start_delay);
        let pod = self.put_pod(pod);
        self.emit(at, PodEventKind::Scheduled, &pod);
        true
    }

    fn fits(&self, pod: &Pod, node: &Node) -> bool {
        let name = &node.meta.key.name;
        pod.spec.node_name.as_ref().is_none_or(|wanted| wanted == name)
            && pod.spec.node_selector.iter().all(|(key, value)| node.meta.labels.get(key) == Some(value))
            && (pod.spec.host_network || self.pools.get(name).is_some_and(|pool| pool.has_room()))
    }

    /// Why a pod fits no node, in words; nothing if one fits.
    pub fn misfit(&self, pod: &Pod) -> Option<String> {
        if self.nodes.values().any(|node| self.fits(pod, node)) {
            return None;
        }
        if let Some(wanted) = &pod.spec.node_name
            && !self.nodes.values().any(|node| node.meta.key.name == *wanted)
        {
            let hint = did_you_mean(wanted, self.nodes.values().map(|node| node.meta.name()));
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            return Some(format!("there is no node `{wanted}`{hint}"));
        }
        let selected = |node: &&Arc<Node>| {
            pod.spec.node_selector.iter().all(|(key, value)| node.meta.labels.get(key) == Some(value))
        };
        let pinned = |node: &&Arc<Node>| pod.spec.node_name.as_ref().is_none_or(|wanted| *wanted == node.meta.key.name);
        if !self.nodes.values().filter(pinned).any(|node| selected(&node)) {
            let labels: Vec<String> =
                pod.spec.node_selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let which = pod.spec.node_name.as_ref().map_or("no node has".to_owned(), |name| format!("{name} lacks"));
            return Some(format!("{which} the labels of its nodeSelector, {}", labels.join(", ")));
        }
        Some("no node that it may use has a pod address left".to_owned())
    }

    /// Pods that fit no node, by name.
    pub fn unscheduled(&self) -> impl Iterator<Item = &ObjectName> {
        self.pods.values().filter(|pod| pod.node.is_none()).map(|pod| &pod.meta.key)
    }
}
