//! [`Oversight`]: feeds the invariants, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

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
    /// By proxy.
    acknowledged: BTreeMap<Arc<str>, u64>,
    /// By node: its proxies, where there is or was another than the first.
    proxies: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    told: u64,
}

impl Oversight {
    pub(super) fn new(switched_off: &BTreeMap<String, String>, certificates: Option<Duration>) -> Self {
        let off: BTreeSet<InvariantId> = switched_off.keys().filter_map(|id| id.parse().ok()).collect();
        let deltas = Deltas::default();
        let deltas = certificates.map_or(deltas, |validity| deltas.with_certificates_of(validity));
        Oversight {
            checkers: Checkers::new(deltas, &off),
            cluster: None,
            version: 0,
            acknowledged: BTreeMap::new(),
            proxies: BTreeMap::new(),
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
            ObservationKind::ProxyLife { node, proxy, running } => {
                let proxies = self.proxies.entry(node.clone()).or_insert_with(|| BTreeSet::from([node.clone()]));
                if *running {
                    proxies.insert(proxy.clone());
                } else {
                    proxies.remove(proxy);
                    self.acknowledged.remove(proxy);
                }
            }
            _ => {}
        }
        self.checkers.observe(observation);
        let tells = matches!(
            observation.kind,
            ObservationKind::Cluster(_) | ObservationKind::ConfigAcked { .. } | ObservationKind::ProxyLife { .. }
        );
        if tells {
            self.tell_settled(observation.at);
        }
    }

    fn tell_settled(&mut self, at: Instant) {
        let Some(cluster) = &self.cluster else { return };
        let holds = |proxy: &str| self.acknowledged.get(proxy).is_some_and(|version| *version >= self.version);
        let arrived = |node: &str| match self.proxies.get(node) {
            Some(proxies) => proxies.iter().all(|proxy| holds(proxy)),
            None => holds(node),
        };
        if self.told < self.version && cluster.nodes().all(|node| arrived(node.meta.name())) {
            self.told = self.version;
            self.checkers.settled(at);
        }
    }

    /// Δ_conv.
    pub(super) fn convergence(&self) -> Duration {
        self.checkers.deltas().convergence
    }

    pub(super) fn finish(self, at: Instant, end: &Quiescence) -> Vec<Violation> {
        self.checkers.finish(at, end)
    }
}
