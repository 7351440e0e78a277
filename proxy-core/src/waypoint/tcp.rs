//! Opaque connections: one endpoint each, bytes both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::attach::Attached;
use super::http::sniff::Sniffed;
use super::shared::Shared;
use super::stream::Downstream;
use super::upstream::backends::{Asking, Held};
use super::upstream::connect::{UpstreamStream, connect};
use super::upstream::pick::{KnownBackend, NoTarget, know};
use super::upstream::target::{Target, Transport};
use super::{ext_authz, filters};
use crate::hbone::{TraceParent, Tunnel};
use crate::host::{Host, Instant, Rng};
use crate::identity::CertificateAuthority;
use crate::net::copy::{ByteCounts, Meter, OnReset, OnResets, Side, copy};
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};
use crate::policy::http::{Ask, HttpAction, HttpDecision, HttpPolicy, HttpVerdict, Subject, ask, authorize};
use crate::policy::{Connection, PolicyKey, Verdict};
use crate::request::RequestView;
use crate::route::balance::hash_request;
use crate::route::{Backend, Bounded, ConnectionPool, HashKey, LoadBalancer, TcpDecision, choose_tcp};
use crate::state::Snapshot;
use crate::telemetry::{ConnectionInfo, ConnectionSecurity, Event, Hop, Reason, Sink};

/// Bytes carried before they are told of. The rest is told at the close.
const REPORT_EVERY: u64 = 1024 * 1024;

/// Why a connection is not carried, or no longer.
struct Ended {
    reason: Reason,
    text: String,
}

/// Carries one connection to its end.
pub(super) async fn serve<H: Host, C: CertificateAuthority>(
    shared: &Arc<Shared<H, C>>,
    downstream: Arc<Downstream>,
    told: Arc<Snapshot>,
    mut stream: Sniffed<Tunnel>,
    watcher: &DrainWatcher,
) {
    let chosen = choose_target(shared, &downstream);
    let mut info = (*downstream.info).clone();
    if let Ok(Chosen { target, backend, .. }) = &chosen {
        info.destination = Some(target.address);
        info.destination_workload = Some(target.workload.clone());
        if let Some(backend) = backend {
            let service = shared.state.snapshot().service(&backend.service).cloned();
            info.destination_service = Some(backend.service.clone());
            info.destination_service_name = service.map(|service| service.name.clone());
        }
        let tunnelled = matches!(target.transport, Transport::Hbone(_));
        info.hop = if tunnelled { Hop::Hbone } else { Hop::Plain };
        info.security = ConnectionSecurity::MutualTls;
    }
    let clock = shared.host.clone();
    let record = Record::open(Box::new(move || clock.now()), Arc::new(info), shared.sink.clone());
    let drained = || Ended { reason: Reason::Drained, text: "connection closed due to connection drain".to_owned() };
    // Policy first: whoever is refused learns nothing of endpoints.
    let judging = Box::pin(judge(shared, &downstream, &told, &record));
    let judged = match race(watcher.cut(), judging).await {
        First::Left(_) => Err(drained()),
        First::Right(judged) => judged,
    };
    drop(told);
    let outcome = match judged.and(chosen) {
        Err(ended) => Err(ended),
        Ok(Chosen { target, idle_max, _held, .. }) => {
            let trace = TraceParent { span: shared.new_trace().span, ..downstream.trace };
            let carrying = Box::pin(carry(shared, &target, trace, &mut stream, &record));
            let ending = race(watcher.cut(), idle(&shared.host, idle_max, &record));
            match race(ending, carrying).await {
                First::Left(First::Left(_)) => Err(drained()),
                First::Left(First::Right(ended)) => Err(ended),
                First::Right(outcome) => outcome,
            }
        }
    };
    if outcome.is_err() {
        // Nobody may take a broken stream for a finished one.
        stream.into_inner().abort();
    }
    record.close(shared.host.now(), outcome);
}

/// An endpoint, and what is counted as under way to it.
struct Chosen {
    target: Target,
    backend: Option<Backend>,
    idle_max: Option<Duration>,
    _held: Vec<Held>,
}

