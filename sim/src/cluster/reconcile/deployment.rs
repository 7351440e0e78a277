//! Deployments: a ReplicaSet for each template, and the way from one to the next.

use std::sync::Arc;

use proxy_core::host::Instant;

use super::owner;
use crate::cluster::object::{Kind, ObjectName, ObjectReference};
use crate::cluster::pod::{PodPhase, PodTemplate};
use crate::cluster::store::{Cluster, builtin};
use crate::cluster::workloads::{Controller, ControllerSpec, Strategy};

/// The label that tells the pods of a Deployment's templates apart.
const HASH_LABEL: &str = "pod-template-hash";

/// Emptied ReplicaSets a Deployment keeps, as Kubernetes does by default.
const HISTORY_MAX: usize = 10;

/// One ReplicaSet of a Deployment and its pods.
struct Revision {
    controller: Arc<Controller>,
    wanted: u32,
    /// Ready pods that are not being deleted.
    available: u32,
    /// Pods of any state, terminating too.
    pods: u32,
}

impl Cluster {
    pub(super) fn reconcile_deployments(&mut self, at: Instant) -> bool {
        let deployments: Vec<Arc<Controller>> =
            self.controllers.values().filter(|controller| controller.kind() == Kind::Deployment).cloned().collect();
        let mut changed = false;
        for deployment in deployments {
            if let ControllerSpec::Deployment { replicas, strategy } = deployment.spec {
                changed |= self.roll(&deployment, replicas, strategy, at);
            }
        }
        changed
    }

    fn roll(&mut self, deployment: &Controller, replicas: u32, strategy: Strategy, at: Instant) -> bool {
        let (new, mut old) = self.revisions(deployment);
        let old_wanted: u32 = old.iter().map(|revision| revision.wanted).sum();
        let Some(new) = new else {
            let first = match strategy {
                Strategy::Recreate if old.iter().any(|revision| revision.pods > 0) => 0,
                Strategy::Recreate => replicas,
                Strategy::RollingUpdate { max_surge, .. } => {
                    replicas.min(replicas.saturating_add(max_surge.of_rounded_up(replicas)).saturating_sub(old_wanted))
                }
            };
            self.create_revision(deployment, first, at);
            return true;
        };
        let changed = match strategy {
            Strategy::Recreate => {
                let mut changed = false;
                for revision in old.iter().filter(|revision| revision.wanted > 0) {
                    changed |= self.set_replicas(&revision.controller, 0, at);
                }
                let clear = old.iter().all(|revision| revision.pods == 0);
                changed | (clear && self.set_replicas(&new.controller, replicas, at))
            }
            Strategy::RollingUpdate { max_surge, max_unavailable } => {
                let surge = max_surge.of_rounded_up(replicas);
                let unavailable = match max_unavailable.of_rounded_down(replicas) {
                    // Otherwise nothing could ever move.
                    0 if surge == 0 => 1,
                    unavailable => unavailable.min(replicas),
                };
                let room = replicas.saturating_add(surge).saturating_sub(old_wanted + new.wanted);
                let wanted = if new.wanted > replicas { replicas } else { replicas.min(new.wanted + room) };
                let grown = self.set_replicas(&new.controller, wanted, at);
                grown | self.shrink_old(&new, &mut old, replicas.saturating_sub(unavailable), at)
            }
        };
        changed | self.forget_history(&old)
    }

    /// Takes pods from old revisions, unavailable ones first, as long as enough pods stay available.
    fn shrink_old(&mut self, new: &Revision, old: &mut [Revision], available_min: u32, at: Instant) -> bool {
        let all: u32 = old.iter().map(|revision| revision.wanted).sum::<u32>() + new.wanted;
        let new_unavailable = new.wanted.saturating_sub(new.available);
        let mut allowed = all.saturating_sub(available_min).saturating_sub(new_unavailable);
        let mut changed = false;
        for revision in old.iter_mut() {
            let unavailable = revision.wanted.saturating_sub(revision.available);
            let cut = unavailable.min(allowed);
            changed |= cut > 0 && self.set_replicas(&revision.controller, revision.wanted - cut, at);
            revision.wanted -= cut;
            allowed -= cut;
        }
        let available: u32 =
            new.available + old.iter().map(|revision| revision.available.min(revision.wanted)).sum::<u32>();
        let mut allowed = available.saturating_sub(available_min).min(allowed);
        for revision in old.iter_mut() {
            let cut = revision.wanted.min(allowed);
            changed |= cut > 0 && self.set_replicas(&revision.controller, revision.wanted - cut, at);
            revision.wanted -= cut;
            allowed -= cut;
        }
        changed
    }

