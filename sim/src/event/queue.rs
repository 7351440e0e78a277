//! [`Queue`]: a monotone priority queue, stable within equal times.

use proxy_core::host::Instant;

use super::heap::{Entry, Heap};

/// Events looked at ahead of their time, in one go.
pub const NEAR: usize = 16;

/// Events in total order: by time, and within one time by the order they were pushed. Time never goes back.
///
/// O(1) however many events wait. The next ones are brought near in sorted runs, so that whoever handles them can look
/// ahead.
#[derive(Debug)]
pub struct Queue<E> {
    heap: Heap<E>,
    /// The next events, in order, from `taken` on; everything in the heap comes after them.
    near: Vec<Entry<E>>,
    taken: usize,
    /// No event in the heap is before this.
    near_until: u64,
    /// Events that were looked at ahead and not yet taken.
    seen: usize,
    /// Time of the last event popped.
    now: u64,
    pushed: u64,
}

impl<E: Copy> Queue<E> {
    /// An empty queue at time zero.
    pub fn new() -> Self {
        Queue { heap: Heap::new(), near: Vec::new(), taken: 0, near_until: 0, seen: 0, now: 0, pushed: 0 }
    }

    /// Events waiting, including cancelled ones not yet swept.
    pub fn len(&self) -> usize {
        self.heap.len() + self.near.len() - self.taken
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Events ever pushed.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Adds an event.
    ///
    /// # Panics
    /// If `at` is before the time of the last event popped: that would be time going back, a bug of the caller.
    #[inline]
    pub fn push(&mut self, at: Instant, event: E) {
        let at = at.as_nanos();
        assert!(at >= self.now, "event pushed into the past: {at} < {}", self.now);
        self.pushed += 1;
        if at >= self.near_until {
            self.heap.push(at, event);
        } else if self.near.last().is_none_or(|last| last.at <= at) {
            self.near.push(Entry { at, event });
        } else {
            let place = self.near[self.taken..].partition_point(|entry| entry.at <= at);
            self.near.insert(self.taken + place, Entry { at, event });
        }
    }

    /// Takes the next event if it is not after `limit`.
    #[inline]
    pub fn pop_until(&mut self, limit: Instant) -> Option<(Instant, E)> {
        if self.taken == self.near.len() && !self.bring_near(limit) {
            return None;
        }
        let &Entry { at, event } = self.near.get(self.taken)?;
        if at > limit.as_nanos() {
            return None;
        }
        self.taken += 1;
        self.seen = self.seen.saturating_sub(1);
        self.now = at;
        Some((Instant::from_nanos(at), event))
    }

    /// The next few events, if none of them were looked at before; else nothing. They are only looked at: others may
    /// still come before them. Nor does it tell of events of one instant: those were mostly pushed one after the other
    /// by the like of them, so that the processor foresees by itself what they will work on.
    #[inline]
    pub fn look_ahead(&mut self, limit: Instant) -> impl Iterator<Item = E> + Clone {
        let mut ahead: &[Entry<E>] = &[];
        if self.seen == 0 && (self.taken < self.near.len() || self.bring_near(limit)) {
            ahead = &self.near[self.taken..];
            ahead = &ahead[..ahead.len().min(NEAR)];
            self.seen = ahead.len();
            if ahead.first().map(|entry| entry.at) == ahead.last().map(|entry| entry.at) {
                ahead = &[];
            }
        }
        ahead.iter().map(|entry| entry.event)
    }

    /// The time of the next event.
    pub fn next_at(&self) -> Option<Instant> {
        self.near.get(self.taken).map(|entry| entry.at).or_else(|| self.heap.next_at()).map(Instant::from_nanos)
    }

    /// Every event waiting, in no particular but a repeatable order.
    pub fn iter(&self) -> impl Iterator<Item = (Instant, E)> {
        self.near[self.taken..]
            .iter()
            .copied()
            .chain(self.heap.iter())
            .map(|entry| (Instant::from_nanos(entry.at), entry.event))
    }

    /// Forgets every event `keep` refuses, in time proportional to the whole queue. Order is kept.
    pub fn sweep(&mut self, mut keep: impl FnMut(&E) -> bool) {
        self.near.drain(..self.taken);
        self.taken = 0;
        self.near.retain(|entry| keep(&entry.event));
        self.heap.sweep(keep);
    }

    /// Nothing is near: moves the next run there, if it begins by `limit`.
    fn bring_near(&mut self, limit: Instant) -> bool {
        self.near.clear();
        self.taken = 0;
        match self.heap.take_run(limit.as_nanos(), &mut self.near) {
            Some(until) => {
                self.near_until = until;
                true
            }
            None => false,
        }
    }
}

impl<E: Copy> Default for Queue<E> {
    fn default() -> Self {
        Queue::new()
    }
}

#[cfg(test)]
mod tests;
