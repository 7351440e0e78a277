//! One CONNECT: what it leads to, what is spoken in it, and who carries that.

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::{Method, StatusCode};

use super::attach::{Attached, NotAttached, attach};
use super::exchange::Exchange;
use super::http::framing::HeadLimits;
use super::http::sniff::{Sniffed, Spoken, sniff};
use super::http::{http1, http2};
use super::shared::Shared;
use super::tcp;
use crate::hbone::{Baggage, IncomingConnect, TraceParent, Tunnel};
use crate::host::Host;
use crate::identity::{CertificateAuthority, Identity};
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};
use crate::route::PortProtocol;
use crate::state::{Snapshot, Workload};
use crate::telemetry::{ConnectionInfo, ConnectionSecurity, Event, Hop, Reason, Reporter};

/// A client's tunnel, as everything that is carried in it sees it.
pub(super) struct Downstream {
    /// For telemetry.
    pub(super) info: Arc<ConnectionInfo>,
    /// The original client, as its proxy told; the tunnel's peer if it did not.
    pub(super) client: SocketAddr,
    /// Who it proved to be.
    pub(super) identity: Identity,
    /// Its workload, by its address: never by what it says of itself.
    pub(super) workload: Option<Arc<Workload>>,
    /// What it leads to, as configured when it was opened.
    pub(super) attached: Attached,
    /// The trace of the tunnel.
    pub(super) trace: TraceParent,
}

/// Judges one CONNECT, answers it, and carries it to its end.
pub(super) async fn serve<H: Host, C: CertificateAuthority>(
    shared: Arc<Shared<H, C>>,
    incoming: IncomingConnect,
    local: SocketAddr,
    watcher: DrainWatcher,
) {
    let attached = judge(&shared, &incoming);
    match attached {
        Ok((attached, told)) => {
            let downstream = Arc::new(describe(&shared, &incoming, attached));
            let own = shared.own_workload(&shared.state.snapshot());
            let baggage = own.as_deref().map(Baggage::of);
            if let Ok(tunnel) = incoming.accept(baggage.as_ref()) {
                carry(&shared, downstream, told, tunnel, &watcher).await;
            }
        }
        Err(refusal) => {
            let source = incoming.headers().forwarded_for.unwrap_or(incoming.info().peer);
            let trace = incoming.headers().traceparent.map(|traceparent| traceparent.trace);
            incoming.refuse(StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::NOT_FOUND));
            shared.sink.record(Event::Refused {
                at: shared.host.now(),
                reporter: Reporter::Waypoint,
                source,
                destination: local,
                trace,
                local_workload: shared.own_workload(&shared.state.snapshot()),
                reason: refusal.reason,
                error: refusal.text,
            });
        }
    }
    // Held until here: a drain waits for it.
    drop(watcher);
}

/// What the tunnel leads to, and the state of things by which it does: the current one, or one of a moment ago.
fn judge<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    incoming: &IncomingConnect,
) -> Result<(Attached, Arc<Snapshot>), NotAttached> {
    if incoming.method() != Method::CONNECT {
        let text = format!("method {} is not CONNECT", incoming.method());
        return Err(NotAttached { status: 400, reason: Reason::BadRequest, text });
    }
    let snapshot = shared.state.snapshot();
    let attached = attach_by(shared, &snapshot, incoming);
    if let Ok(attached) = attached
        && shared.settings(&snapshot).is_some()
    {
        return Ok((attached, snapshot));
    }
    let lately = shared.lately.lock().held(shared.host.now());
    for former in lately {
        if let Ok(attached) = attach_by(shared, &former, incoming)
            && shared.settings(&former).is_some()
        {
            return Ok((attached, former));
        }
    }
    attach_by(shared, &snapshot, incoming).map(|attached| (attached, snapshot))
}

fn attach_by<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    snapshot: &Snapshot,
    incoming: &IncomingConnect,
) -> Result<Attached, NotAttached> {
    let own = shared.own_workload(snapshot);
    attach(snapshot, &shared.config.network, own.as_deref(), incoming.authority())
}

