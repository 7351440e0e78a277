//! [`Queue`]: a monotone priority queue, stable within equal times.

use std::collections::VecDeque;

use proxy_core::host::Instant;

use super::heap::{Entry, Heap};

/// Most events that are brought near at once...
pub const NEAR: usize = 16;
/// ...and nanoseconds within which they must lie. Short, so that hardly anything is pushed in between.
const NEAR_SPAN: u64 = 64_000;

/// Events in total order: by time, and within one time by the order they were pushed. Time never goes back.
///
/// O(1) however many events wait. The next few are brought near in batches, so that whoever handles them can look
/// ahead.
#[derive(Debug)]
pub struct Queue<E> {
    heap: Heap<E>,
    /// The next events, in order; everything in the heap comes after them.
    near: VecDeque<Entry<E>>,
    /// Time of the last event brought near.
    near_until: u64,
    /// Time of the last event popped.
    now: u64,
    pushed: u64,
}

impl<E: Copy> Queue<E> {
    /// An empty queue at time zero.
    pub fn new() -> Self {
        Queue { heap: Heap::new(), near: VecDeque::with_capacity(NEAR), near_until: 0, now: 0, pushed: 0 }
    }

    /// Events waiting, including cancelled ones not yet swept.
    pub fn len(&self) -> usize {
        self.heap.len() + self.near.len()
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
        if at < self.near_until {
            let place = self.near.partition_point(|entry| entry.at <= at);
            self.near.insert(place, Entry { at, event });
        } else {
            self.heap.push(at, event);
        }
    }

    /// Takes the next event if it is not after `limit`.
    #[inline]
    pub fn pop_until(&mut self, limit: Instant) -> Option<(Instant, E)> {
        if self.near.is_empty() {
            self.bring_near(limit);
        }
        let &Entry { at, event } = self.near.front()?;
        if at > limit.as_nanos() {
            return None;
        }
        self.near.pop_front();
        self.now = at;
        Some((Instant::from_nanos(at), event))
    }

    /// The next few events, if none were near and some are not after `limit`; else nothing. They are only looked at: others may
    /// still come before them.
    #[inline]
    pub fn look_ahead(&mut self, limit: Instant) -> impl Iterator<Item = E> + Clone {
        let fresh = self.near.is_empty();
        if fresh {
            self.bring_near(limit);
        }
        self.near.iter().map(|entry| entry.event).take(if fresh { NEAR } else { 0 })
    }

    /// The time of the next event.
    pub fn next_at(&self) -> Option<Instant> {
        self.near.front().map(|entry| entry.at).or_else(|| self.heap.next_at()).map(Instant::from_nanos)
    }

    /// Every event waiting, in no particular but a repeatable order.
    pub fn iter(&self) -> impl Iterator<Item = (Instant, E)> {
        self.near.iter().copied().chain(self.heap.iter()).map(|entry| (Instant::from_nanos(entry.at), entry.event))
    }

    /// Forgets every event `keep` refuses, in time proportional to the whole queue. Order is kept.
    pub fn sweep(&mut self, mut keep: impl FnMut(&E) -> bool) {
        self.near.retain(|entry| keep(&entry.event));
        self.heap.sweep(keep);
    }

    /// Nothing is near: moves the next few events there.
    #[inline]
    fn bring_near(&mut self, limit: Instant) {
        let mut limit = limit.as_nanos();
        while self.near.len() < NEAR
            && let Some(entry) = self.heap.pop_until(limit)
        {
            if self.near.is_empty() {
                limit = limit.min(entry.at.saturating_add(NEAR_SPAN));
            }
            self.near_until = entry.at;
            self.near.push_back(entry);
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
