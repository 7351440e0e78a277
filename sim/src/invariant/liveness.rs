//! I12: liveness, no crash.

use proxy_core::host::Instant;

use super::{Checker, Finding, Quiescence, World};
use crate::record::Observation;

pub(super) struct Liveness;

impl Checker for Liveness {
    fn observe(&mut self, _world: &World, _observation: &Observation, _findings: &mut Vec<Finding>) {}

    fn finish(&mut self, world: &World, at: Instant, end: &Quiescence, findings: &mut Vec<Finding>) {
        for panic in &end.panics {
            findings.push(Finding::new("A proxy or application would have crashed.").because(at, panic.clone()));
        }
        if let Some(stall) = &end.stall {
            findings.push(Finding::new("Something waits for ever or spins.").because(at, stall.clone()));
        }
        for (flow, pending) in world.flows.pending() {
            // A fault may have kept them waiting; the bound runs from when all was well again.
            let healed = world.disturbances.healed().unwrap_or(Instant::START);
            if pending.since.max(healed) + world.deltas.wait <= at {
                findings.push(
                    Finding::new(format!("{} waits for {} and is told nothing.", pending.client, pending.intended))
                        .because(pending.since, format!("flow {flow}: {} asked {}", pending.client, pending.intended))
                        .because(at, format!("no answer and no error within {} s", world.deltas.wait.as_secs())),
                );
            }
        }
    }
}
