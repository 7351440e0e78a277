//! [`StateHandle`]: the latest [`Snapshot`], and news of its changes.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Applied, Push, SharedUpdate, Snapshot, Workload};

/// The latest snapshot, shared by every task of a proxy. Clones are the same handle.
#[derive(Clone, Debug)]
pub struct StateHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    latest: Mutex<Latest>,
    news: Notify,
}

#[derive(Debug)]
struct Latest {
    snapshot: Arc<Snapshot>,
    version: u64,
    synced: bool,
}

/// Who a proxy instance serves: how it finds its own workload, never by IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalWorkload {
    /// Pod name.
    pub name: Arc<str>,
    /// Kubernetes namespace.
    pub namespace: Arc<str>,
    /// Kubernetes service account.
    pub service_account: Arc<str>,
    /// This node; empty means any.
    pub node: Arc<str>,
}

impl Default for StateHandle {
    fn default() -> Self {
        StateHandle::new()
    }
}

impl StateHandle {
    /// Knows nothing, is not in sync.
    pub fn new() -> Self {
        let latest = Latest { snapshot: Snapshot::empty(), version: 0, synced: false };
        StateHandle { shared: Arc::new(Shared { latest: Mutex::new(latest), news: Notify::new() }) }
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.latest.lock().snapshot.clone()
    }

    /// How many updates have been applied.
    pub fn version(&self) -> u64 {
        self.shared.latest.lock().version
    }

    /// Applies an update and wakes whoever waits for news. Readers see all of it or none.
    pub fn apply(&self, update: &SharedUpdate) -> Arc<Applied> {
        self.advance(update, false)
    }

    /// Applies a push; after an initial one the handle is in sync for good. The caller answers the source.
    pub fn apply_push(&self, push: &Push) -> Arc<Applied> {
        self.advance(&push.update, push.initial)
    }

    fn advance(&self, update: &SharedUpdate, initial: bool) -> Arc<Applied> {
        let applied = {
            let mut latest = self.shared.latest.lock();
            let (snapshot, applied) = update.apply_to(&latest.snapshot);
            latest.snapshot = snapshot;
            latest.version += 1;
            latest.synced |= initial;
            applied
        };
        self.shared.news.notify_waiters();
        applied
    }

    /// Whether the first full push has been applied.
    pub fn is_synced(&self) -> bool {
        self.shared.latest.lock().synced
    }

    /// Completes once [`StateHandle::is_synced`]. Has no limit of its own: wrap in a timeout.
    pub async fn synced(&self) {
        self.until(|latest| latest.synced.then_some(())).await;
    }

    /// Completes once more than `version` updates have been applied, with the count to wait for next and the latest
    /// snapshot. Several updates in a row may be seen as one.
    pub async fn changed(&self, version: u64) -> (u64, Arc<Snapshot>) {
        self.until(|latest| (latest.version > version).then(|| (latest.version, latest.snapshot.clone()))).await
    }

    /// Completes once the local workload is known. Has no limit of its own: wrap in a timeout.
    pub async fn wait_for_workload(&self, local: &LocalWorkload) -> Arc<Workload> {
        self.until(|latest| latest.snapshot.local_workload(local).cloned()).await
    }

    /// Registers for news before looking, so that no change falls between a look and the wait.
    async fn until<T>(&self, look: impl Fn(&Latest) -> Option<T>) -> T {
        loop {
            let news = self.shared.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(found) = look(&self.shared.latest.lock()) {
                return found;
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests;
