//! [`Timers`]: cancellable timers of tasks.

/// Names one arming of one timer; stale ones are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId {
    slot: u32,
    generation: u32,
}

#[derive(Debug)]
struct Slot<W> {
    generation: u32,
    waker: Option<W>,
}

/// Whom timer events wake; `W` names somebody.
///
/// A cancelled timer frees its slot at once; its event stays in the queue until its time or until the owner of the
/// queue sweeps, which it should when [`Timers::should_sweep`] says that stale events outnumber live ones.
#[derive(Debug)]
pub struct Timers<W> {
    slots: Vec<Slot<W>>,
    free: Vec<u32>,
    stale: usize,
}

impl<W> Default for Timers<W> {
    fn default() -> Self {
        Timers { slots: Vec::new(), free: Vec::new(), stale: 0 }
    }
}

impl<W> Timers<W> {
    /// A new timer that will wake `waker`. The caller queues the event.
    pub fn arm(&mut self, waker: W) -> TimerId {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.slots[slot as usize];
            entry.waker = Some(waker);
            return TimerId { slot, generation: entry.generation };
        }
        self.slots.push(Slot { generation: 0, waker: Some(waker) });
        TimerId { slot: self.slots.len() as u32 - 1, generation: 0 }
    }

    /// Where the timer keeps whom it will wake, to be changed; `None` if it fired already.
    pub fn armed(&mut self, id: TimerId) -> Option<&mut Option<W>> {
        match self.slots.get_mut(id.slot as usize) {
            Some(Slot { generation, waker }) if *generation == id.generation && waker.is_some() => Some(waker),
            _ => None,
        }
    }

    /// The timer's event came: whom to wake, unless it was cancelled.
    #[inline]
    pub fn fire(&mut self, id: TimerId) -> Option<W> {
        let waker = self.release(id);
        if waker.is_none() {
            self.stale = self.stale.saturating_sub(1);
        }
        waker
    }

    /// Forgets a timer that has not fired; no effect on one that has.
    pub fn cancel(&mut self, id: TimerId) -> Option<W> {
        let waker = self.release(id);
        if waker.is_some() {
            self.stale += 1;
        }
        waker
    }

    /// Whom the timer will wake.
    #[inline]
    pub fn peek(&self, id: TimerId) -> Option<&W> {
        self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?.waker.as_ref()
    }

    /// Whether the timer is armed.
    pub fn is_live(&self, id: TimerId) -> bool {
        self.slots.get(id.slot as usize).is_some_and(|slot| slot.generation == id.generation && slot.waker.is_some())
    }

    /// Timers armed.
    pub fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether enough cancelled timers lie in a queue of `queued` events that sweeping pays for itself.
    #[inline]
    pub fn should_sweep(&self, queued: usize) -> bool {
        self.stale > 1024 && self.stale > queued / 2
    }

    /// The queue was swept of events that are not [live](Timers::is_live).
    pub fn swept(&mut self) {
        self.stale = 0;
    }

    #[inline]
    fn release(&mut self, id: TimerId) -> Option<W> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let waker = slot.waker.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(waker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_timer_never_fires_and_its_slot_is_reused() {
        let mut timers = Timers::<()>::default();
        let first = timers.arm(());
        assert!(timers.cancel(first).is_some());
        let second = timers.arm(());
        assert_eq!(first.slot, second.slot);
        assert!(timers.fire(first).is_none());
        assert!(timers.fire(second).is_some());
        assert_eq!(timers.live(), 0);
    }

    #[test]
    fn a_million_cancelled_timers_ask_for_a_sweep_and_hold_one_slot() {
        let mut timers = Timers::<()>::default();
        for _ in 0..1_000_000 {
            let id = timers.arm(());
            timers.cancel(id);
        }
        assert_eq!(timers.slots.len(), 1);
        assert!(timers.should_sweep(1_000_000));
    }
}
