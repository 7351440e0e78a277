//! I5: identity truth.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::host::Instant;
use proxy_core::telemetry::{Event, Reporter, TunnelEvent};

use super::{Checker, Finding, World};
use crate::cluster::ObjectName;
use crate::record::{AppEvent, Observation, ObservationKind};

/// What a tunnel said about itself when it was opened, at the client's side.
struct Carried {
    identity: String,
    workload: Option<Arc<str>>,
}

/// By node and the tunnel's own end.
#[derive(Default)]
pub(super) struct IdentityTruth {
    tunnels: BTreeMap<(Arc<str>, SocketAddr), Carried>,
}

impl Checker for IdentityTruth {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        let at = observation.at;
        match &observation.kind {
            ObservationKind::ProxyLife { proxy, running: false, .. } => {
                self.tunnels.retain(|(of, _), _| of != proxy);
            }
            ObservationKind::Proxy { node, event } => match event {
                Event::Tunnel(TunnelEvent::Opened {
                    reporter,
                    local,
                    peer,
                    local_identity,
                    peer_identity,
                    local_workload,
                    ..
                }) => {
                    let (end, identity) = match reporter {
                        Reporter::Source => (*local, local_identity.to_string()),
                        Reporter::Destination | Reporter::Waypoint => (*peer, peer_identity.to_string()),
                    };
                    proven(world, at, node, end, &identity, findings);
                    if *reporter == Reporter::Source {
                        let carried = Carried { identity, workload: local_workload.clone() };
                        self.tunnels.insert((node.clone(), *local), carried);
                    }
                }
                Event::Tunnel(TunnelEvent::Closed { local, .. }) => {
                    self.tunnels.remove(&(node.clone(), *local));
                }
                Event::Tunnel(TunnelEvent::StreamOpened { reporter: Reporter::Source, local, .. }) => {
                    // The tunnel must still belong to the pod it was opened for: its address may have a new owner.
                    if let Some(carried) = self.tunnels.get(&(node.clone(), *local)) {
                        still_its_own(world, at, node, *local, carried, findings);
                    }
                }
                Event::Opened { connection, .. } => {
                    let Some(identity) = &connection.source_identity else { return };
                    proven(world, at, node, connection.source, &identity.to_string(), findings);
                }
                _ => {}
            },
            ObservationKind::App(AppEvent::Accepted { flow, connection, server, peer, .. }) if flow == connection => {
                let Some(client) = world.flows.connection(*connection).map(|connection| &connection.client) else {
                    return;
                };
                // A server behind a waypoint sees the waypoint: whether it should is another invariant's question.
                let through = world.truth.waypoint_at(peer.ip(), at).is_some();
                if !client.addresses.contains(&peer.ip()) && client.uid != server.uid && !through {
                    findings.push(
                        Finding::new(format!("{server} takes {client} for someone else.")).because(
                            at,
                            format!("{server} sees {} as the source of bytes that {client} sent", peer.ip()),
                        ),
                    );
                }
            }
            _ => {}
        }
    }
}

/// Whoever has the address of `end` now must have this identity.
fn proven(world: &World, at: Instant, node: &str, end: SocketAddr, identity: &str, findings: &mut Vec<Finding>) {
    let mut wrong = None;
    for pod in world.truth.owners(end.ip(), at) {
        let truth = world.truth.identity(pod);
        if truth == identity {
            return;
        }
        wrong = Some((pod.meta.key.clone(), truth));
    }
    let Some((pod, truth)) = wrong else { return };
    findings.push(
        Finding::new(format!("{pod} acts as {identity}: policy judges the wrong one."))
            .because(at, format!("at the ztunnel of {node}, {end} proved {identity}"))
            .because(at, format!("{} belongs to {pod}, whose identity is {truth}", end.ip())),
    );
}

/// A stream goes out on a tunnel: the pod at the tunnel's own end must be the one the tunnel was opened for.
fn still_its_own(
    world: &World,
    at: Instant,
    node: &str,
    local: SocketAddr,
    carried: &Carried,
    findings: &mut Vec<Finding>,
) {
    proven(world, at, node, local, &carried.identity, findings);
    let Some(expected) = carried.workload.as_deref().and_then(pod_of) else { return };
    let mut owners = world.truth.owners(local.ip(), at).peekable();
    if owners.peek().is_some() && owners.all(|pod| pod.meta.key != expected) {
        findings.push(
            Finding::new(format!("Bytes of another pod travel under the tunnel of {expected}."))
                .because(at, format!("the ztunnel of {node} opened a stream on the tunnel from {local}")),
        );
    }
}

/// Namespace and name of the pod in a workload uid, `cluster//Pod/namespace/name`.
fn pod_of(uid: &str) -> Option<ObjectName> {
    let mut parts = uid.split('/');
    let (_, _, kind) = (parts.next()?, parts.next()?, parts.next()?);
    let name = ObjectName::new(parts.next()?, parts.next()?);
    (kind == "Pod").then_some(name)
}
