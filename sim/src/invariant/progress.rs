//! I8: isolation of progress.
//!
//! Once a client is connected, its first bytes reach a server within Δ_prog, whatever other streams, destinations,
//! identities or pushes do: a shared tunnel, window, queue or lock must not let one stream hold up another. Judged where
//! nothing else may hold it up: no fault touches either end, policy allows it in every state that may be in force, and every
//! endpoint is healthy.

use std::collections::{BTreeMap, VecDeque};

use proxy_core::host::Instant;

use super::disturbances::DELAYING;
use super::reference::{Attempt, Judgement, endpoints, is_judged_at_a_waypoint, judge};
use super::truth::Enrolled;
use super::{Checker, Finding, Quiescence, World};
use crate::record::{AppEvent, FlowId, Observation, ObservationKind};

#[derive(Default)]
pub(super) struct Progress {
    /// Flows whose first bytes no server has read: since when, and on which connection.
    waiting: BTreeMap<FlowId, (Instant, FlowId)>,
    /// The same in order of time; may name flows that wait no more.
    due: VecDeque<(Instant, FlowId)>,
}

impl Progress {
    fn begin(&mut self, at: Instant, flow: FlowId, connection: FlowId) {
        self.waiting.insert(flow, (at, connection));
        self.due.push_back((at, flow));
    }
}

impl Checker for Progress {
    fn advance(&mut self, world: &World, at: Instant, findings: &mut Vec<Finding>) {
        while let Some(&(since, flow)) = self.due.front().filter(|(since, _)| *since + world.deltas.progress <= at) {
            self.due.pop_front();
            if let Some((_, connection)) = self.waiting.remove(&flow) {
                findings.extend(judge_stalled(world, at, since, flow, connection));
            }
        }
    }

    fn observe(&mut self, _world: &World, observation: &Observation, _findings: &mut Vec<Finding>) {
        let ObservationKind::App(event) = &observation.kind else { return };
        match event {
            AppEvent::Connected { flow, .. } => self.begin(observation.at, *flow, *flow),
            AppEvent::Reused { flow, connection, .. } => self.begin(observation.at, *flow, *connection),
            AppEvent::Accepted { flow, .. }
            | AppEvent::Answered { flow, .. }
            | AppEvent::Unanswered { flow, .. }
            | AppEvent::DialFailed { flow, .. }
            | AppEvent::Closed { connection: flow, .. } => {
                self.waiting.remove(flow);
            }
            AppEvent::Dialled { .. }
            | AppEvent::Requested { .. }
            | AppEvent::Resolved { .. }
            | AppEvent::HboneConnected { .. } => {}
        }
    }

    fn finish(&mut self, world: &World, at: Instant, _end: &Quiescence, findings: &mut Vec<Finding>) {
        self.advance(world, at, findings);
    }
}

fn judge_stalled(world: &World, at: Instant, since: Instant, flow: FlowId, connection: FlowId) -> Option<Finding> {
    let connection = world.flows.connection(connection)?;
    let states = world.truth.in_force(since, world.deltas.policy);
    let client = world.truth.pod(&connection.client.uid)?;
    let identity = match world.truth.enrolled(&connection.client.uid, connection.dialled) {
        Enrolled::Yes => Some(world.truth.identity(client)),
        Enrolled::No => None,
        Enrolled::Changing => return None,
    };
    let mut pods: Vec<&str> = vec![&connection.client.uid];
    for (_, cluster) in states {
        if is_judged_at_a_waypoint(cluster, connection.to.ip()) {
            return None;
        }
        let serving = endpoints(cluster, connection.to)?;
        if serving.is_empty() {
            return None;
        }
        for endpoint in serving {
            let server = world.truth.pod(&endpoint.pod)?;
            let current =
                cluster.pod(&server.meta.key).filter(|now| now.is_healthy() && now.meta.uid == endpoint.pod)?;
            let source = client.addresses.iter().copied().find(|own| own.is_ipv4() == connection.to.is_ipv4())?;
            let address = current.addresses.iter().copied().find(|own| own.is_ipv4() == source.is_ipv4())?;
            let attempt =
                Attempt { server: current, address, port: endpoint.port, source, identity: identity.as_deref() };
            if judge(cluster, &attempt) != Judgement::Allow {
                return None;
            }
            pods.push(&server.meta.uid);
        }
    }
    // What a fault delayed may be late for a while after it, too.
    let slack = world.deltas.wait.as_nanos() as u64;
    let touched = world.disturbances.any(&DELAYING, &pods, Instant::from_nanos(since.as_nanos().saturating_sub(slack)));
    if touched || !pods.iter().skip(1).all(|pod| world.truth.enrolled(pod, since) != Enrolled::Changing) {
        return None;
    }
    let finding = Finding::new(format!(
        "{} is connected and cannot get a byte to {}: something else holds it up.",
        connection.client, connection.intended
    ));
    let finding = finding
        .because(connection.dialled, format!("{} dialled {}", connection.client, connection.to))
        .because(since, format!("flow {flow} began on an open connection"))
        .because(at, format!("no server has read its first byte after {} s", world.deltas.progress.as_secs()));
    Some(Finding { at: Some(since), ..finding })
}
