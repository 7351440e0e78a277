//! I1: policy, settled.
//!
//! An attempt is judged by every state of the cluster that may be in force somewhere: those since the state all proxies had
//! acknowledged Δ_policy before it began. Where all of them agree, the outcome must agree too. An open connection is judged by
//! the current state once that was acknowledged Δ_policy ago.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use proxy_core::host::Instant;
use proxy_core::telemetry::{ConnectionInfo, Event, Reporter};

use super::flows::{Connection, Request};
use super::reference::{Attempt, HttpAttempt, HttpJudgement, HttpRequest, Judgement, endpoints, judge, judge_http};
use super::truth::Enrolled;
use super::{Checker, Finding, Quiescence, World};
use crate::cluster::{Cluster, ObjectName, Pod};
use crate::record::{AppEvent, AppPod, FlowId, Observation, ObservationKind};

#[derive(Default)]
pub(super) struct PolicySettled {
    /// When the current state's open connections are due to be judged.
    due: Option<Instant>,
}

impl Checker for PolicySettled {
    fn advance(&mut self, world: &World, at: Instant, findings: &mut Vec<Finding>) {
        if self.due.is_some_and(|due| due <= at) {
            self.due = None;
            judge_open(world, at, findings);
        }
    }

    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        observe(world, observation, Phase::Settled, findings);
    }

    fn truth_changed(&mut self, world: &World, _at: Instant, _findings: &mut Vec<Finding>) {
        self.due = world.truth.settled_since().map(|settled| settled + world.deltas.policy);
    }

    fn finish(&mut self, world: &World, at: Instant, _end: &Quiescence, findings: &mut Vec<Finding>) {
        self.advance(world, at, findings);
    }
}

/// Whether one state decides, or any of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Every proxy is known to hold the one state there is.
    Settled,
    /// More than one may be in force somewhere.
    Transition,
}

impl Phase {
    fn of(states: &[(Instant, Arc<Cluster>)]) -> Phase {
        if states.len() > 1 { Phase::Transition } else { Phase::Settled }
    }
}

/// What applications took and what proxies refused, as far as it falls into `phase`.
pub(super) fn observe(world: &World, observation: &Observation, phase: Phase, findings: &mut Vec<Finding>) {
    match &observation.kind {
        ObservationKind::App(AppEvent::Accepted { flow, server, local, peer, request: Some(_), .. })
            if world.truth.waypoint_at(peer.ip(), observation.at).is_some() =>
        {
            if let Some(waypoint) = world.truth.waypoint_at(peer.ip(), observation.at) {
                let taken = Taken { server, at: *local, waypoint };
                judge_relayed(world, observation.at, *flow, &taken, phase, findings);
            }
        }
        ObservationKind::App(AppEvent::Accepted { flow, connection, .. }) if flow == connection => {
            if let Some(connection) = world.flows.connection(*connection) {
                judge_admitted(world, observation.at, connection, phase, findings);
            }
        }
        ObservationKind::Proxy { node, event: Event::Judged { connection, verdict, .. } }
            if !verdict.is_allowed() && connection.reporter == Reporter::Destination =>
        {
            judge_refused(world, observation.at, node, connection, phase, findings);
        }
        _ => {}
    }
}

/// Whether the current state allows a connection to every pod that may serve it.
pub(super) fn allows(world: &World, connection: &Connection) -> bool {
    let Some(cluster) = world.truth.now() else { return false };
    let Some(client) = world.truth.pod(&connection.client.uid) else { return false };
    let identity = match world.truth.enrolled(&connection.client.uid, connection.dialled) {
        Enrolled::Yes => Some(world.truth.identity(client)),
        Enrolled::No => None,
        Enrolled::Changing => return false,
    };
    let serving = endpoints(cluster, connection.to).unwrap_or_default();
    serving.iter().all(|endpoint| {
        let server = world.truth.pod(&endpoint.pod).and_then(|pod| current(cluster, pod));
        let source = client.addresses.first().copied();
        let (Some(server), Some(source)) = (server, source) else { return false };
        let Some(address) = server.addresses.iter().copied().find(|own| own.is_ipv4() == source.is_ipv4()) else {
            return false;
        };
        let identity = identity.as_deref();
        judge(cluster, &Attempt { server, address, port: endpoint.port, source, identity }) == Judgement::Allow
    })
}

