//! [`Lately`]: what this waypoint was told until a moment ago. Pure.
//!
//! Each proxy hears of a change at a time of its own. A client's proxy that has not heard yet that a service or a pod is
//! not behind this waypoint any more still comes here, and must find it served; a moment later it knows better.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::host::Instant;
use crate::state::Snapshot;

/// How long what was served is served to newcomers after the control plane has taken it away. A push takes far less to
/// reach everybody; nobody can rely on more.
const GRACE: Duration = Duration::from_secs(2);

/// Former states kept: enough for all that can change in [`GRACE`] where pushes are debounced.
const KEPT_MAX: usize = 8;

/// Former states, newest last.
#[derive(Debug, Default)]
pub(super) struct Lately(VecDeque<(Instant, Arc<Snapshot>)>);

impl Lately {
    /// `before` was replaced at `now`.
    pub(super) fn replaced(&mut self, before: Arc<Snapshot>, now: Instant) {
        self.forget(now);
        if self.0.len() >= KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now + GRACE, before));
    }

    /// What held until a moment before `now`, newest first.
    pub(super) fn held(&mut self, now: Instant) -> Vec<Arc<Snapshot>> {
        self.forget(now);
        self.0.iter().rev().map(|(_, snapshot)| snapshot.clone()).collect()
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(until, _)| *until <= now) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_states_are_remembered_for_a_moment_and_never_many() {
        let mut lately = Lately::default();
        let state = Arc::new(Snapshot::default());
        lately.replaced(state.clone(), Instant::START);
        assert_eq!(lately.held(Instant::START + (GRACE - Duration::from_nanos(1))).len(), 1);
        assert!(lately.held(Instant::START + GRACE).is_empty());
        for _ in 0..100 {
            lately.replaced(state.clone(), Instant::START);
        }
        assert_eq!(lately.held(Instant::START).len(), KEPT_MAX);
    }
}
