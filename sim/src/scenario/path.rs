//! [`Paths`]: which proxies a connection passed, joined from what each of them told.
//!
//! The first hop is found by the client's own address, the others by the trace id that travels from hop to hop.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;
use proxy_core::policy::{PolicyKey, Verdict};
use proxy_core::telemetry::{
    ConnectionId, ConnectionInfo, ConnectionSecurity, Event, Hop as HopKind, Reason, Reporter, RequestInfo, TraceId,
    TunnelEvent,
};

use super::decision::{deciding_policy, policy_in_words};
use crate::record::{AppEvent, AppPod, FlowEnd, FlowId, Hop, Observation, ObservationKind, ReceivedHead};

/// What is known of all connections so far, as far as anyone may still ask.
#[derive(Default)]
pub(super) struct Paths {
    /// By number, in order of opening.
    records: BTreeMap<u64, HopRecord>,
    next: u64,
    by_connection: BTreeMap<(Arc<str>, ConnectionId), u64>,
    by_source: BTreeMap<SocketAddr, Vec<u64>>,
    by_trace: BTreeMap<TraceId, Vec<u64>>,
    /// Tunnels into pods, by what was asked for: a waypoint keeps them for many requests of many traces.
    by_authority: BTreeMap<Arc<str>, Vec<u64>>,
    /// By the number of a tunnel into a pod: the requests a waypoint sent over it.
    carried: BTreeMap<u64, Vec<u64>>,
    /// What is over, in order of ending.
    over: VecDeque<(Instant, Over)>,
    /// In order of arrival: retries and mirrored copies of a request have its flow.
    servers: BTreeMap<FlowId, Vec<ServerSide>>,
    ends: BTreeMap<(FlowId, FlowEnd), EndSide>,
    handshakes: u64,
    /// How much later than an answer reached its client a proxy may tell of it.
    lag: Duration,
}

/// Something that is over.
#[derive(Clone, Copy, Debug)]
enum Over {
    Record(u64),
    Server(FlowId),
    End(FlowId, FlowEnd),
}

/// One connection at one proxy.
#[derive(Clone, Debug)]
pub(super) struct HopRecord {
    source: SocketAddr,
    trace: Option<TraceId>,
    pub(super) node: Arc<str>,
    pub(super) reporter: Reporter,
    pub(super) opened: Instant,
    /// `None` if it was refused before it was more than a socket.
    pub(super) connection: Option<Arc<ConnectionInfo>>,
    pub(super) verdict: Option<Verdict>,
    /// Of a waypoint's HTTP request: all it told of it.
    pub(super) request: Option<Arc<RequestInfo>>,
    /// Of a waypoint's HTTP request: the tunnel its last try went into.
    tunnel: Option<u64>,
    pub(super) closed: Option<(Instant, Reason, Option<String>)>,
}

/// Which server a flow reached.
#[derive(Clone, Debug)]
pub(super) struct ServerSide {
    pub(super) at: Instant,
    pub(super) pod: Arc<AppPod>,
    pub(super) peer: SocketAddr,
    /// The head of an HTTP request.
    pub(super) request: Option<Arc<ReceivedHead>>,
}

/// How one end of a connection ended.
#[derive(Clone, Debug)]
pub(super) struct EndSide {
    pub(super) at: Instant,
}

impl Paths {
    /// Nothing is known yet. Proxies may tell so much later than an answer reached its client; in a simulation they do not.
    pub(super) fn lagging(lag: Duration) -> Self {
        Paths { lag, ..Paths::default() }
    }

    pub(super) fn observe(&mut self, observation: &Observation) {
        match &observation.kind {
            ObservationKind::Proxy { node, event } => self.proxy(node, event),
            ObservationKind::App(AppEvent::Accepted { flow, server, peer, request, .. }) => {
                let side =
                    ServerSide { at: observation.at, pod: server.clone(), peer: *peer, request: request.clone() };
                self.servers.entry(*flow).or_default().push(side);
                self.over.push_back((observation.at, Over::Server(*flow)));
            }
            ObservationKind::App(AppEvent::Closed { connection, end, .. }) => {
                self.ends.insert((*connection, *end), EndSide { at: observation.at });
                self.over.push_back((observation.at, Over::End(*connection, *end)));
            }
            _ => {}
        }
    }