/// The server read the client's first bytes: some state in force must allow that.
fn judge_admitted(world: &World, at: Instant, connection: &Connection, phase: Phase, findings: &mut Vec<Finding>) {
    if Phase::of(world.truth.in_force(connection.dialled, world.deltas.policy)) != phase {
        return;
    }
    let Some(refusals) = denied_by_all(world, connection.dialled, connection) else { return };
    findings.push(
        Finding::new(format!("{} reached {}, which policy forbids.", connection.client, server_name(connection)))
            .because(connection.dialled, format!("{} dialled {}", connection.client, connection.to))
            .because(at, format!("{} read its first bytes", server_name(connection)))
            .because(at, format!("by the configuration in force: {refusals}")),
    );
}

/// A request that came through a waypoint, where it ended.
struct Taken<'a> {
    server: &'a AppPod,
    at: SocketAddr,
    waypoint: &'a Pod,
}

/// A server took a request from a waypoint: some state in force must allow the waypoint to call the server, and some the
/// client to make the request.
fn judge_relayed(
    world: &World,
    at: Instant,
    flow: FlowId,
    taken: &Taken<'_>,
    phase: Phase,
    findings: &mut Vec<Finding>,
) {
    let Some((request, connection)) = world.flows.request(flow) else { return };
    let states = world.truth.in_force(request.since, world.deltas.policy);
    if Phase::of(states) != phase {
        return;
    }
    let mut refusals = None;
    if let (Some(server), Enrolled::Yes) =
        (world.truth.pod(&taken.server.uid), world.truth.enrolled(&taken.server.uid, request.since))
    {
        let identity = world.truth.identity(taken.waypoint);
        let source = taken.waypoint.addresses.iter().copied().find(|own| own.is_ipv4() == taken.at.is_ipv4());
        refusals = source.and_then(|source| {
            let (address, port) = (taken.at.ip(), taken.at.port());
            all_deny(states, &Attempt { server, address, port, source, identity: Some(&identity) })
        });
    }
    let refusals = refusals.or_else(|| denied_at_waypoint(world, states, request, connection, taken.waypoint));
    let Some(refusals) = refusals else { return };
    findings.push(
        Finding::new(format!("{} reached {}, which policy forbids.", connection.client, taken.server))
            .because(request.since, format!("{} sent {} {}", connection.client, request.head.method, request.head.path))
            .because(at, format!("{} took it from waypoint {}", taken.server, taken.waypoint.meta.key))
            .because(at, format!("by the configuration in force: {refusals}")),
    );
}

/// Why every state denies this request at the waypoint, if every one does and the reference can tell.
fn denied_at_waypoint(
    world: &World,
    states: &[(Instant, Arc<Cluster>)],
    request: &Request,
    connection: &Connection,
    waypoint: &Pod,
) -> Option<String> {
    let client = world.truth.pod(&connection.client.uid)?;
    if world.truth.enrolled(&connection.client.uid, connection.dialled) != Enrolled::Yes {
        return None;
    }
    let identity = world.truth.identity(client);
    let source = connection.client.addresses.iter().copied().find(|own| own.is_ipv4() == connection.to.is_ipv4())?;
    let gateway = waypoint.meta.label("gateway.networking.k8s.io/gateway-name")?;
    let head = HttpRequest::made(&request.head);
    let mut last = None;
    for (_, cluster) in states {
        if cluster.request_authentications().next().is_some() {
            return None; // What a token proves is not looked into.
        }
        let service = cluster.services().find(|service| service.cluster_ips().contains(&connection.to.ip()));
        let attempt = HttpAttempt {
            service: service.map(|service| &service.meta.key),
            waypoint: &ObjectName::new(waypoint.meta.namespace(), gateway),
            address: connection.to.ip(),
            port: connection.to.port(),
            source,
            identity: Some(&identity),
            request: Some(&head),
            claims: None,
        };
        match judge_http(cluster, &attempt) {
            HttpJudgement::Deny(because) => last = Some(because),
            HttpJudgement::Allow | HttpJudgement::Unclear(_) => return None,
        }
    }
    last
}

/// Connections that are open although the current state, acknowledged Δ_policy ago, denies them.
fn judge_open(world: &World, at: Instant, findings: &mut Vec<Finding>) {
    let Some(settled) = world.truth.settled_since() else { return };
    for (flow, connection) in world.flows.open() {
        // Either end still open counts: a server that waits for a client that is gone holds nothing the policy forbids.
        if connection.server_end.is_some() || connection.client_end.is_some() {
            continue;
        }
        if let Some(refusals) = denied_by_all(world, settled + world.deltas.policy, connection) {
            findings.push(open_although_denied(at, settled, *flow, connection, &refusals));
        }
    }
}

fn open_although_denied(
    at: Instant,
    settled: Instant,
    flow: FlowId,
    connection: &Connection,
    refusals: &str,
) -> Finding {
    Finding::new(format!("{} keeps a connection that policy now forbids.", connection.client))
        .because(connection.dialled, format!("flow {flow}: {} dialled {}", connection.client, connection.to))
        .because(settled, format!("every proxy has acknowledged: {refusals}"))
        .because(at, "the connection is still open at both ends".to_owned())
}

