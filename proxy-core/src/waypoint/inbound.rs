//! Port 15008: tunnels from clients' proxies.

use std::net::SocketAddr;
use std::sync::Arc;

use super::shared::Shared;
use super::stream;
use crate::hbone::ServerConnection;
use crate::host::{Accepted, Host};
use crate::identity::CertificateAuthority;
use crate::net::drain::{DrainWatcher, Phase};
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
        Ok(connection) => take_streams(&shared, connection, local, &watcher).await,
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

/// Takes streams until the connection is over, the drain is through, or everything is cut.
async fn take_streams<H: Host, C: CertificateAuthority>(
    shared: &Arc<Shared<H, C>>,
    mut connection: Box<ServerConnection<H>>,
    local: SocketAddr,
    watcher: &DrainWatcher,
) {
    let mut draining = std::pin::pin!(watcher.draining());
    let mut announced = false;
    loop {
        let next = if announced {
            match race(watcher.cut(), connection.next()).await {
                First::Left(_) => return connection.close(Reason::Drained),
                First::Right(next) => next,
            }
        } else {
            match race(draining.as_mut(), connection.next()).await {
                First::Left(Phase::Cut { .. }) => return connection.close(Reason::Drained),
                First::Left(_) => {
                    announced = true;
                    connection.graceful_shutdown();
                    continue;
                }
                First::Right(next) => next,
            }
        };
        let Some(incoming) = next else { return };
        shared.host.spawn("waypoint stream", stream::serve(shared.clone(), incoming, local, watcher.clone()));
    }
}
