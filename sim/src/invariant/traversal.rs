//! I4: waypoint traversal.
//!
//! Who a server sees as its client tells whether a waypoint stood between: a waypoint's address, or the client's own. Which
//! waypoint should have stood there is read from labels. An attempt is judged where every state of the cluster since Δ_bind
//! before its connection was dialled says the same, and every earlier one that some proxy may still have held then.

use super::flows::Connection;
use super::reference::{Bound, bound};
use super::truth::Enrolled;
use super::{Checker, Finding, World};
use crate::cluster::Pod;
use crate::record::{AppEvent, Observation, ObservationKind};

/// The label that names an instance's Gateway.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

pub(super) struct WaypointTraversal;

impl Checker for WaypointTraversal {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        let ObservationKind::App(AppEvent::Accepted { flow, connection, server, peer, .. }) = &observation.kind else {
            return;
        };
        let at = observation.at;
        let through = world.truth.waypoint_at(peer.ip(), at);
        let carrier = match world.flows.request(*flow) {
            Some((_, carrier)) => carrier,
            // A raw stream, or a later copy of a request that is answered already.
            None if through.is_some() && flow != connection => return,
            None => match world.flows.connection(*connection) {
                Some(carrier) => carrier,
                None => return,
            },
        };
        let client = &carrier.client;
        if server.uid == client.uid && client.addresses.contains(&carrier.to.ip()) {
            return; // A pod's calls to its own address never leave it.
        }
        let Some(wanted) = wanted(world, carrier) else { return };
        let wrong = match (&wanted, through) {
            (Bound::To(gateway), Some(pod)) if is_of(pod, &gateway.namespace, &gateway.name) => return,
            (Bound::To(gateway), Some(pod)) => {
                format!("it came through {}, though it had to come through {gateway}", pod.meta.key)
            }
            (Bound::To(gateway), None) => format!("it came directly, though it had to come through {gateway}"),
            (Bound::Nobody, Some(pod)) => format!("it came through {}, which nobody asked for", pod.meta.key),
            (Bound::Nobody, None) | (Bound::Unclear, _) => return,
        };
        let consequence = match wanted {
            Bound::To(_) => format!("{client} reaches {server} past the waypoint that should judge and route it."),
            _ => format!("{client} is judged by a waypoint that has nothing to do with {server}."),
        };
        findings.push(
            Finding::new(consequence)
                .because(carrier.dialled, format!("{client} dialled {} ({})", carrier.to, carrier.intended))
                .because(at, format!("{server} took flow {flow} from {peer}: {wrong}")),
        );
    }
}

/// What every state that may have been in force at the dial says, if they agree and the client was in the mesh or out of it throughout.
fn wanted(world: &World, carrier: &Connection) -> Option<Bound> {
    let since = carrier.dialled.as_nanos().saturating_sub(world.deltas.binding.as_nanos() as u64);
    let since = proxy_core::host::Instant::from_nanos(since);
    match world.truth.enrolled(&carrier.client.uid, since) {
        Enrolled::Yes => {}
        // Nothing takes what it sends to a waypoint.
        Enrolled::No => return Some(Bound::Nobody),
        Enrolled::Changing => return None,
    }
    let states = world.truth.believed(carrier.dialled, world.deltas.binding);
    let mut states = states.iter().map(|(_, cluster)| bound(cluster, carrier.to.ip()));
    let first = states.next()?;
    states.all(|other| other == first).then_some(first)
}

fn is_of(pod: &Pod, namespace: &str, gateway: &str) -> bool {
    pod.meta.namespace() == namespace && pod.meta.label(GATEWAY_NAME) == Some(gateway)
}
