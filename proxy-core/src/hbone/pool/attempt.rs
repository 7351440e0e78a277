//! [`Attempt`]: a connection being made, and who waits for it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::hbone::HboneError;
use crate::hbone::client::ClientConnection;
use crate::telemetry::Reason;

/// A connection being made, and who waits for it.
#[derive(Default)]
pub(super) struct Attempt {
    outcome: Mutex<Option<Result<Arc<ClientConnection>, HboneError>>>,
    ended: Notify,
    retired: AtomicBool,
}

impl Attempt {
    /// What comes of it is to take no new streams.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The first outcome stands.
    pub(super) fn end(&self, outcome: Result<Arc<ClientConnection>, HboneError>) {
        self.outcome.lock().get_or_insert(outcome);
        self.ended.notify_waiters();
    }

    pub(super) async fn wait(&self) -> Result<Arc<ClientConnection>, HboneError> {
        // Created before the look: an end in between is not missed.
        let ended = self.ended.notified();
        if let Some(outcome) = self.outcome.lock().clone() {
            return outcome;
        }
        ended.await;
        // Ended means that there is an outcome.
        self.outcome.lock().clone().unwrap_or(Err(HboneError::Draining))
    }
}

/// Wakes the waiters even if the task that makes the connection is dropped half way.
pub(super) struct AttemptGuard(pub(super) Arc<Attempt>);

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        self.0.end(Err(HboneError::Closed(Reason::WorkloadRemoved)));
    }
}

/// Runs `work` unless the attempt is ended from outside first.
pub(super) async fn unless_ended<T>(attempt: &Attempt, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut ended = std::pin::pin!(attempt.wait());
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => ended.as_mut().poll(context).map(|_| None),
    })
    .await
}
