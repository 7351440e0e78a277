//! Drain signals: one trigger, many watchers, and a wait for the last watcher to go.
//!
//! A drain has two phases. *Graceful*: take nothing new, let what exists finish. *Cut*: end at once. An immediate cut
//! skips the first. Every watcher that lives holds the drain open; dropping it is how work says it has finished.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::host::{Host, Instant};

/// How far a drain has come. Only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Business as usual.
    Running,
    /// Take nothing new; what exists has until the deadline.
    Graceful {
        /// When the rest is cut.
        deadline: Instant,
    },
    /// End at once.
    Cut {
        /// Whether a graceful phase came first.
        after_drain: bool,
    },
}

impl Phase {
    fn rank(self) -> u8 {
        match self {
            Phase::Running => 0,
            Phase::Graceful { .. } => 1,
            Phase::Cut { .. } => 2,
        }
    }
}

struct Waiter {
    /// The rank it waits for.
    rank: u8,
    waker: Waker,
}

struct State {
    phase: Phase,
    watchers: usize,
    next_waiter: u64,
    /// Ordered by arrival, so that waking is deterministic.
    waiters: BTreeMap<u64, Waiter>,
    idle: Option<Waker>,
}

struct Shared(Mutex<State>);

impl Shared {
    fn advance(&self, to: Phase) {
        let mut woken = Vec::new();
        {
            let mut state = self.0.lock();
            if to.rank() <= state.phase.rank() {
                return;
            }
            state.phase = to;
            let rank = to.rank();
            state.waiters.retain(|_, waiter| {
                let due = waiter.rank <= rank;
                if due {
                    woken.push(waiter.waker.clone());
                }
                !due
            });
        }
        for waker in woken {
            waker.wake();
        }
    }
}

/// Starts drains and waits for them to end. Dropping it without a word leaves the watchers running.
pub struct DrainTrigger(Arc<Shared>);

/// Learns of a drain, and holds it open while it lives. Cloning makes another holder.
pub struct DrainWatcher(Arc<Shared>);

/// A trigger and its first watcher.
pub fn channel() -> (DrainTrigger, DrainWatcher) {
    let shared = Arc::new(Shared(Mutex::new(State {
        phase: Phase::Running,
        watchers: 1,
        next_waiter: 0,
        waiters: BTreeMap::new(),
        idle: None,
    })));
    (DrainTrigger(shared.clone()), DrainWatcher(shared))
}

impl DrainTrigger {
    /// Begins the graceful phase. Does nothing if one has begun. Enforcing the deadline is the caller's, or
    /// [`DrainTrigger::drain`]'s.
    pub fn start(&self, deadline: Instant) {
        self.0.advance(Phase::Graceful { deadline });
    }

    /// Cuts everything at once.
    pub fn cut(&self) {
        let after_drain = matches!(self.phase(), Phase::Graceful { .. });
        self.0.advance(Phase::Cut { after_drain });
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.0.0.lock().phase
    }

    /// Watchers alive.
    pub fn watchers(&self) -> usize {
        self.0.0.lock().watchers
    }

    /// Another watcher.
    pub fn watcher(&self) -> DrainWatcher {
        self.0.0.lock().watchers += 1;
        DrainWatcher(self.0.clone())
    }

    /// Completes when everything is to end, without holding the drain open meanwhile. Cancelled by dropping.
    pub async fn cut_begun(&self) {
        let mut wait = Wait { shared: &self.0, rank: 2, key: None };
        poll_fn(|context| wait.poll(context)).await;
    }

