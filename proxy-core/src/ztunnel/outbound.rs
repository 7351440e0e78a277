//! Port 15001: what the pod's applications send.

use std::sync::Arc;

use super::ILLEGAL_PORTS;
use super::error::Failure;
use super::instance::{Instance, Refused};
use super::plan::{Outbound, Plan, Transport, plan};
use super::record::Record;
use super::transport::{self, Carrier};
use crate::hbone::TraceParent;
use crate::host::{Accepted, Host, Stream};
use crate::identity::CertificateAuthority;
use crate::net::copy::{OnResets, Side, copy};
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};
use crate::state::{Snapshot, Workload};
use crate::telemetry::{ConnectionInfo, ConnectionSecurity, Reason, Reporter};

/// Carries one captured connection to its end.
pub(super) async fn serve<H: Host, C: CertificateAuthority>(
    instance: Arc<Instance<H, C>>,
    accepted: Accepted<H::Tcp>,
    watcher: DrainWatcher,
) {
    let Accepted { stream, peer, original_dst } = accepted;
    stream.set_keepalive(instance.config().keepalive);
    let mut refused =
        Refused { reporter: Reporter::Source, source: peer, destination: original_dst, trace: None, workload: None };
    if original_dst.ip().is_loopback() && ILLEGAL_PORTS.contains(&original_dst.port()) {
        return instance.tell_refused(refused, Failure::self_call());
    }
    let (snapshot, workload) = match race(watcher.cut(), instance.local_workload()).await {
        First::Left(_) => return,
        First::Right(Some(known)) => known,
        First::Right(None) => {
            let text = format!(
                "unknown source workload {}/{} in {:?}; has the control plane sent it?",
                instance.local.namespace,
                instance.local.name,
                instance.config().workload_wait
            );
            return instance.tell_refused(refused, Failure::new(Reason::UnknownSourceWorkload, text));
        }
    };
    refused.workload = Some(workload.clone());
    let outbound = Outbound {
        source: &workload,
        client: peer.ip(),
        original_destination: original_dst,
        network: &instance.config().network,
    };
    let (planned, traceparent) = {
        let mut rng = instance.shared.rng.lock();
        (plan(&snapshot, &outbound, &mut rng), TraceParent::random(&mut rng))
    };
    let plan = match planned.map_err(Failure::from).and_then(transport::supported) {
        Ok(plan) => match race(watcher.cut(), Box::pin(transport::resolved(&instance, plan))).await {
            First::Left(_) => return,
            First::Right(resolved) => resolved,
        },
        Err(failure) => Err(failure),
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(failure) => return instance.tell_refused(refused, failure),
    };
    let info = describe(&instance, &snapshot, &workload, &refused, &plan, traceparent);
    let record = Record::new(info, None, instance.host.now(), instance.shared.sink.clone());
    let tracked = instance.connections.track(record);
    tracked.tell_opened();
    let outcome = carry(&instance, &tracked, &workload, &plan, traceparent, stream).await;
    tracked.tell_closed(instance.host.now(), outcome);
    // Held until here: a drain waits for it.
    drop(watcher);
}

async fn carry<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    record: &Record,
    workload: &Arc<Workload>,
    plan: &Plan,
    traceparent: TraceParent,
    mut stream: H::Tcp,
) -> Result<(), Failure> {
    let source = record.info.source;
    // Boxed: what connecting needs is let go of when it is done.
    let connecting = Box::pin(transport::connect(instance, workload, source, plan, traceparent));
    let carrier = match race(record.ordered_to_end(), connecting).await {
        First::Left(failure) => return Err(failure),
        First::Right(carrier) => carrier?,
    };
    let outcome = match carrier {
        Carrier::Tcp(mut server) => {
            let copied = {
                let copying = copy(&mut stream, &mut server, OnResets::APPLICATIONS, record);
                race(record.ordered_to_end(), copying).await
            };
            let outcome = match copied {
                First::Left(failure) => Err(failure),
                First::Right(outcome) => outcome.map_err(|failure| Failure::broken(&failure)),
            };
            if outcome.is_err() {
                server.reset();
            }
            outcome
        }
        Carrier::Tunnel(mut tunnel) => {
            let copied = {
                let copying = copy(&mut stream, &mut tunnel, OnResets::SERVER_TUNNEL, record);
                race(record.ordered_to_end(), copying).await
            };
            let outcome = match copied {
                First::Left(failure) => Err(failure),
                First::Right(outcome) => outcome
                    .map_err(|failure| Failure::broken_tunnel(&failure, Side::Server, tunnel.connection_closed())),
            };
            if outcome.is_err() {
                tunnel.abort();
            }
            outcome
        }
    };
    if outcome.is_err() {
        // Nobody may take a broken stream for a finished one.
        stream.reset();
    }
    outcome
}

fn describe<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    snapshot: &Snapshot,
    workload: &Arc<Workload>,
    refused: &Refused,
    plan: &Plan,
    traceparent: TraceParent,
) -> Arc<ConnectionInfo> {
    let (security, authority) = match &plan.transport {
        Transport::Tcp => (ConnectionSecurity::Unknown, None),
        Transport::Hbone(tunnel) => (ConnectionSecurity::MutualTls, Some(tunnel.authority.clone())),
        Transport::DoubleHbone { inner, .. } => (ConnectionSecurity::MutualTls, Some(inner.authority.clone())),
    };
    let service = plan.destination_service.as_ref();
    Arc::new(ConnectionInfo {
        id: instance.shared.next_connection(),
        trace: traceparent.trace,
        reporter: Reporter::Source,
        local_workload: Some(workload.clone()),
        source: refused.source,
        source_workload: Some(workload.clone()),
        source_identity: (security == ConnectionSecurity::MutualTls).then(|| workload.identity()),
        original_destination: refused.destination,
        destination: plan.address(),
        authority,
        destination_workload: plan.destination_workload.clone(),
        destination_service: service.cloned(),
        destination_service_name: service.and_then(|key| snapshot.service(key)).map(|service| service.name.clone()),
        hop: plan.hop,
        security,
    })
}