    fn proxy(&mut self, node: &Arc<str>, event: &Event) {
        match event {
            Event::Opened { at, connection } => {
                let record = HopRecord {
                    source: connection.source,
                    trace: Some(connection.trace),
                    node: node.clone(),
                    reporter: connection.reporter,
                    opened: *at,
                    connection: Some(connection.clone()),
                    verdict: None,
                    request: None,
                    tunnel: None,
                    closed: None,
                };
                let index = self.add(record);
                self.by_connection.insert((node.clone(), connection.id), index);
            }
            Event::Judged { connection, verdict, .. } => {
                if let Some((_, record)) = self.known(node, connection) {
                    record.verdict = Some(verdict.clone());
                }
            }
            Event::Closed { at, connection, reason, error, .. } => {
                if let Some((number, record)) = self.known(node, connection) {
                    record.closed = Some((*at, *reason, error.clone()));
                    // What was learnt on the way, such as the next hop, is in the last one.
                    record.connection = Some(connection.clone());
                    self.over.push_back((*at, Over::Record(number)));
                }
            }
            Event::Refused { at, reporter, source, trace, reason, error, .. } => {
                let record = HopRecord {
                    source: *source,
                    trace: *trace,
                    node: node.clone(),
                    reporter: *reporter,
                    opened: *at,
                    connection: None,
                    verdict: None,
                    request: None,
                    tunnel: None,
                    closed: Some((*at, *reason, Some(error.clone()))),
                };
                let number = self.add(record);
                self.over.push_back((*at, Over::Record(number)));
            }
            Event::Request { at, request } => {
                let number = self.add(HopRecord {
                    source: request.connection.source,
                    trace: Some(request.connection.trace),
                    node: node.clone(),
                    reporter: Reporter::Waypoint,
                    opened: request.started,
                    connection: Some(request.connection.clone()),
                    verdict: None,
                    request: Some(request.clone()),
                    tunnel: self.tunnel_of(request, *at),
                    closed: Some((*at, request.reason, Some(request.details.to_string()))),
                });
                if let Some(tunnel) = self.records.get(&number).and_then(|record| record.tunnel) {
                    self.carried.entry(tunnel).or_default().push(number);
                }
                self.over.push_back((*at, Over::Record(number)));
            }
            // Each has two ends: the client's is counted.
            Event::Tunnel(TunnelEvent::Opened { reporter: Reporter::Source, .. }) => self.handshakes += 1,
            _ => {}
        }
    }

    fn known(&mut self, node: &Arc<str>, connection: &ConnectionInfo) -> Option<(u64, &mut HopRecord)> {
        let number = *self.by_connection.get(&(node.clone(), connection.id))?;
        Some((number, self.records.get_mut(&number)?))
    }

    fn add(&mut self, record: HopRecord) -> u64 {
        let number = self.next;
        self.next += 1;
        // A waypoint's client is known by what its proxy says of it: that is not where a path begins, unless it was refused
        // before it could say anything.
        if record.reporter != Reporter::Waypoint || record.trace.is_none() {
            self.by_source.entry(record.source).or_default().push(number);
        }
        if let Some(authority) = record.tunnel_into() {
            self.by_authority.entry(authority).or_default().push(number);
        }
        if let Some(trace) = record.trace {
            self.by_trace.entry(trace).or_default().push(number);
        }
        self.records.insert(number, record);
        number
    }

    /// Forgets what was over before `before`, unless its flow or its client's end is one of `wanted`: those are kept for
    /// good. So a load of millions of connections needs no more memory than the connections it has open.
    pub(super) fn forget(&mut self, before: Instant, wanted: &Wanted) {
        while self.over.front().is_some_and(|(at, _)| *at < before) {
            let Some((_, over)) = self.over.pop_front() else { return };
            match over {
                Over::Record(number) => self.forget_record(number, wanted),
                Over::Server(flow) if !wanted.flows.contains(&flow) => drop(self.servers.remove(&flow)),
                Over::End(flow, end) if !wanted.flows.contains(&flow) => drop(self.ends.remove(&(flow, end))),
                Over::Server(_) | Over::End(..) => {}
            }
        }
    }

