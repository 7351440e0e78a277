//! [`Flows`]: what is known of each connection between applications, from the applications' own words.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::host::Instant;

use super::truth::Truth;
use crate::cluster::Pod;
use crate::record::{AppEvent, AppPod, Ending, FlowEnd, FlowId, Observation, ObservationKind, ReceivedHead, Tally};

/// Connections not yet over at both ends, and requests not yet answered.
#[derive(Default)]
pub(super) struct Flows {
    connections: BTreeMap<FlowId, Connection>,
    pending: BTreeMap<FlowId, Pending>,
    /// Requests not yet answered, as their clients made them.
    requests: BTreeMap<FlowId, Request>,
    relayed: Relayed,
}

/// Connections of waypoints, at their servers' ends: they carry requests of anybody, and are named by the first of them
/// that came. A request that is tried again may give its name to several: they differ in the waypoint's end.
#[derive(Default)]
struct Relayed(BTreeMap<FlowId, BTreeSet<SocketAddr>>);

impl Relayed {
    fn opened(&mut self, name: FlowId, peer: SocketAddr) {
        self.0.entry(name).or_default().insert(peer);
    }

    /// One of this name is over; false if there is none.
    fn closed(&mut self, name: FlowId) -> bool {
        let Some(peers) = self.0.get_mut(&name) else { return false };
        peers.pop_first();
        if peers.is_empty() {
            self.0.remove(&name);
        }
        true
    }
}

/// One HTTP request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// As the client made it.
    pub(super) head: Arc<ReceivedHead>,
    /// The client's connection that carries it, once there is one.
    pub(super) connection: Option<FlowId>,
    /// When it was sent, or its connection was dialled.
    pub(super) since: Instant,
}

/// One connection, named by the first flow on it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) client: Arc<AppPod>,
    pub(super) to: SocketAddr,
    pub(super) intended: Arc<str>,
    pub(super) dialled: Instant,
    /// The client's own end, once connected.
    pub(super) local: Option<SocketAddr>,
    /// Who took it. A connection that only carries requests to a waypoint has nobody.
    pub(super) server: Option<Server>,
    pub(super) client_end: Option<End>,
    pub(super) server_end: Option<End>,
}

/// The accepting side.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) pod: Arc<AppPod>,
    pub(super) accepted: Instant,
    pub(super) local: SocketAddr,
    /// Who it sees as its client.
    pub(super) peer: SocketAddr,
    /// The waypoint's instance it came through.
    pub(super) through: Option<Arc<Pod>>,
}

/// How one side ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) at: Instant,
    pub(super) sent: Tally,
    pub(super) received: Tally,
    /// Whether the other end's end was read: who closes first need not wait for more.
    pub(super) read_to_end: bool,
    /// It was waiting for more bytes.
    pub(super) waiting: bool,
    /// When it finished its own direction, to read on.
    pub(super) finished: Option<Instant>,
    pub(super) ending: Ending,
    pub(super) first_wrong_byte: Option<u64>,
}

/// Someone waits for an answer.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) since: Instant,
    pub(super) client: Arc<AppPod>,
    pub(super) intended: Arc<str>,
}

