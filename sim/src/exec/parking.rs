//! Waiting and waking: who is to be woken, named without reference counts.

use std::sync::atomic::Ordering;
use std::task::Waker;

use super::executor::Executor;
use super::task::Parked;
use crate::event::NEAR;

impl Executor {
    /// Remembers whom `waker` wakes.
    #[inline]
    pub(crate) fn park(&self, waker: &Waker) -> Parked {
        if waker.data() as usize == self.current.load(Ordering::Relaxed) {
            let task = self.current_task.load(Ordering::Relaxed);
            Parked::Task { slot: (task >> 32) as u32, generation: task as u32 }
        } else {
            Parked::Other(waker.clone())
        }
    }

    /// As [`Executor::park`], into a place that may hold somebody already; what is replaced is left in `discarded`.
    #[inline]
    pub(crate) fn park_in(&self, place: &mut Option<Parked>, waker: &Waker, discarded: &mut Vec<Parked>) {
        match place {
            Some(present) if present.will_wake(waker) => {}
            _ => {
                if let Some(old @ Parked::Other(_)) = place.replace(self.park(waker)) {
                    discarded.push(old);
                }
            }
        }
    }

    /// As [`Executor::park`], into a list of everyone waiting.
    pub(crate) fn park_among(&self, list: &mut Vec<Parked>, waker: &Waker) {
        let parked = self.park(waker);
        if !list.iter().any(|other| other.is_same(&parked)) {
            list.push(parked);
        }
    }

    /// Notes with the task being polled what it works with.
    #[inline]
    pub(crate) fn note(&self, note: u32) {
        self.current_note.store(note, Ordering::Relaxed);
    }

    /// The last note of each of these tasks (the greatest number if it made none), which also reads the tasks ahead of
    /// waking them.
    pub(crate) fn notes<'a>(&self, parked: impl Iterator<Item = Option<&'a Parked>>, notes: &mut [u32]) {
        let guard = self.tasks.lock();
        let tasks = guard.borrow();
        let mut bodies = [None; NEAR];
        for ((parked, note), body) in parked.zip(notes).zip(&mut bodies) {
            if let Some(Parked::Task { slot, .. }) = parked
                && let Some(entry) = tasks.slots.get(*slot as usize)
            {
                *note = entry.note;
                *body = Some(*slot);
            }
        }
        let touch = |slot: u32| tasks.slots.get(slot as usize)?.body.as_ref().map(|body| body.work.touch());
        let touched = bodies.into_iter().flatten().filter_map(touch).fold(0, |seen, byte| seen ^ byte);
        std::hint::black_box(touched);
    }

    /// Wakes a task of ours, calling nothing foreign; anybody else is given back.
    #[inline]
    pub(crate) fn wake_own(&self, parked: Parked) -> Option<Parked> {
        match parked {
            Parked::Task { slot, generation } => {
                self.enqueue(slot, generation);
                None
            }
            other => Some(other),
        }
    }

    /// Wakes somebody.
    pub(crate) fn wake(&self, parked: Parked) {
        if let Some(Parked::Other(waker)) = self.wake_own(parked) {
            waker.wake();
        }
    }
}
