//! Tasks, the processes they die with, and who is to be woken.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use proxy_core::host::Instant;

use super::ready::Ready;

/// Names a process for the life of a run; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u32);

/// A task that panicked. The panic ends that task only and is kept as evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// When.
    pub at: Instant,
    /// Name given at spawn.
    pub task: &'static str,
    /// Its process, as `namespace/process`.
    pub process: String,
    /// The panic's message.
    pub message: String,
}

pub(super) type Work = Pin<Box<dyn Touch>>;

/// A task's future, whose ends in memory can be read ahead of polling it.
pub(super) trait Touch: Future<Output = ()> + Send {
    /// Reads a byte at either end; it means nothing.
    fn touch(&self) -> u8;
}

pin_project! {
    /// A future between two bytes.
    #[repr(C)]
    pub(super) struct Touchable<F> {
        head: u8,
        #[pin]
        work: F,
        tail: u8,
    }
}

impl<F> Touchable<F> {
    pub(super) fn new(work: F) -> Self {
        Touchable { head: 0, work, tail: 0 }
    }
}

impl<F: Future> Future for Touchable<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().work.poll(context)
    }
}

impl<F: Future<Output = ()> + Send> Touch for Touchable<F> {
    fn touch(&self) -> u8 {
        self.head ^ self.tail
    }
}

/// What a task is made of while it is not being polled.
pub(super) struct Body {
    pub(super) work: Work,
    pub(super) waker: Waker,
}

/// End of a list of slots.
pub(super) const NONE: u32 = u32::MAX;

/// What waking and polling a task touches: one cache line.
#[repr(align(64))]
pub(super) struct Slot {
    pub(super) generation: u32,
    /// In the ready queue.
    pub(super) queued: bool,
    pub(super) must_finish: bool,
    /// Killed while being polled: dropped when the poll returns.
    pub(super) doomed: bool,
    pub(super) alive: bool,
    pub(super) polls_this_instant: u32,
    /// What this task last worked with, for whoever looks ahead: see [`Executor::note`](super::Executor::note).
    pub(super) note: u32,
    /// Far future when never polled.
    pub(super) last_poll_at: Instant,
    pub(super) polls: u64,
    pub(super) body: Option<Body>,
}

/// The rest of what is known about a task.
pub(super) struct Particulars {
    pub(super) process: u32,
    pub(super) previous: u32,
    pub(super) next: u32,
    pub(super) name: &'static str,
    pub(super) spawned_at: Instant,
}

/// Somebody to wake. Tasks of this executor are named rather than referred to, which spares the common case every
/// reference count.
pub(crate) enum Parked {
    Task { slot: u32, generation: u32 },
    Other(Waker),
}

impl Parked {
    /// Whether waking this wakes the same as `waker` would.
    pub(super) fn will_wake(&self, waker: &Waker) -> bool {
        matches!(self, Parked::Other(other) if other.will_wake(waker))
    }

    pub(super) fn is_same(&self, other: &Parked) -> bool {
        match (self, other) {
            (Parked::Task { slot: a, generation: b }, Parked::Task { slot: c, generation: d }) => (a, b) == (c, d),
            (_, Parked::Other(waker)) => self.will_wake(waker),
            _ => false,
        }
    }
}

pub(super) struct Process {
    pub(super) name: String,
    pub(super) alive: bool,
    /// Standing still: its tasks that became ready meanwhile, in order.
    pub(super) paused: Option<Vec<(u32, u32)>>,
    pub(super) first: u32,
    pub(super) last: u32,
}

pub(super) struct Tasks {
    pub(super) slots: Vec<Slot>,
    pub(super) particulars: Vec<Particulars>,
    pub(super) free: Vec<u32>,
    pub(super) processes: Vec<Process>,
    pub(super) ready: Ready,
    /// Processes that stand still.
    pub(super) paused: u32,
    pub(super) polls: u64,
    pub(super) spawned: u64,
    pub(super) live: u64,
    pub(super) must_finish: u64,
    pub(super) crashes: Vec<Crash>,
}

impl Tasks {
    /// Keeps a ready task of a process that stands still for later. False if its process does not.
    pub(super) fn keep_for_later(&mut self, slot: u32, generation: u32) -> bool {
        let process = self.particulars[slot as usize].process;
        match self.processes.get_mut(process as usize).and_then(|process| process.paused.as_mut()) {
            Some(later) => {
                later.push((slot, generation));
                true
            }
            None => false,
        }
    }

    pub(super) fn process_name(&self, process: u32) -> String {
        self.processes.get(process as usize).map_or_else(String::new, |process| process.name.clone())
    }

    /// A task's name and process.
    pub(super) fn who(&self, slot: u32) -> (&'static str, String) {
        let particulars = &self.particulars[slot as usize];
        (particulars.name, self.process_name(particulars.process))
    }

    /// Frees a slot whose body was taken.
    pub(super) fn remove(&mut self, slot: u32) {
        let Particulars { previous, next, process, .. } = self.particulars[slot as usize];
        let entry = &mut self.slots[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.alive = false;
        entry.queued = false;
        self.live -= 1;
        self.must_finish -= u64::from(entry.must_finish);
        if previous == NONE {
            self.processes[process as usize].first = next;
        } else {
            self.particulars[previous as usize].next = next;
        }
        if next == NONE {
            self.processes[process as usize].last = previous;
        } else {
            self.particulars[next as usize].previous = previous;
        }
        self.free.push(slot);
    }
}
