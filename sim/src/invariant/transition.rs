//! I2: policy, in transition.
//!
//! While the truth moves, some proxies enforce the old and some the new, and each may hold parts of either. What all states
//! that may be in force deny must not be admitted, what all of them allow must not be refused, in whatever order, pieces and
//! repetitions the configuration comes. The same judgement as I1's, for attempts that more than one state may decide.

use super::policy::{Phase, observe};
use super::{Checker, Finding, World};
use crate::record::Observation;

pub(super) struct PolicyInTransition;

impl Checker for PolicyInTransition {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        observe(world, observation, Phase::Transition, findings);
    }
}
