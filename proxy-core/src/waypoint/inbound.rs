//! Port 15008: tunnels from clients' proxies.

use std::sync::Arc;

use super::shared::Shared;
use super::stream;
use crate::hbone::ServerConnection;
use crate::host::{Accepted, Host};
use crate::identity::CertificateAuthority;
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};
use crate::telemetry::{Event, Reason, Reporter};

/// Carries one HBONE connection to its end. Its streams run in tasks of their own.
pub(super) async fn serve<H: Host, C: CertificateAuthority>(
    shared: Arc<Shared<H, C>>,
    accepted: Accepted<H::Tcp>,
    watcher: DrainWatcher,
) {
    let (peer, local) = (accepted.peer, accepted.original_dst);
    // Boxed: what a handshake needs is let go of when it is done, for the connection may idle for hours.
    let handshake = Box::pin(handshake(&shared, accepted));
    let established = match race(watcher.cut(), handshake).await {
        First::Left(_) => return,
        First::Right(established) => established,
    };
    match established {
        Ok(connection) => {
            let take = |incoming| {
                let stream = stream::serve(shared.clone(), incoming, local, watcher.clone());
                shared.host.spawn("waypoint stream", stream);
            };
            connection.serve(&watcher, Reason::Drained, take).await;
        }
        Err((reason, error)) => shared.sink.record(Event::Refused {
            at: shared.host.now(),
            reporter: Reporter::Waypoint,
            source: peer,
            destination: local,
            trace: None,
            local_workload: None,
            reason,
            error,
        }),
    }
}

/// TLS and HTTP/2, presenting our own certificate. The client must prove to be of our trust domain or of an alias of it.
async fn handshake<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    accepted: Accepted<H::Tcp>,
) -> Result<Box<ServerConnection<H>>, (Reason, String)> {
    let certificate = match shared.certificates.fetch(&shared.config.identity).await {
        Ok(certificate) => certificate,
        Err(error) => return Err((Reason::IdentityUnavailable, error.to_string())),
    };
    let settings = shared.settings(&shared.state.snapshot());
    let aliases = settings.as_ref().map_or(&[][..], |settings| &settings.trust_domains.aliases);
    let connection = shared.acceptor.accept(accepted.stream, &certificate, aliases).await;
    connection.map(Box::new).map_err(|error| (error.reason(), error.to_string()))
}
