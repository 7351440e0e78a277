//! [`Connections`]: the live connections of one pod.
//!
//! An inbound connection enters the table before policy is first asked about it, and the table is judged again after
//! every change that could refuse it. Whichever of the two comes second sees what the first left, so no connection is
//! admitted on rules that no longer hold.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::Failure;
use super::record::Record;
use crate::host::Instant;
use crate::state::{Snapshot, Workload};
use crate::telemetry::{ConnectionId, ConnectionInfo, Reason};

/// A live connection, for listings.
#[derive(Clone, Debug)]
pub struct LiveConnection {
    /// What is known of it.
    pub info: Arc<ConnectionInfo>,
    /// Since when.
    pub opened: Instant,
    /// Bytes server to client so far.
    pub sent: u64,
    /// Bytes client to server so far.
    pub received: u64,
}

/// The live connections of one pod, both directions. Clones are the same table.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    live: BTreeMap<ConnectionId, Arc<Record>>,
    /// Once set, whatever enters is cut at once.
    closed: Option<Failure>,
}

/// A connection's place in the table; leaves it when dropped.
pub(super) struct Tracked {
    record: Arc<Record>,
    table: Connections,
}

impl Deref for Tracked {
    type Target = Record;
    fn deref(&self) -> &Record {
        &self.record
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let _record = { self.table.0.lock().live.remove(&self.record.info.id) };
    }
}

/// What an update may have changed for the connections of one pod.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    /// Some policy.
    pub(super) policies: bool,
    /// The pod's own workload record.
    pub(super) workload: bool,
}

impl Connections {
    /// Enters a connection. Must come before policy is asked about it.
    pub(super) fn track(&self, record: Record) -> Tracked {
        let record = Arc::new(record);
        let closed = {
            let mut table = self.0.lock();
            table.live.insert(record.info.id, record.clone());
            table.closed.clone()
        };
        if let Some(failure) = closed {
            record.cut(failure);
        }
        Tracked { record, table: self.clone() }
    }

    /// Cuts everything there is and everything that will come.
    pub(super) fn close(&self, failure: &Failure) {
        let live: Vec<_> = {
            let mut table = self.0.lock();
            table.closed.get_or_insert_with(|| failure.clone());
            table.live.values().cloned().collect()
        };
        for record in live {
            record.cut(failure.clone());
        }
    }

    /// Judges every inbound connection by `snapshot` and the workload's record in it, and cuts what is now refused.
    /// Returns how many were cut.
    pub(super) fn recheck(
        &self,
        snapshot: &Snapshot,
        workload: Option<&Arc<Workload>>,
        change: Change,
        now: Instant,
    ) -> usize {
        let mut cut = 0;
        for record in self.inbound() {
            let Some(connection) = &record.judged else { continue };
            if record.is_cut() {
                continue;
            }
            let Some(workload) = workload else {
                cut += 1;
                record.cut(Failure::new(Reason::WorkloadRemoved, "connection closed: the workload is no longer known"));
                continue;
            };
            let decision = snapshot.authorize(workload, connection);
            if decision.verdict.is_allowed() {
                continue;
            }
            cut += 1;
            let by_policy = change.policies && !refused_for_its_workload_alone(snapshot, &record, change);
            let (reason, what) =
                if by_policy { (Reason::PolicyChanged, "policy") } else { (Reason::WorkloadChanged, "workload") };
            let detail = Failure::refused_by(&decision.verdict).map(|failure| failure.text).unwrap_or_default();
            record.tell_judged(now, decision);
            record.cut(Failure::new(reason, format!("connection closed due to {what} change ({detail})")));
        }
        cut
    }

    fn inbound(&self) -> Vec<Arc<Record>> {
        self.0.lock().live.values().filter(|record| record.judged.is_some()).cloned().collect()
    }

    /// All of them, in the order they came.
    pub(super) fn list(&self) -> Vec<LiveConnection> {
        let live: Vec<_> = self.0.lock().live.values().cloned().collect();
        live.into_iter()
            .map(|record| LiveConnection {
                info: record.info.clone(),
                opened: record.opened,
                sent: record.sent(),
                received: record.received(),
            })
            .collect()
    }
}

/// Whether the policies as they now are would still admit the connection had the workload's record not changed.
fn refused_for_its_workload_alone(snapshot: &Snapshot, record: &Record, change: Change) -> bool {
    let (Some(then), Some(connection)) = (&record.info.local_workload, &record.judged) else { return false };
    change.workload && snapshot.authorize(then, connection).verdict.is_allowed()
}
