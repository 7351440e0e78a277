//! [`Disturbances`]: which faults were in force when, and whom they touched.
//!
//! What a fault breaks is no violation. Checkers ask here before they blame anyone, as narrowly as they can: for the kinds
//! of faults that can break what they look at, and for the pods they look at.

use std::collections::BTreeMap;

use proxy_core::host::Instant;

use crate::record::{FaultFact, FaultKind, Observation, ObservationKind};

/// Kinds that break or stall streams.
pub(super) const BREAKING: [FaultKind; 2] = [FaultKind::Network, FaultKind::Process];
/// Kinds that may make something late.
pub(super) const DELAYING: [FaultKind; 6] = [
    FaultKind::Network,
    FaultKind::Nuisance,
    FaultKind::Process,
    FaultKind::Configuration,
    FaultKind::Authority,
    FaultKind::Clock,
];

/// The faults of a run so far.
#[derive(Default)]
pub(super) struct Disturbances {
    windows: BTreeMap<u64, Window>,
}

/// One fault.
pub(super) struct Window {
    pub(super) fact: FaultFact,
    pub(super) from: Instant,
    /// Far future while it is in force.
    pub(super) to: Instant,
}

impl Disturbances {
    pub(super) fn observe(&mut self, observation: &Observation) {
        let ObservationKind::Fault(fact) = &observation.kind else { return };
        if fact.begins {
            let window = Window { fact: fact.clone(), from: observation.at, to: Instant::FAR_FUTURE };
            self.windows.insert(fact.number, window);
        } else if let Some(window) = self.windows.get_mut(&fact.number) {
            window.to = observation.at;
        }
    }

    /// Faults of these kinds that touched one of these pods (all pods, if none is given) at some time since `from`.
    pub(super) fn touching<'a>(
        &'a self,
        kinds: &'a [FaultKind],
        pods: &'a [&str],
        from: Instant,
    ) -> impl Iterator<Item = &'a Window> {
        self.windows.values().filter(move |window| {
            let touches = window
                .fact
                .pods
                .as_ref()
                .is_none_or(|touched| pods.is_empty() || pods.iter().any(|pod| touched.contains(*pod)));
            kinds.contains(&window.fact.kind) && touches && window.to >= from
        })
    }

    /// Whether there is any such fault.
    pub(super) fn any(&self, kinds: &[FaultKind], pods: &[&str], from: Instant) -> bool {
        self.touching(kinds, pods, from).next().is_some()
    }

    /// Since when nothing has been wrong, if anything ever was; far future while something is.
    pub(super) fn healed(&self) -> Option<Instant> {
        let delaying = self.windows.values().filter(|window| DELAYING.contains(&window.fact.kind));
        delaying.map(|window| window.to).max()
    }
}