/// Why every state in force from `from` on denies this connection, if every one does and the client's identity is certain.
fn denied_by_all(world: &World, from: Instant, connection: &Connection) -> Option<String> {
    let server = connection.server.as_ref()?;
    let server_pod = world.truth.pod(&server.pod.uid)?;
    let client_pod = world.truth.pod(&connection.client.uid)?;
    if server.pod.uid == connection.client.uid && connection.client.addresses.contains(&connection.to.ip()) {
        return None; // A pod's calls to its own address never leave it.
    }
    // Enforced at the server's proxy only, and only while it has one.
    if world.truth.enrolled(&server.pod.uid, connection.dialled.min(from)) != Enrolled::Yes {
        return None;
    }
    let identity = match world.truth.enrolled(&connection.client.uid, connection.dialled.min(from)) {
        Enrolled::Yes => Some(world.truth.identity(client_pod)),
        Enrolled::No => None,
        Enrolled::Changing => return None,
    };
    if identity.is_none() && server.through.is_none() && server_pod.bypasses_inbound_capture() {
        return None; // It asked to be reached around its proxy, which only sees what comes over HBONE.
    }
    let own = connection.client.addresses.iter().copied().find(|own| own.is_ipv4() == server.local.is_ipv4())?;
    // What comes through a waypoint is the waypoint's to the server's proxy.
    let (identity, source) = match &server.through {
        Some(waypoint) => (Some(world.truth.identity(waypoint)), waypoint.addresses.first().copied().unwrap_or(own)),
        None => (identity, own),
    };
    let attempt = Attempt {
        server: server_pod,
        address: server.local.ip(),
        port: server.local.port(),
        source,
        identity: identity.as_deref(),
    };
    all_deny(world.truth.in_force(from, world.deltas.policy), &attempt)
}

fn all_deny(states: &[(Instant, Arc<Cluster>)], attempt: &Attempt<'_>) -> Option<String> {
    let mut last = None;
    for (_, cluster) in states {
        let server = current(cluster, attempt.server)?;
        match judge(cluster, &Attempt { server, ..*attempt }) {
            Judgement::Allow => return None,
            Judgement::Deny(because) => last = Some(because),
        }
    }
    last
}

/// The pod as this state of the cluster has it: its labels may have changed.
fn current<'a>(cluster: &'a Cluster, pod: &Pod) -> Option<&'a Pod> {
    cluster.pod(&pod.meta.key).filter(|now| now.meta.uid == pod.meta.uid).map(|now| &**now)
}

/// A proxy refused by policy: some state in force must deny that.
fn judge_refused(
    world: &World,
    at: Instant,
    node: &str,
    refused: &ConnectionInfo,
    phase: Phase,
    findings: &mut Vec<Finding>,
) {
    if Phase::of(world.truth.in_force(at, world.deltas.policy)) != phase {
        return;
    }
    let Some(workload) = &refused.local_workload else { return };
    let name = ObjectName::new(&workload.namespace, &workload.name);
    let Some(server) = world.truth.pods_named(&name, at).last() else { return };
    let target = refused.authority.as_deref().and_then(|authority| authority.parse::<SocketAddr>().ok());
    let target = target.unwrap_or(refused.original_destination);
    let identity = refused.source_identity.as_ref().map(ToString::to_string);
    let attempt = Attempt {
        server,
        address: target.ip(),
        port: target.port(),
        source: refused.source.ip(),
        identity: identity.as_deref(),
    };
    let states = world.truth.in_force(at, world.deltas.policy);
    let allowed = states.iter().all(|(_, cluster)| {
        current(cluster, server)
            .is_some_and(|server| judge(cluster, &Attempt { server, ..attempt }) == Judgement::Allow)
    });
    if allowed && !states.is_empty() {
        findings.push(
            Finding::new(format!("A client of {name} is refused though every policy in force allows it."))
                .because(
                    at,
                    format!("the ztunnel of {node} refused {} by policy", describe(refused.source.ip(), &identity)),
                )
                .because(at, format!("target {target}; {} state(s) in force, all allow", states.len())),
        );
    }
}

fn describe(source: IpAddr, identity: &Option<String>) -> String {
    match identity {
        Some(identity) => format!("{identity} at {source}"),
        None => format!("plaintext from {source}"),
    }
}

fn server_name(connection: &Connection) -> String {
    connection.server.as_ref().map_or_else(|| "nobody".to_owned(), |server| server.pod.to_string())
}
