//! Opaque connections: one endpoint each, bytes both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::attach::Attached;
use super::shared::Shared;
use super::stream::Downstream;
use super::upstream::connect::{UpstreamStream, connect};
use super::upstream::pick::{know, pick};
use super::upstream::target::{Target, Transport, transport_of};
use super::http::sniff::Sniffed;
use crate::hbone::{TraceParent, Tunnel};
use crate::host::{Host, Instant};
use crate::identity::CertificateAuthority;
use crate::net::copy::{ByteCounts, Meter, OnReset, OnResets, Side, copy};
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};
use crate::route::{Backend, TcpDecision, choose_tcp};
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
    mut stream: Sniffed<Tunnel>,
    watcher: &DrainWatcher,
) {
    let chosen = choose_target(shared, &downstream);
    let mut info = (*downstream.info).clone();
    if let Ok((target, backend)) = &chosen {
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
    let record = Record::open(shared.host.now(), Arc::new(info), shared.sink.clone());
    let outcome = match chosen {
        Err(ended) => Err(ended),
        Ok((target, _)) => {
            let trace = TraceParent { span: shared.new_trace().span, ..downstream.trace };
            let carrying = Box::pin(carry(shared, &target, trace, &mut stream, &record));
            match race(watcher.cut(), carrying).await {
                First::Left(_) => Err(Ended {
                    reason: Reason::Drained,
                    text: "connection closed due to connection drain".to_owned(),
                }),
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

/// The endpoint this connection goes to. Routes and endpoints are those of now.
fn choose_target<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    downstream: &Downstream,
) -> Result<(Target, Option<Backend>), Ended> {
    let snapshot = shared.state.snapshot();
    let Some(own) = shared.own_workload(&snapshot) else {
        let text = "this waypoint's own pod is not known any more".to_owned();
        return Err(Ended { reason: Reason::UnknownSourceWorkload, text });
    };
    let mut rng = shared.rng.lock();
    let destination = downstream.attached.destination();
    let backend = match &downstream.attached {
        Attached::Workload { workload, destination } => {
            let target = Target {
                workload: workload.clone(),
                address: *destination,
                transport: transport_of(workload, &[]),
                connect_timeout: std::time::Duration::from_secs(10),
            };
            return Ok((target, None));
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
    let target = know(&snapshot, &backend).and_then(|known| pick(&snapshot, &own, &known, destination, &mut rng));
    match target {
        Ok(target) => Ok((target, Some(backend))),
        Err(none) => Err(Ended { reason: none.reason(), text: none.text().to_owned() }),
    }
}

async fn carry<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    target: &Target,
    trace: TraceParent,
    stream: &mut Sniffed<Tunnel>,
    record: &Record,
) -> Result<(), Ended> {
    let connected = connect(shared, target, trace).await;
    let mut upstream =
        connected.map_err(|failure| Ended { reason: failure.reason(), text: failure.text.to_string() })?;
    let server = match &upstream {
        UpstreamStream::Tunnel(_) => OnReset::Failure,
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

/// One connection's story: bytes as they pass, and its end.
struct Record {
    info: Arc<ConnectionInfo>,
    opened: Instant,
    counts: ByteCounts,
    told: [AtomicU64; 2],
    sink: Arc<dyn Sink>,
}

impl Record {
    fn open(at: Instant, info: Arc<ConnectionInfo>, sink: Arc<dyn Sink>) -> Self {
        sink.record(Event::Opened { at, connection: info.clone() });
        Record { info, opened: at, counts: ByteCounts::default(), told: Default::default(), sink }
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
        let told: u64 = self.told.iter().map(|told| told.load(Ordering::Relaxed)).sum();
        if self.counts.to_client() + self.counts.to_server() - told >= REPORT_EVERY {
            self.tell_bytes();
        }
    }
}
