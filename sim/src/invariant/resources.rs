//! I13: bounded resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::host::Instant;
use proxy_core::telemetry::{ConnectionId, Event, Reporter, TunnelEvent};

use super::disturbances::BREAKING;
use super::{Checker, Finding, Quiescence, World};
use crate::record::{Observation, ObservationKind};

/// What one node's proxy holds, by its own events.
#[derive(Default)]
struct Held {
    connections: BTreeMap<ConnectionId, Connection>,
    outbound_sockets: i64,
    inbound_sockets: i64,
    inbound_tunnels: i64,
}

struct Connection {
    opened: Instant,
    name: String,
    /// From a waypoint, which keeps its connections for more requests.
    relayed: bool,
}

/// By node.
#[derive(Default)]
pub(super) struct Bounded {
    nodes: BTreeMap<Arc<str>, Held>,
}

impl Checker for Bounded {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        if let ObservationKind::ProxyLife { proxy, running: false, .. } = &observation.kind {
            // A process that is gone holds nothing.
            self.nodes.remove(proxy);
            return;
        }
        let ObservationKind::Proxy { node, event } = &observation.kind else { return };
        let held = self.nodes.entry(node.clone()).or_default();
        match event {
            Event::Opened { at, connection } => {
                let name = format!("{} to {}", connection.source, connection.original_destination);
                let relayed = connection.reporter == Reporter::Destination
                    && world.truth.waypoint_at(connection.source.ip(), *at).is_some();
                held.connections.insert(connection.id, Connection { opened: *at, name, relayed });
            }
            Event::Closed { at, connection, .. } => {
                let opened = held.connections.remove(&connection.id);
                findings.extend(opened.is_none().then(|| {
                    Finding::new("A connection is counted twice, or closed without having been opened.")
                        .because(*at, format!("{:?} at the ztunnel of {node}", connection.id))
                }));
            }
            Event::SocketOpened { reporter } => *held.sockets(*reporter) += 1,
            Event::SocketClosed { reporter } => *held.sockets(*reporter) -= 1,
            Event::Tunnel(TunnelEvent::Opened { reporter: Reporter::Destination, .. }) => held.inbound_tunnels += 1,
            Event::Tunnel(TunnelEvent::Closed { reporter: Reporter::Destination, .. }) => held.inbound_tunnels -= 1,
            _ => {}
        }
    }

    fn finish(&mut self, world: &World, at: Instant, end: &Quiescence, findings: &mut Vec<Finding>) {
        let open = world.flows.open().count() as i64;
        if !end.at_rest || open > 0 {
            return;
        }
        for (node, held) in &self.nodes {
            let mut finding = Finding::new("A long-lived mesh would run out of memory or descriptors.");
            let kept = world.flows.holds_relayed();
            // Who lost a peer without a word notices by keepalive. Until then what was open during the fault may stay so.
            let healed = world.disturbances.healed().unwrap_or(Instant::START);
            let silent = |opened: Instant| {
                at < healed + world.deltas.keepalive && world.disturbances.any(&BREAKING, &[], opened)
            };
            if held.connections.values().any(|one| silent(one.opened)) {
                continue;
            }
            for Connection { opened, name, .. } in held.connections.values().filter(|one| !(kept && one.relayed)) {
                finding =
                    finding.because(*opened, format!("{name} was opened at the ztunnel of {node} and never closed"));
            }
            if held.outbound_sockets != 0 {
                finding =
                    finding.because(at, format!("{} outbound sockets still open at {node}", held.outbound_sockets));
            }
            // Tunnels stay pooled; their sockets are open by design.
            let inbound = held.inbound_sockets - held.inbound_tunnels;
            if inbound != 0 {
                finding = finding.because(at, format!("{inbound} inbound sockets beside tunnels still open at {node}"));
            }
            if !finding.evidence.is_empty() {
                findings.push(finding.because(at, "no application holds a connection any more".to_owned()));
            }
        }
    }
}

impl Held {
    fn sockets(&mut self, reporter: Reporter) -> &mut i64 {
        match reporter {
            Reporter::Source => &mut self.outbound_sockets,
            Reporter::Destination | Reporter::Waypoint => &mut self.inbound_sockets,
        }
    }
}