    /// Completes when no watcher is left. One caller at a time.
    pub async fn finished(&self) {
        poll_fn(|context| {
            let mut state = self.0.0.lock();
            if state.watchers == 0 {
                return Poll::Ready(());
            }
            state.idle = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// A whole drain: graceful until `deadline` or until the last watcher has gone, then a cut, then completion once
    /// every watcher has gone. Returns whether anything had to be cut.
    pub async fn drain<H: Host>(&self, host: &H, deadline: Instant) -> bool {
        self.start(deadline);
        let mut finished = std::pin::pin!(self.finished());
        let mut expired = std::pin::pin!(host.sleep_until(deadline));
        let cut = poll_fn(|context| {
            if finished.as_mut().poll(context).is_ready() {
                return Poll::Ready(false);
            }
            expired.as_mut().poll(context).map(|()| true)
        })
        .await;
        if cut {
            self.cut();
            self.finished().await;
        }
        cut
    }
}

impl DrainWatcher {
    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.0.0.lock().phase
    }

    /// Completes when nothing new is to be taken. Cancelled by dropping.
    pub async fn draining(&self) -> Phase {
        self.reached(1).await
    }

    /// Completes when everything is to end. Returns whether a graceful phase came first. Cancelled by dropping.
    pub async fn cut(&self) -> bool {
        matches!(self.reached(2).await, Phase::Cut { after_drain: true })
    }

    async fn reached(&self, rank: u8) -> Phase {
        let mut wait = Wait { shared: &self.0, rank, key: None };
        poll_fn(|context| wait.poll(context)).await
    }
}

impl Clone for DrainWatcher {
    fn clone(&self) -> Self {
        self.0.0.lock().watchers += 1;
        DrainWatcher(self.0.clone())
    }
}

impl Drop for DrainWatcher {
    fn drop(&mut self) {
        let idle = {
            let mut state = self.0.0.lock();
            state.watchers -= 1;
            if state.watchers == 0 { state.idle.take() } else { None }
        };
        if let Some(waker) = idle {
            waker.wake();
        }
    }
}

/// One wait for a phase; leaves the list when dropped.
struct Wait<'a> {
    shared: &'a Shared,
    rank: u8,
    key: Option<u64>,
}

impl Wait<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Phase> {
        let mut state = self.shared.0.lock();
        if state.phase.rank() >= self.rank {
            return Poll::Ready(state.phase);
        }
        let key = *self.key.get_or_insert_with(|| {
            let key = state.next_waiter;
            state.next_waiter += 1;
            key
        });
        match state.waiters.get_mut(&key) {
            Some(waiter) => waiter.waker.clone_from(context.waker()),
            None => {
                state.waiters.insert(key, Waiter { rank: self.rank, waker: context.waker().clone() });
            }
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // Bound to a name so that the waker is dropped after the lock is released.
            let _waiter = { self.shared.0.lock().waiters.remove(&key) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_drain_goes_through_its_phases_and_ends_with_the_last_watcher() {
        let (trigger, watcher) = channel();
        let other = watcher.clone();
        {
            let mut draining = pin!(watcher.draining());
            assert!(poll_once(draining.as_mut()).is_pending());
            trigger.start(Instant::from_nanos(5));
            assert_eq!(poll_once(draining), Poll::Ready(Phase::Graceful { deadline: Instant::from_nanos(5) }));
        }
        {
            let mut cut = pin!(other.cut());
            assert!(poll_once(cut.as_mut()).is_pending());
            trigger.cut();
            assert_eq!(poll_once(cut), Poll::Ready(true));
        }
        drop(watcher);
        let mut finished = pin!(trigger.finished());
        assert!(poll_once(finished.as_mut()).is_pending());
        drop(other);
        assert!(poll_once(finished).is_ready());
    }

    #[test]
    fn an_immediate_cut_skips_the_graceful_phase_and_cannot_be_taken_back() {
        let (trigger, watcher) = channel();
        trigger.cut();
        trigger.start(Instant::FAR_FUTURE);
        assert_eq!(watcher.phase(), Phase::Cut { after_drain: false });
        assert!(poll_once(pin!(watcher.draining())).is_ready());
        assert_eq!(poll_once(pin!(watcher.cut())), Poll::Ready(false));
    }

    #[test]
    fn abandoned_waits_leave_nothing_behind() {
        let (trigger, watcher) = channel();
        for _ in 0..10 {
            assert!(poll_once(pin!(watcher.cut())).is_pending());
        }
        assert!(trigger.0.0.lock().waiters.is_empty());
    }
}
