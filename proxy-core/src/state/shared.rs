//! [`SharedUpdate`]: an update computed once for all the proxies it goes to.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Applied, Snapshot, Update};

/// An [`Update`] that remembers what came of it.
///
/// The proxies of a process mostly hold the very same snapshot; when all of them are sent the same update, the first
/// to apply it does the work and the others share its result, so a thousand proxies cost the memory of one. Two
/// snapshots are the same here only if they are the same allocation.
pub struct SharedUpdate {
    update: Update,
    /// A snapshot the result is likely to equal.
    twin: Weak<Snapshot>,
    memo: Mutex<Vec<Memo>>,
}

/// Bases remembered at once. More than a few only occur while proxies with different histories catch up.
const MEMO_MAX: usize = 8;

struct Memo {
    base: Weak<Snapshot>,
    result: Arc<Snapshot>,
    applied: Arc<Applied>,
}

impl SharedUpdate {
    /// Wraps an update to be sent.
    pub fn new(update: Update) -> Arc<Self> {
        Arc::new(SharedUpdate { update, twin: Weak::new(), memo: Mutex::default() })
    }

    /// As [`SharedUpdate::new`], for an update that says everything to a proxy that joins late, or again. `twin` is
    /// what the others hold: if the result is equal to it, it is used instead, and the late proxy shares with them
    /// from then on. The result is computed all the same.
    pub fn everything(update: Update, twin: &Arc<Snapshot>) -> Arc<Self> {
        Arc::new(SharedUpdate { update, twin: Arc::downgrade(twin), memo: Mutex::default() })
    }

    /// The snapshot after this update, and what came of it.
    pub fn apply_to(&self, base: &Arc<Snapshot>) -> (Arc<Snapshot>, Arc<Applied>) {
        // Held while computing: whoever comes second wants the result, not a second computation.
        let mut memo = self.memo.lock();
        // A `Weak` keeps the allocation, so an equal pointer is the same snapshot even if it has been dropped.
        if let Some(known) = memo.iter().find(|known| std::ptr::eq(known.base.as_ptr(), Arc::as_ptr(base))) {
            return (known.result.clone(), known.applied.clone());
        }
        let (result, applied) = Snapshot::apply(base, &self.update);
        let result = self.twin.upgrade().filter(|twin| *twin == result).unwrap_or(result);
        let applied = Arc::new(applied);
        if memo.len() >= MEMO_MAX {
            memo.remove(0);
        }
        memo.push(Memo { base: Arc::downgrade(base), result: result.clone(), applied: applied.clone() });
        (result, applied)
    }
}

impl Deref for SharedUpdate {
    type Target = Update;
    fn deref(&self) -> &Update {
        &self.update
    }
}

impl fmt::Debug for SharedUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.update, f)
    }
}
