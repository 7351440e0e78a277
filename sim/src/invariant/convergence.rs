//! I11: convergence.
//!
//! Once changes have stopped and faults are over, within Δ_conv everything that follows the truth equals what follows from
//! it: each proxy's resources are those a proxy started now would be sent, each pod is in the mesh or out of it as its labels
//! say, and nobody still waits for anything. What differs is found by the mesh at the end of a run; this says it.

use proxy_core::host::Instant;

use super::{Checker, Finding, Quiescence, World};
use crate::record::Observation;

pub(super) struct Convergence;

impl Checker for Convergence {
    fn observe(&mut self, _world: &World, _observation: &Observation, _findings: &mut Vec<Finding>) {}

    fn finish(&mut self, world: &World, at: Instant, end: &Quiescence, findings: &mut Vec<Finding>) {
        if end.diverged.is_empty() {
            return;
        }
        let consequence = "What a proxy does depends on what it has been through, not on what is written.";
        let mut finding = Finding::new(consequence);
        if let Some(healed) = world.disturbances.healed().filter(|healed| *healed <= at) {
            finding = finding.because(healed, "the last fault was over");
        }
        for difference in &end.diverged {
            finding = finding.because(at, difference.clone());
        }
        findings.push(finding);
    }
}
