//! I15: no loops.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::host::Instant;
use proxy_core::telemetry::{Event, Reporter, TraceId, TunnelEvent};
use proxy_core::ztunnel::HBONE_PORT;

use super::{Checker, Finding, World};
use crate::record::{AppEvent, FlowEnd, Observation, ObservationKind, WireFact};

/// First pass of a trace through a role, and tunnels open now.
#[derive(Default)]
pub(super) struct NoLoops {
    passed: BTreeMap<(TraceId, Reporter), (Instant, Arc<str>)>,
    tunnels: BTreeSet<SocketAddr>,
    /// Where applications say their connections begin.
    applications: BTreeSet<SocketAddr>,
}

impl Checker for NoLoops {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
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
            ObservationKind::App(AppEvent::Connected { local, .. } | AppEvent::HboneConnected { local }) => {
                self.applications.insert(*local);
            }
            ObservationKind::App(AppEvent::Closed { connection, end: FlowEnd::Client, .. }) => {
                if let Some(local) = world.flows.connection(*connection).and_then(|connection| connection.local) {
                    self.applications.remove(&local);
                }
            }
            ObservationKind::Proxy { node, event: Event::Opened { connection, .. } } => {
                let speaks_hbone = connection.original_destination.port() == HBONE_PORT;
                let captured = connection.reporter == Reporter::Source && speaks_hbone;
                if captured && !self.applications.contains(&connection.source) {
                    findings.push(Finding::new("A proxy would talk to itself and never be done.").because(
                        at,
                        format!(
                            "the ztunnel of {node} took a connection from {} to {} for an application's, and no \
                             application made it",
                            connection.source, connection.original_destination
                        ),
                    ));
                }
                if connection.reporter == Reporter::Source && self.tunnels.contains(&connection.source) {
                    findings.push(Finding::new("A tunnel is carried inside another of the same kind.").because(
                        at,
                        format!("the ztunnel of {node} took the tunnel from {} for an application", connection.source),
                    ));
                }
                // A client outside the mesh makes up its traces, and may use one twice.
                let outbound = (connection.trace, Reporter::Source);
                if connection.reporter == Reporter::Destination && !self.passed.contains_key(&outbound) {
                    return;
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
            ObservationKind::Proxy { event: Event::Closed { connection, .. }, .. } => {
                // A trace is one connection long; its outbound end closes last or nearly so.
                let outbound = (connection.trace, Reporter::Source);
                if connection.reporter == Reporter::Source {
                    self.passed.remove(&outbound);
                }
                // A client outside the mesh has no outbound end.
                if connection.reporter == Reporter::Source || !self.passed.contains_key(&outbound) {
                    self.passed.remove(&(connection.trace, Reporter::Destination));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proxy_core::telemetry::{ConnectionId, ConnectionInfo, ConnectionSecurity, Hop, Reason};

    use super::*;
    use crate::invariant::Deltas;

    fn observe(checker: &mut NoLoops, event: Event) -> usize {
        let world = World::new(Deltas::default());
        let kind = ObservationKind::Proxy { node: "n".into(), event };
        let mut findings = Vec::new();
        checker.observe(&world, &Observation { at: Instant::START, kind }, &mut findings);
        findings.len()
    }

    fn pass(reporter: Reporter) -> Arc<ConnectionInfo> {
        let end: SocketAddr = "10.0.0.1:80".parse().expect("an address");
        Arc::new(ConnectionInfo {
            id: ConnectionId(1),
            trace: TraceId([1; 16]),
            reporter,
            local_workload: None,
            source: end,
            source_workload: None,
            source_identity: None,
            original_destination: end,
            destination: None,
            authority: None,
            destination_workload: None,
            destination_service: None,
            destination_service_name: None,
            hop: Hop::Plain,
            security: ConnectionSecurity::Unknown,
        })
    }

    fn opened(reporter: Reporter) -> Event {
        Event::Opened { at: Instant::START, connection: pass(reporter) }
    }

    fn closed(reporter: Reporter) -> Event {
        Event::Closed {
            at: Instant::START,
            connection: pass(reporter),
            sent: 0,
            received: 0,
            duration: std::time::Duration::ZERO,
            reason: Reason::Completed,
            error: None,
        }
    }

    #[test]
    fn connections_from_outside_the_mesh_are_forgotten_when_they_end() {
        let mut checker = NoLoops::default();
        assert_eq!(observe(&mut checker, opened(Reporter::Destination)), 0);
        assert_eq!(observe(&mut checker, closed(Reporter::Destination)), 0);
        assert!(checker.passed.is_empty());
    }

    #[test]
    fn a_client_outside_the_mesh_may_use_a_trace_twice() {
        let mut checker = NoLoops::default();
        assert_eq!(observe(&mut checker, opened(Reporter::Destination)), 0);
        assert_eq!(observe(&mut checker, opened(Reporter::Destination)), 0);
    }

    #[test]
    fn a_second_pass_is_noticed_while_the_outbound_end_is_open() {
        let mut checker = NoLoops::default();
        assert_eq!(observe(&mut checker, opened(Reporter::Source)), 0);
        assert_eq!(observe(&mut checker, opened(Reporter::Destination)), 0);
        assert_eq!(observe(&mut checker, closed(Reporter::Destination)), 0);
        assert_eq!(observe(&mut checker, opened(Reporter::Destination)), 1);
        observe(&mut checker, closed(Reporter::Source));
        assert!(checker.passed.is_empty());
    }
}
