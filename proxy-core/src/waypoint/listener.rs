//! The accept loop of a listener.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::shared::Shared;
use crate::host::{Accepted, Host, Listener};
use crate::identity::CertificateAuthority;
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};
use crate::telemetry::{Event, Reason, Reporter};

/// First wait after a failed accept; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Accepts until drained, each connection in a task called `task`; refuses beyond the configured number.
pub(super) async fn serve<H, C, F, T>(
    shared: Arc<Shared<H, C>>,
    listener: H::Listener,
    watcher: DrainWatcher,
    task: &'static str,
    handle: F,
) where
    H: Host,
    C: CertificateAuthority,
    F: Fn(Arc<Shared<H, C>>, Accepted<H::Tcp>, DrainWatcher) -> T + Copy + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let mut draining = pin!(watcher.draining());
    let open = Arc::new(AtomicUsize::new(0));
    let mut backoff = BACKOFF_MIN;
    loop {
        let accepted = match race(draining.as_mut(), listener.accept()).await {
            First::Left(_) => return,
            First::Right(Ok(accepted)) => accepted,
            First::Right(Err(error)) => {
                tracing::warn!(gateway = %shared.config.gateway, %error, "accept failed");
                if let First::Left(_) = race(draining.as_mut(), shared.host.sleep(backoff)).await {
                    return;
                }
                backoff = (backoff * 2).min(BACKOFF_MAX);
                continue;
            }
        };
        backoff = BACKOFF_MIN;
        if open.load(Ordering::Relaxed) >= shared.config.sockets_max {
            shared.sink.record(Event::Refused {
                at: shared.host.now(),
                reporter: Reporter::Destination,
                source: accepted.peer,
                destination: accepted.original_dst,
                trace: None,
                local_workload: None,
                reason: Reason::LimitReached,
                error: format!("the waypoint holds {} connections open already", shared.config.sockets_max),
            });
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        shared.sink.record(Event::SocketOpened { reporter: Reporter::Destination });
        let (owner, watcher, open) = (shared.clone(), watcher.clone(), open.clone());
        shared.host.spawn(task, async move {
            let sink = owner.sink.clone();
            handle(owner, accepted, watcher).await;
            open.fetch_sub(1, Ordering::Relaxed);
            sink.record(Event::SocketClosed { reporter: Reporter::Destination });
        });
    }
}
