//! [`Snapshot`]: everything a proxy was told, indexed. Immutable; an update makes another that shares most of it.

use std::sync::{Arc, LazyLock};

use super::{Applied, LocalWorkload, Update, Workload};
use crate::policy::{Connection, Decision, authorize};

/// Everything a proxy was told at one moment. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {}

impl Snapshot {
    /// Nothing. Always the same allocation, so that proxies that start from nothing share what comes of an update.
    pub fn empty() -> Arc<Snapshot> {
        static EMPTY: LazyLock<Arc<Snapshot>> = LazyLock::new(Arc::default);
        EMPTY.clone()
    }

    /// The snapshot after `update`: removals, then upserts, all or nothing to readers. What cannot be taken is
    /// rejected and keeps its previous value; the rest is applied.
    pub fn apply(base: &Arc<Snapshot>, _update: &Update) -> (Arc<Snapshot>, Applied) {
        (base.clone(), Applied::default())
    }

    /// The workload a proxy instance serves.
    pub fn local_workload(&self, _local: &LocalWorkload) -> Option<&Arc<Workload>> {
        None
    }

    /// Judges a connection to `destination` by every policy that applies to it.
    pub fn authorize(&self, _destination: &Workload, connection: &Connection) -> Decision {
        authorize(std::iter::empty(), connection)
    }
}