impl Flows {
    pub(super) fn observe(&mut self, observation: &Observation, truth: &Truth) {
        let ObservationKind::App(event) = &observation.kind else { return };
        let at = observation.at;
        match event {
            AppEvent::Requested { flow, request } => {
                let request = Request { head: request.clone(), connection: None, since: at };
                self.requests.insert(*flow, request);
            }
            AppEvent::Dialled { flow, client, to, intended } => {
                if let Some(request) = self.requests.get_mut(flow) {
                    request.connection = Some(*flow);
                    request.since = at;
                }
                self.pending.insert(*flow, Pending { since: at, client: client.clone(), intended: intended.clone() });
                self.connections.insert(
                    *flow,
                    Connection {
                        client: client.clone(),
                        to: *to,
                        intended: intended.clone(),
                        dialled: at,
                        local: None,
                        server: None,
                        client_end: None,
                        server_end: None,
                    },
                );
            }
            AppEvent::Connected { flow, local, .. } => {
                if let Some(connection) = self.connections.get_mut(flow) {
                    connection.local = Some(*local);
                }
            }
            AppEvent::Reused { flow, connection, client, intended, .. } => {
                if let Some(request) = self.requests.get_mut(flow) {
                    request.connection = Some(*connection);
                    request.since = at;
                }
                self.pending.insert(*flow, Pending { since: at, client: client.clone(), intended: intended.clone() });
            }
            AppEvent::Accepted { connection, peer, request: Some(_), .. }
                if truth.waypoint_at(peer.ip(), at).is_some() =>
            {
                self.relayed.opened(*connection, *peer);
            }
            AppEvent::Accepted { connection, server, local, peer, .. } => {
                if let Some(connection) = self.connections.get_mut(connection) {
                    connection.server.get_or_insert_with(|| Server {
                        pod: server.clone(),
                        accepted: at,
                        local: *local,
                        peer: *peer,
                        through: truth.waypoint_at(peer.ip(), at).cloned(),
                    });
                }
            }
            AppEvent::DialFailed { flow, .. } | AppEvent::Answered { flow, .. } | AppEvent::Unanswered { flow, .. } => {
                self.pending.remove(flow);
            }
            AppEvent::Resolved { .. } | AppEvent::HboneConnected { .. } => {}
            // What a waypoint's connection carried is no client's bytes, and its end no client's end.
            AppEvent::Closed { connection, end: FlowEnd::Server, .. } if self.relayed.closed(*connection) => {}
            AppEvent::Closed {
                connection,
                end,
                sent,
                received,
                ending,
                read_to_end,
                waiting,
                finished,
                first_wrong_byte,
                ..
            } => {
                self.pending.remove(connection);
                if let Some(connection) = self.connections.get_mut(connection) {
                    let over = End {
                        at,
                        sent: *sent,
                        read_to_end: *read_to_end,
                        waiting: *waiting,
                        finished: *finished,
                        received: *received,
                        ending: *ending,
                        first_wrong_byte: *first_wrong_byte,
                    };
                    match end {
                        FlowEnd::Client => connection.client_end = Some(over),
                        FlowEnd::Server => connection.server_end = Some(over),
                    }
                }
            }
        }
    }

    /// Drops what this observation has made history. Called after every checker has seen it.
    pub(super) fn forget(&mut self, observation: &Observation) {
        match &observation.kind {
            ObservationKind::App(AppEvent::DialFailed { flow, .. }) => {
                self.connections.remove(flow);
                self.requests.remove(flow);
            }
            ObservationKind::App(AppEvent::Answered { flow, .. } | AppEvent::Unanswered { flow, .. }) => {
                self.requests.remove(flow);
            }
            ObservationKind::App(AppEvent::Closed { connection, .. })
                if self.connections.get(connection).is_some_and(Connection::is_over) =>
            {
                self.connections.remove(connection);
            }
            _ => {}
        }
    }

    pub(super) fn connection(&self, flow: FlowId) -> Option<&Connection> {
        self.connections.get(&flow)
    }

    /// A request and the client's connection that carries it, until it is answered.
    pub(super) fn request(&self, flow: FlowId) -> Option<(&Request, &Connection)> {
        let request = self.requests.get(&flow)?;
        Some((request, self.connections.get(&request.connection?)?))
    }

    /// Whether servers hold connections of waypoints: those outlive the requests they carried.
    pub(super) fn holds_relayed(&self) -> bool {
        !self.relayed.0.is_empty()
    }

    /// Connections of which an end is still open.
    pub(super) fn open(&self) -> impl Iterator<Item = (&FlowId, &Connection)> {
        self.connections.iter().filter(|(_, connection)| !connection.is_over())
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = (&FlowId, &Pending)> {
        self.pending.iter()
    }
}

impl Connection {
    /// Whether both ends are over; an end that never came to be counts as over.
    pub(super) fn is_over(&self) -> bool {
        self.client_end.is_some() && (self.server_end.is_some() || self.server.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_tried_again_names_two_connections_of_a_waypoint() {
        let mut relayed = Relayed::default();
        let peer = |port| SocketAddr::from(([10, 0, 0, 1], port));
        relayed.opened(FlowId(1), peer(1));
        relayed.opened(FlowId(1), peer(1));
        relayed.opened(FlowId(1), peer(2));
        assert!(relayed.closed(FlowId(1)) && relayed.closed(FlowId(1)));
        assert!(!relayed.closed(FlowId(1)) && relayed.0.is_empty());
    }
}
