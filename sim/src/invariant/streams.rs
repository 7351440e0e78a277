//! I7: byte-exact streams.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use proxy_core::host::Instant;
use proxy_core::telemetry::{Event, Reason, TraceId};

use super::disturbances::BREAKING;
use super::flows::{Connection, End};
use super::truth::Enrolled;
use super::{Checker, Finding, Quiescence, World};
use crate::record::{AppEvent, Ending, FlowId, Observation, ObservationKind, Tally, WireFact};

/// Causes proxies have told, by what joins them to a connection.
#[derive(Default)]
pub(super) struct ByteExact {
    /// The client's end of a captured connection, to its trace.
    traces: BTreeMap<SocketAddr, TraceId>,
    /// Traces that ended for another reason than both sides being done.
    causes_by_trace: BTreeMap<TraceId, Instant>,
    /// Clients refused before there was a trace.
    /// Ends of connections of which a fault changed bytes. Nobody can catch that in plaintext.
    corrupted: BTreeSet<SocketAddr>,
    causes_by_client: BTreeMap<SocketAddr, Instant>,
    /// When causes nobody asked for were last let go.
    cleared: Instant,
}

/// How long a cause waits for the connection it explains: its ends close within a round trip or a timeout. What no application
/// opened is never asked for.
const CAUSE_KEPT: Duration = Duration::from_secs(120);

impl Checker for ByteExact {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        match &observation.kind {
            ObservationKind::Wire(WireFact::Corrupted { source, destination }) => {
                self.corrupted.extend([*source, *destination]);
            }
            ObservationKind::Proxy { event, .. } => self.note(observation.at, event),
            ObservationKind::App(AppEvent::Closed { connection: id, .. }) => {
                let Some(connection) = world.flows.connection(*id) else { return };
                if let (Some(client), Some(server)) = (connection.client_end, connection.server_end) {
                    let at = observation.at;
                    if self.is_corrupted(connection) {
                        return;
                    }
                    compare(at, *id, connection, "client to server", &client, &server, findings);
                    compare(at, *id, connection, "server to client", &server, &client, findings);
                    half_close(world, at, *id, connection, &client, &server, findings);
                    half_close(world, at, *id, connection, &server, &client, findings);
                    self.explain(world, at, *id, connection, &client, &server, findings);
                }
                if connection.is_over()
                    && let Some(local) = connection.local
                {
                    if let Some(trace) = self.traces.remove(&local) {
                        self.causes_by_trace.remove(&trace);
                    }
                    self.causes_by_client.remove(&local);
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, world: &World, at: Instant, end: &Quiescence, findings: &mut Vec<Finding>) {
        if !end.at_rest {
            return;
        }
        // One end finished its direction and went; the other was never told, and waits to this day.
        for (id, connection) in world.flows.open() {
            let over = connection.client_end.or(connection.server_end);
            let Some(over) = over.filter(|over| over.finished.is_some() && over.at + world.deltas.half_close <= at)
            else {
                continue;
            };
            if may_be_untold(world, at, connection) {
                continue;
            }
            findings.push(
                Finding::new(format!("{} and {} wait for each other.", connection.client, connection.intended))
                    .because(connection.dialled, format!("flow {id}: {} dialled {}", connection.client, connection.to))
                    .because(over.finished.unwrap_or(over.at), "one end finished its direction".to_owned())
                    .because(over.at, format!("it ended: {:?}", over.ending))
                    .because(at, "the other has not seen any end yet".to_owned()),
            );
        }
    }
}

impl ByteExact {
    /// Whether a fault changed bytes of the connection where they travel in plaintext, under the client's own address or the
    /// one the server sees. A tunnel's addresses are neither: what a fault does there must be caught.
    fn is_corrupted(&self, connection: &Connection) -> bool {
        let seen = connection.server.as_ref().map(|server| server.peer);
        [connection.local, seen].into_iter().flatten().any(|end| self.corrupted.contains(&end))
    }

    fn note(&mut self, at: Instant, event: &Event) {
        if self.cleared + CAUSE_KEPT <= at {
            self.cleared = at;
            self.causes_by_trace.retain(|_, since| *since + CAUSE_KEPT > at);
            self.causes_by_client.retain(|_, since| *since + CAUSE_KEPT > at);
        }
        match event {
            Event::Opened { connection, .. } => {
                self.traces.insert(connection.source, connection.trace);
            }
            Event::Closed { connection, reason, .. } if *reason != Reason::Completed => {
                self.causes_by_trace.insert(connection.trace, at);
            }
            Event::Refused { source, trace, .. } => {
                self.causes_by_client.insert(*source, at);
                self.causes_by_trace.extend(trace.map(|trace| (trace, at)));
            }
            _ => {}
        }
    }

