//! I15: no loops.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::host::Instant;
use proxy_core::telemetry::{Event, Reporter, TraceId, TunnelEvent};

use super::{Checker, Finding, World};
use crate::record::{Observation, ObservationKind, WireFact};

/// First pass of a trace through a role, and tunnels open now.
#[derive(Default)]
pub(super) struct NoLoops {
    passed: BTreeMap<(TraceId, Reporter), (Instant, Arc<str>)>,
    tunnels: BTreeSet<SocketAddr>,
}

impl Checker for NoLoops {
    fn observe(&mut self, _world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        let at = observation.at;
        match &observation.kind {
            ObservationKind::Wire(WireFact::Recaptured { source, destination, port }) => {
                findings.push(Finding::new("A proxy would talk to itself until it runs out of sockets.").because(
                    at,
                    format!("a proxy's own packet {source} to {destination} was captured to port {port}"),
                ));
            }
            ObservationKind::Proxy { event: Event::Tunnel(tunnel), .. } => match tunnel {
                TunnelEvent::Opened { reporter: Reporter::Source, local, .. } => {
                    self.tunnels.insert(*local);
                }
                TunnelEvent::Closed { reporter: Reporter::Source, local, .. } => {
                    self.tunnels.remove(local);
                }
                _ => {}
            },
            ObservationKind::Proxy { node, event: Event::Opened { connection, .. } } => {
                if connection.reporter == Reporter::Source && self.tunnels.contains(&connection.source) {
                    findings.push(Finding::new("A tunnel is carried inside another of the same kind.").because(
                        at,
                        format!("the ztunnel of {node} took the tunnel from {} for an application", connection.source),
                    ));
                }
                let key = (connection.trace, connection.reporter);
                match self.passed.get(&key) {
                    Some((first, before)) => findings.push(
                        Finding::new("A flow goes round in circles.")
                            .because(*first, format!("it passed the ztunnel of {before}"))
                            .because(at, format!("it passed the ztunnel of {node} again in the same role")),
                    ),
                    None => {
                        self.passed.insert(key, (at, node.clone()));
                    }
                }
            }
            // A trace is one connection long; its outbound end closes last or nearly so.
            ObservationKind::Proxy { event: Event::Closed { connection, .. }, .. }
                if connection.reporter == Reporter::Source =>
            {
                self.passed.remove(&(connection.trace, Reporter::Source));
                self.passed.remove(&(connection.trace, Reporter::Destination));
            }
            _ => {}
        }
    }
}
