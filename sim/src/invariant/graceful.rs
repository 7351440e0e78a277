//! I9: graceful change.
//!
//! While a proxy is replaced in good order no new connection fails and no exchange shorter than the drain period is cut; and
//! no stream is opened on a tunnel whose other end has said it takes no more. Judged for flows one of whose ends the change
//! touches, where no other fault does, policy allows and there is somebody to serve.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::host::Instant;
use proxy_core::telemetry::{Event, Reporter, TunnelEvent};

use super::disturbances::DELAYING;
use super::reference::{endpoints, is_judged_at_a_waypoint};
use super::{Checker, Finding, World};
use crate::record::{AppEvent, Ending, FaultKind, FlowId, Observation, ObservationKind};

/// A tunnel by its proxy and both its ends.
type Tunnel = (Arc<str>, SocketAddr, SocketAddr);

#[derive(Default)]
pub(super) struct GracefulChange {
    /// Tunnels whose other end takes no new streams, and since when.
    closing: BTreeMap<Tunnel, Instant>,
    /// When each flow that has no answer yet began, and its connection.
    begun: BTreeMap<FlowId, (Instant, FlowId)>,
}

impl Checker for GracefulChange {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        let at = observation.at;
        match &observation.kind {
            ObservationKind::Proxy { node, event: Event::Tunnel(tunnel) } => self.tunnel(at, node, tunnel, findings),
            ObservationKind::App(event) => self.app(world, at, event, findings),
            _ => {}
        }
    }
}

impl GracefulChange {
    fn tunnel(&mut self, at: Instant, node: &Arc<str>, event: &TunnelEvent, findings: &mut Vec<Finding>) {
        match event {
            TunnelEvent::GoAway { local, peer, .. } => {
                self.closing.insert((node.clone(), *local, *peer), at);
            }
            TunnelEvent::StreamOpened { reporter: Reporter::Source, local, peer, .. } => {
                let Some(since) = self.closing.get(&(node.clone(), *local, *peer)) else { return };
                findings.push(
                    Finding::new("A new stream goes where it will be refused, or cut when the drain ends.")
                        .because(*since, format!("{peer} told the ztunnel of {node} that it takes no new streams"))
                        .because(at, format!("it opened another on the tunnel from {local}")),
                );
            }
            TunnelEvent::Closed { local, peer, .. } => {
                self.closing.remove(&(node.clone(), *local, *peer));
            }
            _ => {}
        }
    }

    fn app(&mut self, world: &World, at: Instant, event: &AppEvent, findings: &mut Vec<Finding>) {
        match event {
            AppEvent::Dialled { flow, .. } => {
                self.begun.insert(*flow, (at, *flow));
            }
            AppEvent::Reused { flow, connection, .. } => {
                self.begun.insert(*flow, (at, *connection));
            }
            AppEvent::Answered { flow, .. } => {
                self.begun.remove(flow);
            }
            AppEvent::DialFailed { flow, error } => self.failed(world, at, *flow, &error.to_string(), findings),
            AppEvent::Unanswered { flow, ending: ending @ (Ending::ResetByPeer | Ending::ClosedByPeer) } => {
                let how = if *ending == Ending::ResetByPeer { "reset" } else { "closed" };
                self.failed(world, at, *flow, how, findings);
            }
            AppEvent::Unanswered { flow, .. } => {
                self.begun.remove(flow);
            }
            _ => {}
        }
    }

    fn failed(&mut self, world: &World, at: Instant, flow: FlowId, how: &str, findings: &mut Vec<Finding>) {
        let Some((began, connection)) = self.begun.remove(&flow) else { return };
        let Some(connection) = world.flows.connection(connection) else { return };
        let mut pods: Vec<&str> = vec![&connection.client.uid];
        let states = world.truth.in_force(began, world.deltas.policy);
        let served: Vec<_> = states.iter().map(|(_, cluster)| endpoints(cluster, connection.to)).collect();
        for endpoints in &served {
            let Some(endpoints) = endpoints.as_ref().filter(|endpoints| !endpoints.is_empty()) else { return };
            pods.extend(endpoints.iter().map(|endpoint| &*endpoint.pod));
        }
        let changes = world.disturbances.touching(&[FaultKind::Graceful], &pods, began);
        // What lasts longer than the drain may be cut at its end.
        let short = |from: Instant, to: Instant| {
            to == Instant::FAR_FUTURE || at.saturating_since(began) < to.saturating_since(from)
        };
        let Some(change) = changes.into_iter().find(|window| window.from <= at && short(window.from, window.to)) else {
            return;
        };
        let (reused, excused) =
            (began > connection.dialled, world.disturbances.any(&DELAYING, &pods, connection.dialled));
        // Only judged where one state decides, so that a refusal by policy is I1's.
        // A connection that is older than the change is a stream that lasts longer than the drain, whatever it carries.
        if excused || states.len() != 1 || reused && connection.dialled < change.from {
            return;
        }
        // Nor where a policy may refuse it at a waypoint, or refuse the waypoint.
        let judged_otherwise = states.iter().any(|(_, cluster)| is_judged_at_a_waypoint(cluster, connection.to.ip()));
        if judged_otherwise || !super::policy::allows(world, connection) {
            return;
        }
        findings.push(
            Finding::new(format!(
                "A client of {} notices a change that should have been graceful.",
                connection.intended
            ))
            .because(change.from, change.fact.what.to_string())
            .because(began, format!("flow {flow}: {} asked {}", connection.client, connection.intended))
            .because(at, format!("it failed: {how}")),
        );
    }
}
