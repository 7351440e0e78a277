//! [`Oversight`]: feeds the invariants, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proxy_core::host::Instant;

use crate::cluster::Cluster;
use crate::invariant::{Checkers, Deltas, InvariantId, Quiescence};
use crate::record::{Observation, ObservationKind, Violation};

/// The invariants, and what has to be known to tell when configuration has arrived everywhere.
pub(super) struct Oversight {
    checkers: Checkers,
    /// The truth, and its number counted from 1: the version proxies acknowledge.
    cluster: Option<Arc<Cluster>>,
    version: u64,
    acknowledged: BTreeMap<Arc<str>, u64>,
    told: u64,
}

impl Oversight {
    pub(super) fn new(switched_off: &BTreeMap<String, String>) -> Self {
        let off: BTreeSet<InvariantId> = switched_off.keys().filter_map(|id| id.parse().ok()).collect();
        Oversight {
            checkers: Checkers::new(Deltas::default(), &off),
            cluster: None,
            version: 0,
            acknowledged: BTreeMap::new(),
            told: 0,
        }
    }

    pub(super) fn observe(&mut self, observation: &Observation) {
        match &observation.kind {
            ObservationKind::Cluster(cluster) => {
                self.version += 1;
                self.cluster = Some(cluster.clone());
                self.checkers.cluster(observation.at, cluster.clone());
            }
            ObservationKind::ConfigAcked { node, version } => {
                self.acknowledged.insert(node.clone(), *version);
            }
            _ => {}
        }
        self.checkers.observe(observation);
        if matches!(observation.kind, ObservationKind::Cluster(_) | ObservationKind::ConfigAcked { .. }) {
            self.tell_settled(observation.at);
        }
    }

    fn tell_settled(&mut self, at: Instant) {
        let Some(cluster) = &self.cluster else { return };
        let arrived = |name: &str| self.acknowledged.get(name).is_some_and(|version| *version >= self.version);
        if self.told < self.version && cluster.nodes().all(|node| arrived(node.meta.name())) {
            self.told = self.version;
            self.checkers.settled(at);
        }
    }

    pub(super) fn finish(self, at: Instant, end: &Quiescence) -> Vec<Violation> {
        self.checkers.finish(at, end)
    }
}