/// The endpoint this connection goes to. Routes and endpoints are those of now.
fn choose_target<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    downstream: &Downstream,
) -> Result<Chosen, Ended> {
    let snapshot = shared.state.snapshot();
    let Some(own) = shared.own_workload(&snapshot) else {
        let text = "this waypoint's own pod is not known any more".to_owned();
        return Err(Ended { reason: Reason::UnknownSourceWorkload, text });
    };
    let mut rng = shared.rng.lock();
    let destination = downstream.attached.destination();
    let backend = match &downstream.attached {
        Attached::Workload { workload, destination } => {
            let target = Target::pod(workload, *destination);
            let idle_max = ConnectionPool::default().tcp_idle_timeout;
            return Ok(Chosen { target, backend: None, idle_max, _held: Vec::new() });
        }
        Attached::Service { service, .. } => {
            let implicit = Backend { service: service.key.clone(), port: destination.port(), subset: None };
            let routes = snapshot.routes_of(&service.key).and_then(|routes| routes.ports.get(&destination.port()));
            match routes.map(|routes| choose_tcp(routes, &mut rng)) {
                None | Some(TcpDecision::Implicit) => implicit,
                Some(TcpDecision::Forward { backend, .. }) => backend.clone(),
                Some(TcpDecision::Close { origin, why }) => {
                    return Err(Ended { reason: Reason::InvalidBackend, text: format!("{origin}: {why}") });
                }
            }
        }
    };
    let none = |none: NoTarget| Ended { reason: none.reason(), text: none.text().to_owned() };
    let known = know(&snapshot, &backend).map_err(none)?;
    let memory = shared.backends.of(&backend);
    let Some(place) = memory.enter(&known, Bounded::Connection) else {
        let text = format!("{backend}: as many connections as its DestinationRule allows are open");
        return Err(Ended { reason: Reason::UpstreamOverflow, text });
    };
    let asking = Asking {
        snapshot: &snapshot,
        own: &own,
        destination,
        host: None,
        hash: tcp_hash(&known, downstream, &mut rng),
        avoid: &[],
        selections_max: 1,
        now: shared.host.now(),
    };
    let (target, held) = shared.backends.pick(&known, &asking, &mut rng).map_err(none)?;
    let idle_max = known.policy.pool.tcp_idle_timeout;
    Ok(Chosen { target, backend: Some(backend), idle_max, _held: vec![place, held] })
}

/// Of what consistent hashing can look at, an opaque connection has only its client's address.
fn tcp_hash(known: &KnownBackend, downstream: &Downstream, rng: &mut Rng) -> Option<u64> {
    let LoadBalancer::ConsistentHash(settings) = &known.policy.load_balancer else { return None };
    if settings.key != HashKey::SourceAddress {
        return None;
    }
    let (method, headers) = (::http::Method::GET, ::http::HeaderMap::new());
    let nothing =
        RequestView { method: &method, scheme: "", authority: "", path_and_query: "", headers: &headers, claims: None };
    hash_request(&settings.key, &nothing, downstream.client.ip(), rng).hash
}

/// CUSTOM, then AUDIT, DENY and ALLOW, as far as they can be applied to an opaque connection that was let in by `told`.
async fn judge<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    downstream: &Downstream,
    told: &Snapshot,
    record: &Record,
) -> Result<(), Ended> {
    let snapshot = shared.state.snapshot();
    let refused = |reason: Reason, text: String| Ended { reason, text };
    let judged = |verdict: Verdict, dry_run: Vec<PolicyKey>| record.judged(shared.host.now(), verdict, dry_run);
    // What was taken away since it was let in counts as it was: never as if there were no policies.
    let settings = shared.settings(&snapshot).or_else(|| shared.settings(told));
    let (Some(settings), Some(own)) = (settings, shared.own_workload(&snapshot)) else {
        return Err(refused(Reason::NotAttached, "this waypoint is not configured any more".to_owned()));
    };
    let routes = downstream.attached.service().and_then(|service| {
        let now = snapshot.routes_of(&service.key);
        now.or_else(|| told.routes_of(&service.key)).cloned()
    });
    let connection = Connection {
        identity: Some(downstream.identity.clone()),
        source: downstream.client,
        destination: downstream.attached.destination(),
    };
    let policies = || filters::policies(&settings, routes.as_deref());
    let asked = {
        let subject = Subject::connection(&connection, downstream.client.ip(), None);
        let known = |provider: &str| settings.providers.contains_key(provider);
        ask(policies(), &subject, known, settings.several_providers)
    };
    match asked {
        Ask::Nobody => {}
        Ask::Refuse { by, why } => {
            judged(Verdict::DeniedBy(by.key.clone()), Vec::new());
            return Err(refused(Reason::RefusedByProvider, format!("{by}: {why}")));
        }
        Ask::Providers(providers) => {
            for (name, by) in providers {
                let Some(provider) = settings.providers.get(&name) else { continue };
                if let Err(text) = ext_authz::check_connection(shared, &snapshot, &own, downstream, provider).await {
                    judged(Verdict::DeniedBy(by.key.clone()), Vec::new());
                    return Err(refused(Reason::RefusedByProvider, format!("{by}: {text}")));
                }
            }
        }
    }
    let decision = authorize(policies(), &Subject::connection(&connection, downstream.client.ip(), None));
    judged(verdict_of(&decision.verdict), otherwise(&decision, policies()));
    match &decision.verdict {
        HttpVerdict::Allowed { .. } => Ok(()),
        HttpVerdict::DeniedBy(_) => Err(refused(Reason::PolicyDenied, decision.verdict.to_string())),
        HttpVerdict::NotAllowed => Err(refused(Reason::PolicyNotAllowed, decision.verdict.to_string())),
    }
}

