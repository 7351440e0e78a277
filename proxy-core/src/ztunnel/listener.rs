//! The accept loop of a listener.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::error::Failure;
use super::instance::{Instance, Refused};
use crate::host::{Accepted, Host, Listener};
use crate::identity::CertificateAuthority;
use crate::net::drain::{DrainWatcher, Phase};
use crate::net::race::{First, race};
use crate::telemetry::{Event, Reason, Reporter};

/// First wait after a failed accept; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What a listener does with a connection.
pub(super) struct Service<F> {
    pub(super) reporter: Reporter,
    /// Name of the tasks that carry connections.
    pub(super) task: &'static str,
    /// Carries one to its end; has to end soon after the watcher's cut.
    pub(super) handle: F,
}

/// Accepts until drained, once configuration is in sync. A connection that was established before the drain began is
/// still taken. A failing accept is retried after a growing wait.
pub(super) async fn serve<H, C, F, T>(
    instance: Arc<Instance<H, C>>,
    listener: H::Listener,
    watcher: DrainWatcher,
    service: Service<F>,
) where
    H: Host,
    C: CertificateAuthority,
    F: Fn(Arc<Instance<H, C>>, Accepted<H::Tcp>, DrainWatcher) -> T + Copy + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let mut draining = pin!(watcher.draining());
    if let First::Left(_) = race(draining.as_mut(), instance.shared.state.synced()).await {
        return;
    }
    let open = Arc::new(AtomicUsize::new(0));
    let mut backoff = BACKOFF_MIN;
    let phase = loop {
        match race(draining.as_mut(), listener.accept()).await {
            First::Left(phase) => break phase,
            First::Right(Ok(accepted)) => {
                backoff = BACKOFF_MIN;
                take(&instance, accepted, &watcher, &service, &open);
            }
            First::Right(Err(error)) => {
                tracing::warn!(workload = %instance.info.name, %error, "accept failed");
                if let First::Left(phase) = race(draining.as_mut(), instance.host.sleep(backoff)).await {
                    break phase;
                }
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    };
    if matches!(phase, Phase::Graceful { .. }) {
        loop {
            let mut accept = pin!(listener.accept());
            match accept.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(accepted)) => take(&instance, accepted, &watcher, &service, &open),
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
    }
}

fn take<H, C, F, T>(
    instance: &Arc<Instance<H, C>>,
    accepted: Accepted<H::Tcp>,
    watcher: &DrainWatcher,
    service: &Service<F>,
    open: &Arc<AtomicUsize>,
) where
    H: Host,
    C: CertificateAuthority,
    F: Fn(Arc<Instance<H, C>>, Accepted<H::Tcp>, DrainWatcher) -> T + Copy + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let limit = instance.config().sockets_max;
    if open.load(Ordering::Relaxed) >= limit {
        let refused = Refused {
            reporter: service.reporter,
            source: accepted.peer,
            destination: accepted.original_dst,
            trace: None,
            workload: None,
        };
        let text = format!("the workload's proxy holds {limit} connections open already");
        instance.tell_refused(refused, Failure::new(Reason::LimitReached, text));
        return;
    }
    open.fetch_add(1, Ordering::Relaxed);
    let (reporter, sink, open) = (service.reporter, instance.shared.sink.clone(), open.clone());
    sink.record(Event::SocketOpened { reporter });
    // Begun inside the task: a future that is moved into another is kept twice.
    let (handle, owner, watcher) = (service.handle, instance.clone(), watcher.clone());
    instance.host.spawn(service.task, async move {
        handle(owner, accepted, watcher).await;
        open.fetch_sub(1, Ordering::Relaxed);
        sink.record(Event::SocketClosed { reporter });
    });
}