fn describe<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    incoming: &IncomingConnect,
    attached: Attached,
) -> Downstream {
    let snapshot = shared.state.snapshot();
    let headers = incoming.headers();
    let identity = incoming.info().peer_identity.clone();
    let owner = |address: SocketAddr| {
        let owner = snapshot.workload_of_address(&shared.config.network, address.ip().to_canonical());
        owner.filter(|owner| owner.is_identified_by(&identity)).cloned()
    };
    // Anybody may write `forwarded`: it counts only for an address whose owner the peer has proved to be.
    let claimed = headers.forwarded_for.and_then(|claimed| Some((claimed, owner(claimed)?)));
    let (client, workload) = match claimed {
        Some((claimed, workload)) => (claimed, Some(workload)),
        None => (incoming.info().peer, owner(incoming.info().peer)),
    };
    let trace = headers.traceparent.unwrap_or_else(|| shared.new_trace());
    let service = attached.service();
    let info = Arc::new(ConnectionInfo {
        id: shared.next_connection(),
        trace: trace.trace,
        reporter: Reporter::Waypoint,
        local_workload: shared.own_workload(&snapshot),
        source: client,
        source_workload: workload.clone(),
        source_identity: Some(identity.clone()),
        original_destination: attached.destination(),
        destination: None,
        authority: incoming.authority().map(Arc::from),
        destination_workload: match &attached {
            Attached::Workload { workload, .. } => Some(workload.clone()),
            Attached::Service { .. } => None,
        },
        destination_service: service.map(|service| service.key.clone()),
        destination_service_name: service.map(|service| service.name.clone()),
        hop: Hop::Hbone,
        security: ConnectionSecurity::MutualTls,
    });
    Downstream { info, client, identity, workload, attached, trace }
}

async fn carry<H: Host, C: CertificateAuthority>(
    shared: &Arc<Shared<H, C>>,
    downstream: Arc<Downstream>,
    told: Arc<Snapshot>,
    tunnel: Tunnel,
    watcher: &DrainWatcher,
) {
    let spoken = match downstream.attached.protocol() {
        protocol if protocol.is_opaque() => Ok((Spoken::Other, Sniffed::untouched(tunnel))),
        protocol => {
            let sniffing = sniff(&shared.host, tunnel, shared.config.sniff_timeout);
            match race(watcher.cut(), sniffing).await {
                First::Left(_) => return,
                // What is declared to be HTTP is HTTP, or it is answered as bad HTTP.
                First::Right(Ok((Spoken::Other, stream))) if protocol != PortProtocol::Sniff => {
                    Ok((Spoken::Http1, stream))
                }
                First::Right(outcome) => outcome,
            }
        }
    };
    let (spoken, stream) = match spoken {
        Ok(spoken) => spoken,
        Err(error) => {
            tracing::debug!(%error, "a client went before it said anything");
            return;
        }
    };
    let limits = shared.settings(&told).map(|settings| settings.limits).unwrap_or_default();
    match spoken {
        Spoken::Other => tcp::serve(shared, downstream, told, stream, watcher).await,
        Spoken::Http1 => {
            let limits = HeadLimits {
                // Less than this no request fits into, and the parser takes no less.
                bytes_max: limits.head_bytes_max.max(8 << 10),
                lines_max: limits.fields_max,
                time_max: limits.head_timeout.unwrap_or(shared.config.head_timeout),
            };
            let exchange = Exchange::new(shared.clone(), downstream, &told, false);
            drop(told);
            if let Err(error) = http1::serve(&shared.host, stream, limits, watcher, exchange).await {
                tracing::debug!(%error, "a client's HTTP/1.1 connection ended badly");
            }
        }
        Spoken::Http2 => {
            let mut settings = shared.config.http2.clone();
            settings.server_streams_max = limits.streams_max;
            settings.server_header_list_max = u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX);
            let exchange = Exchange::new(shared.clone(), downstream, &told, true);
            drop(told);
            if let Err(error) = http2::serve(&shared.host, stream, &settings, watcher, exchange).await {
                tracing::debug!(%error, "a client's HTTP/2 connection ended badly");
            }
        }
    }
}
