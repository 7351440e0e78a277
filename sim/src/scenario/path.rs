//! [`Paths`]: which proxies a connection passed, joined from what each of them told.
//!
//! The first hop is found by the client's own address, the others by the trace id that travels from hop to hop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::host::Instant;
use proxy_core::policy::{PolicyKey, Verdict};
use proxy_core::telemetry::{
    ConnectionId, ConnectionInfo, ConnectionSecurity, Event, Hop as HopKind, Reason, Reporter, TraceId, TunnelEvent,
};

use crate::record::{AppEvent, AppPod, FlowEnd, FlowId, Hop, Observation, ObservationKind};

/// What is known of all connections so far.
#[derive(Default)]
pub(super) struct Paths {
    records: Vec<HopRecord>,
    by_connection: BTreeMap<(Arc<str>, ConnectionId), usize>,
    by_source: BTreeMap<SocketAddr, Vec<usize>>,
    by_trace: BTreeMap<TraceId, Vec<usize>>,
    servers: BTreeMap<FlowId, ServerSide>,
    ends: BTreeMap<(FlowId, FlowEnd), EndSide>,
    handshakes: u64,
}

/// One connection at one proxy.
#[derive(Clone, Debug)]
pub(super) struct HopRecord {
    pub(super) node: Arc<str>,
    pub(super) reporter: Reporter,
    pub(super) opened: Instant,
    /// `None` if it was refused before it was more than a socket.
    pub(super) connection: Option<Arc<ConnectionInfo>>,
    pub(super) verdict: Option<Verdict>,
    pub(super) closed: Option<(Instant, Reason, Option<String>)>,
}

/// Which server a flow reached.
#[derive(Clone, Debug)]
pub(super) struct ServerSide {
    pub(super) pod: Arc<AppPod>,
    pub(super) peer: SocketAddr,
}

/// How one end of a connection ended.
#[derive(Clone, Debug)]
pub(super) struct EndSide {
    pub(super) at: Instant,
}

impl Paths {
    pub(super) fn observe(&mut self, observation: &Observation) {
        match &observation.kind {
            ObservationKind::Proxy { node, event } => self.proxy(node, event),
            ObservationKind::App(AppEvent::Accepted { flow, server, peer, .. }) => {
                self.servers.insert(*flow, ServerSide { pod: server.clone(), peer: *peer });
            }
            ObservationKind::App(AppEvent::Closed { connection, end, .. }) => {
                self.ends.insert((*connection, *end), EndSide { at: observation.at });
            }
            _ => {}
        }
    }

    fn proxy(&mut self, node: &Arc<str>, event: &Event) {
        match event {
            Event::Opened { at, connection } => {
                let record = HopRecord {
                    node: node.clone(),
                    reporter: connection.reporter,
                    opened: *at,
                    connection: Some(connection.clone()),
                    verdict: None,
                    closed: None,
                };
                let index = self.add(record, connection.source, Some(connection.trace));
                self.by_connection.insert((node.clone(), connection.id), index);
            }
            Event::Judged { connection, verdict, .. } => {
                if let Some(record) = self.known(node, connection) {
                    record.verdict = Some(verdict.clone());
                }
            }
            Event::Closed { at, connection, reason, error, .. } => {
                if let Some(record) = self.known(node, connection) {
                    record.closed = Some((*at, *reason, error.clone()));
                    // What was learnt on the way, such as the next hop, is in the last one.
                    record.connection = Some(connection.clone());
                }
            }
            Event::Refused { at, reporter, source, trace, reason, error, .. } => {
                let record = HopRecord {
                    node: node.clone(),
                    reporter: *reporter,
                    opened: *at,
                    connection: None,
                    verdict: None,
                    closed: Some((*at, *reason, Some(error.clone()))),
                };
                self.add(record, *source, *trace);
            }
            // Each has two ends: the client's is counted.
            Event::Tunnel(TunnelEvent::Opened { reporter: Reporter::Source, .. }) => self.handshakes += 1,
            _ => {}
        }
    }

    fn known(&mut self, node: &Arc<str>, connection: &ConnectionInfo) -> Option<&mut HopRecord> {
        let index = *self.by_connection.get(&(node.clone(), connection.id))?;
        self.records.get_mut(index)
    }

    fn add(&mut self, record: HopRecord, source: SocketAddr, trace: Option<TraceId>) -> usize {
        let index = self.records.len();
        self.records.push(record);
        self.by_source.entry(source).or_default().push(index);
        if let Some(trace) = trace {
            self.by_trace.entry(trace).or_default().push(index);
        }
        index
    }

