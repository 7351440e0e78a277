//! Port 15008: HBONE connections to the pod.

use std::sync::Arc;

use super::error::Failure;
use super::instance::{Instance, Refused};
use super::stream;
use crate::hbone::ServerConnection;
use crate::host::{Accepted, Host};
use crate::identity::CertificateAuthority;
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};
use crate::telemetry::{Reason, Reporter};

/// Carries one HBONE connection to its end. Its streams run in tasks of their own.
pub(super) async fn serve<H: Host, C: CertificateAuthority>(
    instance: Arc<Instance<H, C>>,
    accepted: Accepted<H::Tcp>,
    watcher: DrainWatcher,
) {
    let (peer, local) = (accepted.peer, accepted.original_dst);
    // Boxed: what a handshake needs is let go of when it is done, for the connection may idle for hours.
    let handshake = Box::pin(handshake(&instance, accepted));
    let established = match race(watcher.cut(), handshake).await {
        First::Left(_) => return,
        First::Right(established) => established,
    };
    match established {
        Ok(connection) => {
            let take = |incoming| {
                let stream = stream::serve(instance.clone(), incoming, local, watcher.clone());
                instance.host.spawn("hbone stream", stream);
            };
            connection.serve(&watcher, Reason::WorkloadRemoved, take).await;
        }
        Err((failure, workload)) => {
            let reporter = Reporter::Destination;
            let refused = Refused { reporter, source: peer, destination: local, trace: None, workload };
            instance.tell_refused(refused, failure);
        }
    }
}

type Unestablished = (Failure, Option<Arc<crate::state::Workload>>);

/// TLS and HTTP/2, presenting the local workload's own certificate.
async fn handshake<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    accepted: Accepted<H::Tcp>,
) -> Result<Box<ServerConnection<H>>, Unestablished> {
    let Some((_, workload)) = instance.local_workload().await else {
        let text = format!("unknown destination workload {}/{}", instance.local.namespace, instance.local.name);
        return Err((Failure::new(Reason::UnknownDestinationWorkload, text), None));
    };
    let certificate = match instance.shared.certificates.fetch(&workload.identity()).await {
        Ok(certificate) => certificate,
        Err(error) => return Err((error.into(), Some(workload))),
    };
    let accepted = instance.acceptor.accept(accepted.stream, &certificate, &[]).await;
    accepted.map(Box::new).map_err(|error| (error.into(), Some(workload)))
}
