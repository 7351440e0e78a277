//! One CONNECT on an HBONE connection to the pod.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use tokio::io::AsyncWriteExt;

use super::admit::{Admission, InboundConnect, admit};
use super::application;
use super::error::Failure;
use super::instance::{Instance, Refused};
use super::judge::judge;
use super::labels::{baggage_of, workload_of};
use super::proxy_header::proxy_header;
use super::record::Record;
use crate::hbone::{IncomingConnect, TraceParent};
use crate::host::{Host, Stream};
use crate::identity::CertificateAuthority;
use crate::net::copy::{OnResets, Side, copy};
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};
use crate::state::{Snapshot, Workload};
use crate::telemetry::{ConnectionInfo, ConnectionSecurity, Hop, Reason, Reporter, TraceId};

/// Judges one CONNECT in the order of the protocol, answers it, and carries it to its end.
pub(super) async fn serve<H: Host, C: CertificateAuthority>(
    instance: Arc<Instance<H, C>>,
    incoming: IncomingConnect,
    local: SocketAddr,
    watcher: DrainWatcher,
) {
    let trace = incoming.headers().traceparent.map(|traceparent| traceparent.trace);
    let trace = trace.unwrap_or_else(|| TraceParent::random(&mut instance.shared.rng.lock()).trace);
    match admitted(&instance, &incoming, local) {
        Ok(Admitted { snapshot, workload, admission }) => {
            let info = describe(&instance, &snapshot, &workload, &incoming, local, trace, &admission);
            let identity = incoming.info().peer_identity.clone();
            let judged = admission.connection(incoming.info().peer, Some(identity));
            let record = Record::new(info, Some(judged), instance.host.now(), instance.shared.sink.clone());
            let tracked = instance.connections.track(record);
            tracked.tell_opened();
            let outcome = carry(&instance, &tracked, &workload, &admission, incoming).await;
            tracked.tell_closed(instance.host.now(), outcome);
        }
        Err(Rejected { status, failure, workload }) => {
            let refused = Refused {
                reporter: Reporter::Destination,
                source: incoming.info().peer,
                destination: local,
                trace: Some(trace),
                workload,
            };
            incoming.refuse(status);
            instance.tell_refused(refused, failure);
        }
    }
    // Held until here: a drain waits for it.
    drop(watcher);
}

struct Admitted {
    snapshot: Arc<Snapshot>,
    workload: Arc<Workload>,
    admission: Admission,
}

struct Rejected {
    status: StatusCode,
    failure: Failure,
    workload: Option<Arc<Workload>>,
}

/// Everything before policy: method, authority, local workload, destination, next hop.
fn admitted<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    incoming: &IncomingConnect,
    local: SocketAddr,
) -> Result<Admitted, Rejected> {
    let bad = |text: String| Rejected {
        status: StatusCode::BAD_REQUEST,
        failure: Failure::new(Reason::BadRequest, text),
        workload: None,
    };
    if incoming.method() != Method::CONNECT {
        return Err(bad(format!("method {} is not CONNECT", incoming.method())));
    }
    let Some(authority) = incoming.authority() else { return Err(bad("CONNECT without an authority".to_owned())) };
    let Some((snapshot, workload)) = instance.local_workload_now() else {
        let text = format!("unknown destination workload {}/{}", instance.local.namespace, instance.local.name);
        return Err(Rejected {
            status: StatusCode::SERVICE_UNAVAILABLE,
            failure: Failure::new(Reason::UnknownDestinationWorkload, text),
            workload: None,
        });
    };
    let inbound = InboundConnect {
        workload: &workload,
        peer: incoming.info().peer,
        local,
        authority,
        forwarded_host: incoming.headers().forwarded_host.as_deref(),
        forwarded_network: incoming.headers().network.as_deref(),
        network: &instance.config().network,
        localhost_tunnel: instance.config().localhost_tunnel,
    };
    match admit(&snapshot, &inbound) {
        Ok(admission) => Ok(Admitted { snapshot, workload, admission }),
        Err(error) => Err(Rejected {
            status: StatusCode::from_u16(error.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            failure: error.into(),
            workload: Some(workload),
        }),
    }
}

async fn carry<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    record: &Record,
    workload: &Workload,
    admission: &Admission,
    mut incoming: IncomingConnect,
) -> Result<(), Failure> {
    let connected = {
        // Boxed: what connecting needs is let go of when it is done.
        let connecting = Box::pin(async {
            judge(instance, record).await?;
            let from = admission.preserve_source.then(|| record.info.source.ip());
            application::connect(&instance.host, instance.config(), admission.application, from).await
        });
        let gone = race(record.ordered_to_end(), incoming.cancelled());
        match race(gone, connecting).await {
            First::Left(First::Left(failure)) => Err(failure),
            First::Left(First::Right(())) => {
                Err(Failure::new(Reason::Reset, "the peer gave up before it was answered"))
            }
            First::Right(outcome) => outcome,
        }
    };
    let mut application = match connected {
        Ok(application) => application,
        Err(failure) => {
            incoming.refuse(status_of(failure.reason));
            return Err(failure);
        }
    };
    let header = admission
        .proxy_header
        .map(|destination| proxy_header(incoming.info().peer, destination, record.info.source_identity.as_ref()));
    let baggage = instance.config().response_baggage.then(|| baggage_of(workload));
    let mut tunnel = incoming.accept(baggage.as_ref())?;
    let copied = {
        let copying = async {
            if let Some(header) = header
                && let Err(error) = application.write_all(&header).await
            {
                return Err(Failure::connect(admission.application, &error));
            }
            let outcome = copy(&mut tunnel, &mut application, OnResets::CLIENT_TUNNEL, record).await;
            outcome.map_err(|failure| Failure::broken_tunnel(&failure, Side::Client, tunnel.connection_closed()))
        };
        race(record.ordered_to_end(), copying).await
    };
    let outcome = match copied {
        First::Left(failure) => Err(failure),
        First::Right(outcome) => outcome,
    };
    if outcome.is_err() {
        // Nobody may take a broken stream for a finished one.
        application.reset();
        tunnel.abort();
    }
    outcome
}

/// What the peer is told of a failure after admission.
fn status_of(reason: Reason) -> StatusCode {
    match reason {
        Reason::PolicyDenied
        | Reason::PolicyNotAllowed
        | Reason::PolicyUnknown
        | Reason::PolicyChanged
        | Reason::WorkloadChanged => StatusCode::UNAUTHORIZED,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn describe<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    snapshot: &Snapshot,
    workload: &Arc<Workload>,
    incoming: &IncomingConnect,
    local: SocketAddr,
    trace: TraceId,
    admission: &Admission,
) -> Arc<ConnectionInfo> {
    let service = admission.destination_service.as_ref();
    let source_workload = admission.source_workload.clone();
    Arc::new(ConnectionInfo {
        id: instance.shared.next_connection(),
        trace,
        reporter: Reporter::Destination,
        local_workload: Some(workload.clone()),
        source: incoming.info().peer,
        source_workload: source_workload.or_else(|| workload_of(&incoming.headers().baggage)),
        source_identity: Some(incoming.info().peer_identity.clone()),
        original_destination: local,
        destination: Some(admission.application),
        authority: incoming.authority().map(Arc::from),
        destination_workload: Some(workload.clone()),
        destination_service: service.cloned(),
        destination_service_name: service.and_then(|key| snapshot.service(key)).map(|service| service.name.clone()),
        hop: Hop::Hbone,
        security: ConnectionSecurity::MutualTls,
    })
}