    /// A close that was not asked for by either end needs someone who says why.
    #[allow(clippy::too_many_arguments, reason = "the two ends of one connection and where to tell")]
    fn explain(
        &self,
        world: &World,
        at: Instant,
        id: FlowId,
        connection: &Connection,
        client: &End,
        server: &End,
        findings: &mut Vec<Finding>,
    ) {
        let surprised = |end: &End| matches!(end.ending, Ending::ResetByPeer | Ending::ClosedByPeer);
        let causing = |end: &End| matches!(end.ending, Ending::ClosedByUs | Ending::TimedOut | Ending::Killed);
        let unexplained = surprised(client) && !causing(server) || surprised(server) && !causing(client);
        if !unexplained {
            return;
        }
        let told = connection.local.is_some_and(|local| {
            self.causes_by_client.contains_key(&local)
                || self.traces.get(&local).is_some_and(|trace| self.causes_by_trace.contains_key(trace))
        });
        let pods = [Some(&connection.client), connection.server.as_ref().map(|server| &server.pod)];
        let moved = pods.into_iter().flatten().any(|pod| {
            world.truth.enrolled(&pod.uid, connection.dialled) == Enrolled::Changing
                || world
                    .truth
                    .now()
                    .is_none_or(|cluster| !cluster.pods().any(|now| now.meta.uid == pod.uid && now.is_healthy()))
        });
        let uids: Vec<&str> = [Some(&connection.client), connection.server.as_ref().map(|server| &server.pod)]
            .into_iter()
            .flatten()
            .map(|pod| &*pod.uid)
            .collect();
        let broken = world.disturbances.any(&BREAKING, &uids, connection.dialled);
        if !told && !moved && !broken {
            findings.push(
                Finding::new(format!("{} loses a connection and nobody can say why.", connection.client))
                    .because(connection.dialled, format!("flow {id}: {} dialled {}", connection.client, connection.to))
                    .because(client.at, format!("client end: {:?}", client.ending))
                    .because(server.at, format!("server end: {:?}", server.ending))
                    .because(at, "no proxy recorded a reason".to_owned()),
            );
        }
    }
}

/// Whether a fault may have swallowed an end's last word: keepalive makes up for it, in its own time.
fn may_be_untold(world: &World, at: Instant, connection: &Connection) -> bool {
    let server = connection.server.as_ref().map(|server| &*server.pod.uid);
    let ends: Vec<&str> = [Some(&*connection.client.uid), server].into_iter().flatten().collect();
    let healed = world.disturbances.healed().unwrap_or(Instant::START);
    at < healed + world.deltas.keepalive && world.disturbances.any(&BREAKING, &ends, connection.dialled)
}

/// The end of one direction must arrive while the other is still usable.
fn half_close(
    world: &World,
    at: Instant,
    id: FlowId,
    connection: &Connection,
    writer: &End,
    reader: &End,
    findings: &mut Vec<Finding>,
) {
    let Some(finished) = writer.finished else { return };
    let waited_in_vain = reader.waiting && !reader.read_to_end && reader.received.bytes == writer.sent.bytes;
    let late = waited_in_vain && reader.at >= finished + world.deltas.half_close;
    if late && !may_be_untold(world, at, connection) {
        findings.push(
            Finding::new(format!("{} and {} wait for each other.", connection.client, connection.intended))
                .because(connection.dialled, format!("flow {id}: {} dialled {}", connection.client, connection.to))
                .because(finished, "one end finished its direction".to_owned())
                .because(
                    at,
                    format!("the other had read all bytes and never saw the end; it ended: {:?}", reader.ending),
                ),
        );
    }
}

/// What one end read must be a prefix of what the other wrote, and all of it when both finished and it read to the end. An
/// end that closed before it saw the other's end has missed nothing it waited for: HTTP/2's last words often go unread.
fn compare(
    at: Instant,
    id: FlowId,
    connection: &Connection,
    direction: &str,
    writer: &End,
    reader: &End,
    findings: &mut Vec<Finding>,
) {
    let Tally { bytes: sent, hash: sent_hash } = writer.sent;
    let Tally { bytes: read, hash: read_hash } = reader.received;
    let clean = writer.ending == Ending::Finished && reader.ending == Ending::Finished && reader.read_to_end;
    let wrong = if let Some(offset) = reader.first_wrong_byte {
        format!("byte {offset} is not the one that was sent")
    } else if read > sent {
        format!("{read} bytes read of {sent} sent")
    } else if read == sent && read_hash != sent_hash {
        format!("{read} bytes read, and they are not those that were sent")
    } else if clean && read != sent {
        format!("{read} bytes read of {sent} sent, and both ends closed in good order")
    } else {
        return;
    };
    findings.push(
        Finding::new(format!("Data between {} and {} is damaged.", connection.client, connection.intended))
            .because(connection.dialled, format!("flow {id}: {} dialled {}", connection.client, connection.to))
            .because(at, format!("{direction}: {wrong}")),
    );
}
