//! Port 15006: what reaches the pod outside HBONE.

use std::sync::Arc;

use super::ILLEGAL_PORTS;
use super::admit::{Admission, InboundPlaintext, admit_plaintext};
use super::application;
use super::error::Failure;
use super::instance::{Instance, Refused};
use super::judge::judge;
use super::record::Record;
use crate::host::{Accepted, Host, Stream};
use crate::identity::CertificateAuthority;
use crate::net::copy::{OnResets, copy};
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};
use crate::state::Snapshot;
use crate::telemetry::{ConnectionInfo, ConnectionSecurity, Hop, Reason, Reporter};

/// Carries one plaintext connection to its end.
pub(super) async fn serve<H: Host, C: CertificateAuthority>(
    instance: Arc<Instance<H, C>>,
    accepted: Accepted<H::Tcp>,
    watcher: DrainWatcher,
) {
    let Accepted { stream, peer, original_dst } = accepted;
    stream.set_keepalive(instance.config().keepalive);
    let mut refused = Refused {
        reporter: Reporter::Destination,
        source: peer,
        destination: original_dst,
        trace: None,
        workload: None,
    };
    if ILLEGAL_PORTS.contains(&original_dst.port()) {
        return instance.tell_refused(refused, Failure::self_call());
    }
    let (snapshot, workload) = match race(watcher.cut(), instance.local_workload()).await {
        First::Left(_) => return,
        First::Right(Some(known)) => known,
        First::Right(None) => {
            let text = format!("unknown destination workload {}/{}", instance.local.namespace, instance.local.name);
            return instance.tell_refused(refused, Failure::new(Reason::UnknownDestinationWorkload, text));
        }
    };
    refused.workload = Some(workload.clone());
    let inbound = InboundPlaintext {
        workload: &workload,
        peer,
        original_destination: original_dst,
        network: &instance.config().network,
    };
    let admission = match admit_plaintext(&snapshot, &inbound) {
        Ok(admission) => admission,
        Err(error) => return instance.tell_refused(refused, error.into()),
    };
    let info = describe(&instance, &snapshot, &refused, &admission);
    let judged = admission.connection(peer, None);
    let record = Record::new(info, Some(judged), instance.host.now(), instance.shared.sink.clone());
    let tracked = instance.connections.track(record);
    tracked.tell_opened();
    let outcome = carry(&instance, &tracked, &admission, stream).await;
    tracked.tell_closed(instance.host.now(), outcome);
    // Held until here: a drain waits for it.
    drop(watcher);
}

async fn carry<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    record: &Record,
    admission: &Admission,
    mut stream: H::Tcp,
) -> Result<(), Failure> {
    judge(instance, record).await?;
    let from = admission.preserve_source.then(|| record.info.source.ip());
    // Boxed: what connecting needs is let go of when it is done.
    let connecting = Box::pin(application::connect(&instance.host, instance.config(), admission.application, from));
    let mut application = match race(record.ordered_to_end(), connecting).await {
        First::Left(failure) => return Err(failure),
        First::Right(application) => application?,
    };
    let copied = {
        let copying = copy(&mut stream, &mut application, OnResets::APPLICATIONS, record);
        race(record.ordered_to_end(), copying).await
    };
    let outcome = match copied {
        First::Left(failure) => Err(failure),
        First::Right(outcome) => outcome.map_err(|failure| Failure::broken(&failure)),
    };
    if outcome.is_err() {
        stream.reset();
        application.reset();
    }
    outcome
}

fn describe<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    snapshot: &Snapshot,
    refused: &Refused,
    admission: &Admission,
) -> Arc<ConnectionInfo> {
    let service = admission.destination_service.as_ref();
    let mut trace = [0; 16];
    instance.shared.rng.lock().fill(&mut trace);
    Arc::new(ConnectionInfo {
        id: instance.shared.next_connection(),
        trace: crate::telemetry::TraceId(trace),
        reporter: Reporter::Destination,
        local_workload: refused.workload.clone(),
        source: refused.source,
        source_workload: admission.source_workload.clone(),
        source_identity: None,
        original_destination: refused.destination,
        destination: Some(admission.application),
        authority: None,
        destination_workload: refused.workload.clone(),
        destination_service: service.cloned(),
        destination_service_name: service.and_then(|key| snapshot.service(key)).map(|service| service.name.clone()),
        hop: Hop::Plain,
        security: ConnectionSecurity::Unknown,
    })
}
