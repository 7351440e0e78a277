//! [`Truth`]: the cluster over time, as its YAML and its agent say.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;

use crate::cluster::{Cluster, ObjectName, Pod};
use crate::record::{Observation, ObservationKind};

/// The cluster over time. Owns its history; knows nothing of any proxy.
#[derive(Default)]
pub struct Truth {
    /// Each state and when it began. Never empty once the run has begun; ascending.
    states: Vec<(Instant, Arc<Cluster>)>,
    /// When every proxy had acknowledged the state of then. Ascending.
    settled: Vec<Instant>,
    /// By pod uid: facts of enrollment and when they began. Ascending.
    enrolled: BTreeMap<Arc<str>, Vec<(Instant, bool)>>,
    /// By address: pods that had it, until when.
    owners: BTreeMap<IpAddr, Vec<Ownership>>,
    /// By pod uid: the pod as last seen.
    pods: BTreeMap<Arc<str>, Arc<Pod>>,
}

struct Ownership {
    pod: Arc<str>,
    until: Option<Instant>,
}

/// Whether a pod was in the mesh over some span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enrolled {
    /// All the time.
    Yes,
    /// Never.
    No,
    /// It changed.
    Changing,
}

impl Truth {
    pub(super) fn cluster(&mut self, at: Instant, cluster: Arc<Cluster>) {
        for pod in cluster.pods() {
            let known = self.pods.get(&pod.meta.uid);
            if known.is_some_and(|known| Arc::ptr_eq(known, pod)) {
                continue;
            }
            if known.is_none_or(|known| known.addresses != pod.addresses) && !pod.spec.host_network {
                for address in &pod.addresses {
                    let owners = self.owners.entry(*address).or_default();
                    let uid = pod.meta.uid.clone();
                    if !owners.iter().any(|owner| owner.pod == uid && owner.until.is_none()) {
                        owners.push(Ownership { pod: uid, until: None });
                    }
                }
            }
            self.pods.insert(pod.meta.uid.clone(), pod.clone());
        }
        // Pods that left: their addresses are nobody's from here on.
        if let Some((_, previous)) = self.states.last() {
            for pod in previous.pods() {
                let gone = cluster.pod(&pod.meta.key).is_none_or(|now| now.meta.uid != pod.meta.uid);
                for address in pod.addresses.iter().filter(|_| gone) {
                    for owner in self.owners.entry(*address).or_default() {
                        if owner.pod == pod.meta.uid && owner.until.is_none() {
                            owner.until = Some(at);
                        }
                    }
                }
            }
        }
        match self.states.last_mut() {
            Some((since, state)) if *since == at => *state = cluster,
            _ => self.states.push((at, cluster)),
        }
    }

    pub(super) fn settled(&mut self, at: Instant) {
        self.settled.push(at);
    }

    pub(super) fn observe(&mut self, observation: &Observation) {
        if let ObservationKind::Enrollment { pod, enrolled } = &observation.kind {
            self.enrolled.entry(pod.clone()).or_default().push((observation.at, *enrolled));
        }
    }

    /// The cluster as it is now.
    pub(super) fn now(&self) -> Option<&Arc<Cluster>> {
        self.states.last().map(|(_, cluster)| cluster)
    }

    /// When the current state was acknowledged by all, if it was.
    pub(super) fn settled_since(&self) -> Option<Instant> {
        let (since, _) = self.states.last()?;
        self.settled.last().copied().filter(|settled| settled >= since)
    }

    /// Every state that may have been in force somewhere between `from` and now: those since the state that was last
    /// acknowledged by all `slack` before `from`.
    pub(super) fn in_force(&self, from: Instant, slack: Duration) -> &[(Instant, Arc<Cluster>)] {
        let acknowledged = self.settled.iter().rev().find(|settled| **settled + slack <= from);
        let Some(acknowledged) = acknowledged else { return &self.states };
        let first = self.states.partition_point(|(since, _)| since <= acknowledged).saturating_sub(1);
        &self.states[first..]
    }

    /// Every state of the span from `from` to now.
    pub(super) fn during(&self, from: Instant) -> &[(Instant, Arc<Cluster>)] {
        let first = self.states.partition_point(|(since, _)| *since <= from).saturating_sub(1);
        &self.states[first..]
    }

    /// Every state since `slack` before `from`, and every earlier one that some proxy may still have held at `from`.
    pub(super) fn believed(&self, from: Instant, slack: Duration) -> &[(Instant, Arc<Cluster>)] {
        let slack_ns = u64::try_from(slack.as_nanos()).unwrap_or(u64::MAX);
        let recent = self.during(Instant::from_nanos(from.as_nanos().saturating_sub(slack_ns)));
        let held = self.in_force(from, slack);
        if held.len() > recent.len() { held } else { recent }
    }

    /// Whether this pod was in the mesh from `from` to now.
    pub(super) fn enrolled(&self, pod_uid: &str, from: Instant) -> Enrolled {
        let facts = self.enrolled.get(pod_uid).map(Vec::as_slice).unwrap_or_default();
        let first = facts.partition_point(|(since, _)| *since <= from);
        let at_first = first.checked_sub(1).is_some_and(|index| facts[index].1);
        match facts[first..].iter().all(|(_, enrolled)| *enrolled == at_first) {
            true if at_first => Enrolled::Yes,
            true => Enrolled::No,
            false => Enrolled::Changing,
        }
    }

    /// Pods that had `address` at some instant from `from` to now.
    pub(super) fn owners(&self, address: IpAddr, from: Instant) -> impl Iterator<Item = &Arc<Pod>> {
        self.owners
            .get(&address)
            .into_iter()
            .flatten()
            .filter(move |owner| owner.until.is_none_or(|until| until >= from))
            .filter_map(|owner| self.pods.get(&owner.pod))
    }

    /// The waypoint's instance that had `address` at some instant from `from` to now, if one had.
    pub(super) fn waypoint_at(&self, address: IpAddr, from: Instant) -> Option<&Arc<Pod>> {
        self.owners(address, from).find(|pod| pod.is_waypoint())
    }

    /// A pod by uid, as last seen.
    pub(super) fn pod(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.pods.get(uid)
    }

    /// Pods of this namespace and name at some instant from `from` to now.
    pub(super) fn pods_named<'a>(&'a self, name: &'a ObjectName, from: Instant) -> impl Iterator<Item = &'a Arc<Pod>> {
        self.during(from).iter().filter_map(move |(_, cluster)| cluster.pod(name))
    }

    /// The SPIFFE id this pod must prove.
    pub(super) fn identity(&self, pod: &Pod) -> String {
        let trust_domain = self.now().map_or("cluster.local", |cluster| &cluster.config().trust_domain);
        format!("spiffe://{trust_domain}/ns/{}/sa/{}", pod.meta.namespace(), pod.spec.service_account)
    }
}