    fn forget_record(&mut self, number: u64, wanted: &Wanted) {
        let Some(trace) = self.records.get(&number).map(|record| record.trace) else { return };
        // Later hops have the same trace as the first, which has the client's own end.
        let hops = trace.and_then(|trace| self.by_trace.get(&trace)).map(Vec::as_slice).unwrap_or_default();
        let is_wanted = |hop: &u64| self.records.get(hop).is_some_and(|hop| wanted.locals.contains(&hop.source));
        // A waypoint's tunnel has the trace of the request that opened it, whoever's requests it carried since.
        let carried = self.carried.get(&number).map(Vec::as_slice).unwrap_or_default();
        if is_wanted(&number) || hops.iter().chain(carried).any(is_wanted) {
            return;
        }
        self.carried.remove(&number);
        let Some(record) = self.records.remove(&number) else { return };
        if let Some(tunnel) = record.tunnel {
            take_out(&mut self.carried, &tunnel, number);
        }
        if let Some(connection) = &record.connection
            && record.request.is_none()
        {
            self.by_connection.remove(&(record.node.clone(), connection.id));
        }
        if let Some(authority) = record.tunnel_into() {
            take_out(&mut self.by_authority, &authority, number);
        }
        take_out(&mut self.by_source, &record.source, number);
        if let Some(trace) = record.trace {
            take_out(&mut self.by_trace, &trace, number);
        }
    }

    /// The proxies a client's connection passed, client to server; `local` is the client's end, used between these times.
    pub(super) fn of(&self, local: SocketAddr, from: Instant, to: Instant) -> Vec<&HopRecord> {
        // Addresses come back: of several connections from this one, the last that was opened in time is meant.
        let in_time = |number: &&u64| {
            self.records.get(*number).is_some_and(|record| (from..=to + self.lag).contains(&record.opened))
        };
        let Some(&first) = self.by_source.get(&local).and_then(|all| all.iter().rev().find(in_time)) else {
            return Vec::new();
        };
        let Some(first) = self.records.get(&first) else { return Vec::new() };
        let Some(connection) = &first.connection else { return vec![first] };
        let numbers = self.by_trace.get(&connection.trace).map(Vec::as_slice).unwrap_or_default();
        let mut path: Vec<&HopRecord> = numbers.iter().filter_map(|number| self.records.get(number)).collect();
        path.sort_by_key(|record| (record.opened, record.reporter));
        path
    }

    /// As [`Paths::of`], for one HTTP request among those its connection carried: waypoints tell of each, and go on from
    /// there over tunnels that have traces of their own.
    pub(super) fn of_request(&self, local: SocketAddr, since: Instant, asked: &Asked<'_>) -> Vec<&HopRecord> {
        let whole = self.of(local, since, asked.ended);
        let is_asked = |hop: &&&HopRecord| hop.request.as_ref().is_some_and(|request| asked.fits(request));
        let told: Vec<&HopRecord> = whole.iter().filter(is_asked).copied().collect();
        let id = |hop: &&&HopRecord| hop.request.as_deref().map(|request| &*request.id) == asked.id;
        let meant = told.iter().find(|hop| asked.id.is_some() && id(hop)).or(told.first()).copied();
        let mut path = Vec::new();
        for hop in whole {
            let other = hop.request.is_some() && !meant.is_some_and(|meant| std::ptr::eq(meant, hop));
            if other {
                continue;
            }
            path.push(hop);
            path.extend(self.beyond(hop));
        }
        path
    }

    /// The tunnel a waypoint's last try went into.
    fn beyond(&self, hop: &HopRecord) -> Option<&HopRecord> {
        self.records.get(&hop.tunnel?)
    }

    /// The same, for a request that ended then.
    fn tunnel_of(&self, request: &RequestInfo, ended: Instant) -> Option<u64> {
        let attempt = request.attempts.last()?;
        let authority: Arc<str> = attempt.address?.to_string().into();
        let began = request.started + attempt.after;
        let waypoint = request.connection.local_workload.as_ref()?;
        let tunnels = self.by_authority.get(&authority)?.iter().rev();
        let tunnels = tunnels.filter_map(|number| Some((*number, self.records.get(number)?)));
        let open = |(_, tunnel): &(u64, &HopRecord)| {
            // Clients that go around the waypoint ask for the same address.
            waypoint.addresses.contains(&tunnel.source.ip())
                && tunnel.opened <= ended + self.lag
                && tunnel.closed.as_ref().is_none_or(|(closed, ..)| *closed + self.lag >= began)
        };
        let open: Vec<(u64, &HopRecord)> = tunnels.filter(open).collect();
        // The request that opens a tunnel gives it its trace.
        let own = open.iter().find(|(_, tunnel)| tunnel.trace == Some(request.trace));
        own.or(open.first()).map(|(number, _)| *number)
    }

    /// Tunnels opened so far.
    pub(super) fn handshakes(&self) -> u64 {
        self.handshakes
    }

    /// The servers a flow reached, in order.
    pub(super) fn servers(&self, flow: FlowId) -> &[ServerSide] {
        self.servers.get(&flow).map(Vec::as_slice).unwrap_or_default()
    }

