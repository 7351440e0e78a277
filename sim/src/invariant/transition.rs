//! I2: policy, in transition.
//!
//! While the truth moves, some proxies enforce the old and some the new, and each may hold parts of either. What all states
//! that may be in force deny must not be admitted, what all of them allow must not be refused, in whatever order, pieces and
//! repetitions the configuration comes. The same judgement as I1's, for attempts that more than one state may decide.

use proxy_core::telemetry::{Event, Reporter};

use super::policy::{Phase, Taken, judge_admitted, judge_refused, judge_relayed};
use super::{Checker, Finding, World};
use crate::record::{AppEvent, Observation, ObservationKind};

pub(super) struct PolicyInTransition;

impl Checker for PolicyInTransition {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        match &observation.kind {
            ObservationKind::App(AppEvent::Accepted { flow, server, local, peer, request: Some(_), .. })
                if world.truth.waypoint_at(peer.ip(), observation.at).is_some() =>
            {
                if let Some(waypoint) = world.truth.waypoint_at(peer.ip(), observation.at) {
                    let taken = Taken { server, at: *local, waypoint };
                    judge_relayed(world, observation.at, *flow, &taken, Phase::Transition, findings);
                }
            }
            ObservationKind::App(AppEvent::Accepted { flow, connection, .. }) if flow == connection => {
                if let Some(connection) = world.flows.connection(*connection) {
                    judge_admitted(world, observation.at, connection, Phase::Transition, findings);
                }
            }
            ObservationKind::Proxy { node, event: Event::Judged { connection, verdict, .. } }
                if !verdict.is_allowed() && connection.reporter == Reporter::Destination =>
            {
                judge_refused(world, observation.at, node, connection, Phase::Transition, findings);
            }
            _ => {}
        }
    }
}