    /// The ReplicaSet of the current template, if it exists, and the others, oldest first.
    fn revisions(&self, deployment: &Controller) -> (Option<Revision>, Vec<Revision>) {
        let mut old: Vec<Revision> = self
            .controllers
            .values()
            .filter(|set| set.meta.owner.as_ref().is_some_and(|owner| owner.uid == deployment.meta.uid))
            .map(|set| self.tally(set))
            .collect();
        old.sort_by_key(|revision| revision.controller.meta.order);
        let current =
            |revision: &Revision| revision.controller.meta.label(HASH_LABEL) == Some(&deployment.template_hash);
        let new = old.iter().position(current).map(|index| old.remove(index));
        (new, old)
    }

    fn tally(&self, set: &Arc<Controller>) -> Revision {
        let mut revision =
            Revision { controller: set.clone(), wanted: set.replicas().unwrap_or_default(), available: 0, pods: 0 };
        let from = ObjectName { namespace: set.meta.key.namespace.clone(), name: prefix(&set.meta.key.name).into() };
        // Pods of a ReplicaSet are named after it, so they are next to each other.
        let named = self.pods.range(from..).take_while(|(key, _)| {
            key.namespace == set.meta.key.namespace && key.name.starts_with(prefix(&set.meta.key.name))
        });
        for (_, pod) in named {
            if pod.meta.owner.as_ref().is_some_and(|owner| owner.uid == set.meta.uid) {
                revision.pods += 1;
                revision.available += u32::from(pod.phase == PodPhase::Running && pod.ready);
            }
        }
        revision
    }

    fn create_revision(&mut self, deployment: &Controller, replicas: u32, at: Instant) {
        let hash = deployment.template_hash.clone();
        let labelled = |labels: &crate::cluster::object::Labels| {
            let mut labels = labels.clone();
            labels.insert(HASH_LABEL.into(), hash.clone());
            labels
        };
        let template = PodTemplate { labels: labelled(&deployment.template.labels), ..(*deployment.template).clone() };
        let name = format!("{}-{hash}", deployment.meta.name());
        let mut meta = builtin(ObjectName::new(deployment.meta.namespace(), &name), template.labels.clone());
        meta.owner = Some(owner(deployment));
        meta.source = deployment.meta.source.clone();
        self.stamp(&mut meta, at);
        let mut selector = deployment.selector.clone();
        selector.labels = labelled(&selector.labels);
        let key = ObjectReference { kind: Kind::ReplicaSet, name: meta.key.clone() };
        let set = Controller::new(meta, ControllerSpec::ReplicaSet { replicas }, selector, Arc::new(template));
        self.controllers.insert_mut(key, Arc::new(set));
    }

    /// True if that changes anything.
    fn set_replicas(&mut self, set: &Controller, wanted: u32, at: Instant) -> bool {
        let key = ObjectReference { kind: Kind::ReplicaSet, name: set.meta.key.clone() };
        let Some(set) = self.controllers.get_mut(&key).filter(|set| set.replicas() != Some(wanted)) else {
            return false;
        };
        Arc::make_mut(set).spec = ControllerSpec::ReplicaSet { replicas: wanted };
        self.touch(at);
        true
    }

    fn forget_history(&mut self, old: &[Revision]) -> bool {
        let empty: Vec<&Revision> = old.iter().filter(|revision| revision.wanted == 0 && revision.pods == 0).collect();
        let excess = empty.len().saturating_sub(HISTORY_MAX);
        for revision in &empty[..excess] {
            let name = revision.controller.meta.key.clone();
            self.controllers.remove_mut(&ObjectReference { kind: Kind::ReplicaSet, name });
        }
        excess > 0
    }
}

/// What the names of a ReplicaSet's pods begin with: long names are cut.
fn prefix(set: &str) -> &str {
    set.get(..57).unwrap_or(set)
}