    /// How an end of a connection ended, if it has.
    pub(super) fn end(&self, connection: FlowId, end: FlowEnd) -> Option<&EndSide> {
        self.ends.get(&(connection, end))
    }
}

/// An HTTP request, as its client knows it.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    /// Path and query.
    pub(super) path: &'a str,
    /// The `x-request-id` a server saw, if one did.
    pub(super) id: Option<&'a str>,
    pub(super) started: Instant,
    pub(super) ended: Instant,
}

impl Asked<'_> {
    fn fits(&self, told: &RequestInfo) -> bool {
        let in_time = (self.started..=self.ended).contains(&told.started);
        // Of what could not be read nothing is told.
        let is_unread = told.reason == Reason::MalformedRequest && told.method.is_empty();
        in_time && (is_unread || *told.method == *self.method && *told.path == *self.path)
    }
}

/// Whose paths will be asked for.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) flows: BTreeSet<FlowId>,
    /// The client's ends of their connections.
    pub(super) locals: BTreeSet<SocketAddr>,
}

fn take_out<K: Ord>(lists: &mut BTreeMap<K, Vec<u64>>, key: &K, number: u64) {
    let Some(list) = lists.get_mut(key) else { return };
    list.retain(|other| *other != number);
    if list.is_empty() {
        lists.remove(key);
    }
}

impl HopRecord {
    /// As in a run record.
    pub(super) fn hop(&self) -> Hop {
        let connection = self.connection.as_deref();
        let inbound = self.reporter != Reporter::Source;
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
            proxy: self.proxy().to_owned(),
            // A later proxy of a node tells under the node's name and a number.
            node: self.node.split('#').next().unwrap_or_default().to_owned(),
            direction: if inbound { "inbound" } else { "outbound" }.to_owned(),
            protocol: protocol.to_owned(),
            source_identity: connection.and_then(|info| info.source_identity.as_ref()).map(ToString::to_string),
            destination: self.next_hop().map(|address| address.to_string()),
            authority: connection.and_then(|info| info.authority.as_deref()).map(ToOwned::to_owned),
            verdict: self.verdict.as_ref().map(verdict_in_words).or_else(|| policy_in_words(self.request.as_deref()?)),
            policy: self.policy().map(ToString::to_string),
            reason: self.failure().map(|reason| reason.name().to_owned()),
        }
    }

    /// `ztunnel` or `waypoint`.
    pub(super) fn proxy(&self) -> &'static str {
        if self.reporter == Reporter::Waypoint { "waypoint" } else { "ztunnel" }
    }

    fn next_hop(&self) -> Option<SocketAddr> {
        match &self.request {
            Some(request) => request.attempts.last().and_then(|attempt| attempt.address),
            None => self.connection.as_ref().and_then(|info| info.destination),
        }
    }

    /// What a tunnel into a pod was asked for.
    fn tunnel_into(&self) -> Option<Arc<str>> {
        let info = self.connection.as_ref()?;
        let into = self.reporter == Reporter::Destination && info.security == ConnectionSecurity::MutualTls;
        info.authority.clone().filter(|_| into)
    }

    /// Why it failed, if it did.
    pub(super) fn failure(&self) -> Option<Reason> {
        self.closed.as_ref().map(|(_, reason, _)| *reason).filter(|reason| *reason != Reason::Completed)
    }

    /// The policy that decided here.
    pub(super) fn policy(&self) -> Option<&PolicyKey> {
        if let Some(request) = &self.request {
            return deciding_policy(request);
        }
        match self.verdict.as_ref()? {
            Verdict::Allowed { by } => by.as_ref(),
            Verdict::DeniedBy(policy) | Verdict::PolicyUnknown(policy) => Some(policy),
            Verdict::NotAllowed => None,
        }
    }
}

/// What a verdict says.
pub(super) fn verdict_in_words(verdict: &Verdict) -> String {
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
        use Reason::{Http2Failed, RefusedByPeer, RefusedByPeerPolicy, Reset};
        use Reason::{UpstreamClosed, UpstreamConnectFailed, UpstreamReset};
        let upstream = matches!(reason, UpstreamClosed | UpstreamConnectFailed | UpstreamReset);
        upstream || matches!(reason, RefusedByPeerPolicy | RefusedByPeer | Reset | Http2Failed)
    };
    let failures = || path.iter().filter_map(|record| Some((*record, record.failure()?)));
    failures().rfind(|(_, reason)| !hearsay(reason)).or_else(|| failures().next_back())
}

#[cfg(test)]
mod tests;