    /// The proxies a client's connection passed, client to server; `local` is the client's end, used between these times.
    pub(super) fn of(&self, local: SocketAddr, from: Instant, to: Instant) -> Vec<&HopRecord> {
        // Addresses come back: of several connections from this one, the last that was opened in time is meant.
        let in_time = |index: &&usize| (from..=to).contains(&self.records[**index].opened);
        let Some(&first) = self.by_source.get(&local).and_then(|all| all.iter().rev().find(in_time)) else {
            return Vec::new();
        };
        let first_record = &self.records[first];
        let Some(connection) = &first_record.connection else { return vec![first_record] };
        let mut path: Vec<&HopRecord> =
            self.by_trace[&connection.trace].iter().map(|&index| &self.records[index]).collect();
        path.sort_by_key(|record| (record.opened, record.reporter));
        path
    }

    /// Tunnels opened so far.
    pub(super) fn handshakes(&self) -> u64 {
        self.handshakes
    }

    /// Which server a flow reached.
    pub(super) fn server(&self, flow: FlowId) -> Option<&ServerSide> {
        self.servers.get(&flow)
    }

    /// How an end of a connection ended, if it has.
    pub(super) fn end(&self, connection: FlowId, end: FlowEnd) -> Option<&EndSide> {
        self.ends.get(&(connection, end))
    }
}

impl HopRecord {
    /// As in a run record.
    pub(super) fn hop(&self) -> Hop {
        let connection = self.connection.as_deref();
        let inbound = self.reporter == Reporter::Destination;
        let protocol = match connection {
            None => "",
            Some(info) if inbound && info.security == ConnectionSecurity::MutualTls => "hbone",
            Some(_) if inbound => "plain",
            Some(info) => match info.hop {
                HopKind::Plain => "plain",
                HopKind::Hbone => "hbone",
                HopKind::Waypoint => "waypoint",
                HopKind::DoubleHbone => "double_hbone",
            },
        };
        Hop {
            proxy: "ztunnel".to_owned(),
            node: self.node.to_string(),
            direction: if inbound { "inbound" } else { "outbound" }.to_owned(),
            protocol: protocol.to_owned(),
            source_identity: connection.and_then(|info| info.source_identity.as_ref()).map(ToString::to_string),
            destination: connection.and_then(|info| info.destination).map(|address| address.to_string()),
            authority: connection.and_then(|info| info.authority.as_deref()).map(ToOwned::to_owned),
            verdict: self.verdict.as_ref().map(verdict_in_words),
            policy: self.policy().map(ToString::to_string),
            reason: self.failure().map(|reason| reason.name().to_owned()),
        }
    }

    /// Why it failed, if it did.
    pub(super) fn failure(&self) -> Option<Reason> {
        self.closed.as_ref().map(|(_, reason, _)| *reason).filter(|reason| *reason != Reason::Completed)
    }

    /// The policy that decided here.
    pub(super) fn policy(&self) -> Option<&PolicyKey> {
        match self.verdict.as_ref()? {
            Verdict::Allowed { by } => by.as_ref(),
            Verdict::DeniedBy(policy) | Verdict::PolicyUnknown(policy) => Some(policy),
            Verdict::NotAllowed => None,
        }
    }
}

/// What a verdict says.
fn verdict_in_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allowed { by: None } => "allowed: no ALLOW policy applies".to_owned(),
        Verdict::Allowed { by: Some(policy) } => format!("allowed by {policy}"),
        Verdict::DeniedBy(policy) => format!("denied by {policy}"),
        Verdict::NotAllowed => "denied: ALLOW policies apply and none matches".to_owned(),
        Verdict::PolicyUnknown(policy) => format!("denied: policy {policy} has not arrived"),
    }
}

/// The hop that knows best why a connection failed: what another hop was told only repeats it.
pub(super) fn who_knows<'a>(path: &[&'a HopRecord]) -> Option<(&'a HopRecord, Reason)> {
    let hearsay = |reason: &Reason| {
        matches!(reason, Reason::RefusedByPeerPolicy | Reason::RefusedByPeer | Reason::Reset | Reason::Http2Failed)
    };
    let failures = || path.iter().filter_map(|record| Some((*record, record.failure()?)));
    failures().rfind(|(_, reason)| !hearsay(reason)).or_else(|| failures().next_back())
}