fn verdict_of(verdict: &HttpVerdict) -> Verdict {
    match verdict {
        HttpVerdict::Allowed { by } => Verdict::Allowed { by: by.as_ref().map(|by| by.key.clone()) },
        HttpVerdict::DeniedBy(by) => Verdict::DeniedBy(by.key.clone()),
        HttpVerdict::NotAllowed => Verdict::NotAllowed,
    }
}

/// Dry runs that would refuse what is allowed.
fn otherwise<'a>(decision: &HttpDecision, policies: impl Iterator<Item = &'a HttpPolicy>) -> Vec<PolicyKey> {
    if !decision.verdict.is_allowed() {
        return Vec::new();
    }
    let denied = decision.dry_run_deny.iter().filter_map(|result| result.by.as_ref()).map(|by| by.key.clone());
    let not_allowed = decision.dry_run_allow.as_ref().is_some_and(|result| !result.allowed);
    let allowing = policies.filter(|policy| not_allowed && policy.dry_run && policy.action == HttpAction::Allow);
    denied.chain(allowing.map(|policy| policy.key.clone())).collect()
}

async fn carry<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    target: &Target,
    trace: TraceParent,
    stream: &mut Sniffed<Tunnel>,
    record: &Record,
) -> Result<(), Ended> {
    let target = target.clone().resolved(&shared.resolver).await;
    let target = target.map_err(|error| Ended { reason: Reason::NoResolvedAddress, text: error.to_string() })?;
    let connected = connect(shared, &target, &[], trace).await;
    let mut upstream =
        connected.map_err(|failure| Ended { reason: failure.reason(), text: failure.text.to_string() })?;
    let server = match &upstream {
        UpstreamStream::Tunnel(_) | UpstreamStream::Tls(_) => OnReset::Failure,
        UpstreamStream::Plain(_) => OnReset::End,
    };
    let on_resets = OnResets { client: OnReset::Failure, server };
    let copied = copy(stream, &mut upstream, on_resets, record).await;
    if copied.is_err() {
        upstream.abort();
    }
    copied.map_err(|failure| {
        let reason = match failure.side {
            Side::Client => Reason::Reset,
            Side::Server => Reason::UpstreamReset,
        };
        Ended { reason, text: failure.to_string() }
    })
}

/// Completes when nothing has passed for `limit`; never without one.
async fn idle<H: Host>(host: &H, limit: Option<Duration>, record: &Record) -> Ended {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        let until = *record.last.lock() + limit;
        if until <= host.now() {
            return Ended { reason: Reason::Idle, text: format!("nothing passed for {limit:?}") };
        }
        host.sleep_until(until).await;
    }
}

/// One connection's story: bytes as they pass, and its end.
struct Record {
    info: Arc<ConnectionInfo>,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    opened: Instant,
    /// When bytes passed last.
    last: Mutex<Instant>,
    counts: ByteCounts,
    told: [AtomicU64; 2],
    sink: Arc<dyn Sink>,
}

impl Record {
    fn open(now: Box<dyn Fn() -> Instant + Send + Sync>, info: Arc<ConnectionInfo>, sink: Arc<dyn Sink>) -> Self {
        let at = now();
        sink.record(Event::Opened { at, connection: info.clone() });
        Record {
            info,
            now,
            opened: at,
            last: Mutex::new(at),
            counts: ByteCounts::default(),
            told: Default::default(),
            sink,
        }
    }

    fn judged(&self, at: Instant, verdict: Verdict, dry_run: Vec<PolicyKey>) {
        self.sink.record(Event::Judged { at, connection: self.info.clone(), verdict, dry_run });
    }

    fn tell_bytes(&self) {
        let totals = [self.counts.to_client(), self.counts.to_server()];
        let [sent, received] =
            [0, 1].map(|side: usize| totals[side] - self.told[side].swap(totals[side], Ordering::Relaxed));
        if sent + received > 0 {
            self.sink.record(Event::Bytes { connection: self.info.clone(), sent, received });
        }
    }

    fn close(self, at: Instant, outcome: Result<(), Ended>) {
        self.tell_bytes();
        let (reason, error) = match outcome {
            Ok(()) => (Reason::Completed, None),
            Err(ended) => (ended.reason, Some(ended.text)),
        };
        self.sink.record(Event::Closed {
            at,
            connection: self.info.clone(),
            sent: self.counts.to_client(),
            received: self.counts.to_server(),
            duration: at - self.opened,
            reason,
            error,
        });
    }
}

impl Meter for Record {
    fn forwarded(&self, to: Side, bytes: u64) {
        self.counts.forwarded(to, bytes);
        *self.last.lock() = (self.now)();
        let told: u64 = self.told.iter().map(|told| told.load(Ordering::Relaxed)).sum();
        if self.counts.to_client() + self.counts.to_server() - told >= REPORT_EVERY {
            self.tell_bytes();
        }
    }
}
