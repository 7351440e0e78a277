//! [`Executor`]: spawning, waking, polling, killing.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::{ReentrantMutex, ReentrantMutexGuard};
use proxy_core::host::Instant;

use super::ready::{Ready, TaskOrder};
use super::stall::TaskInfo;
use super::task::{Body, Crash, NONE, Particulars, Process, ProcessId, Slot, Tasks, Touchable, Work};
use crate::seed::Seed;

/// One thread's worth of tasks.
///
/// A task belongs to a process and is dropped when it completes, panics, or its process is killed, in an order that
/// depends on nothing outside the run. Wakers may be used from any thread, but while a run is going on every other
/// thread waits for it: the lock is held by the running thread throughout, and taking it again there costs a compare.
/// Foreign code (polls, drops, wakers) is never called while the cell inside is borrowed.
pub struct Executor {
    pub(super) tasks: ReentrantMutex<RefCell<Tasks>>,
    /// The task being polled: address of its waker's data (0 for none), and its slot and generation.
    pub(super) current: AtomicUsize,
    pub(super) current_task: AtomicU64,
    /// What it noted; see [`Executor::note`].
    pub(super) current_note: AtomicU32,
}

/// Keeps other threads out for as long as it lives.
pub(crate) struct Held<'a>(#[expect(dead_code, reason = "held, not read")] ReentrantMutexGuard<'a, RefCell<Tasks>>);

/// Outcome of [`Executor::poll_next`].
pub(crate) enum Polled {
    /// A task ran.
    Ran,
    /// No task was ready.
    Nothing,
    /// The task in this slot was polled too often at this instant; it was not polled again and stays ready.
    Spins(u32),
}

/// Futures taken from a process, to be dropped where nothing is borrowed.
#[must_use = "dropping these runs the tasks' destructors"]
pub(crate) struct Reaped(Vec<Body>);

struct TaskWaker {
    executor: Arc<Executor>,
    slot: u32,
    generation: u32,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.executor.enqueue(self.slot, self.generation);
    }
}

impl Executor {
    /// No tasks, no processes.
    pub fn new(order: TaskOrder, seed: Seed) -> Self {
        Executor {
            tasks: ReentrantMutex::new(RefCell::new(Tasks {
                slots: Vec::new(),
                particulars: Vec::new(),
                free: Vec::new(),
                processes: Vec::new(),
                ready: Ready::new(order, seed),
                paused: 0,
                polls: 0,
                spawned: 0,
                live: 0,
                must_finish: 0,
                crashes: Vec::new(),
            })),
            current: AtomicUsize::new(0),
            current_task: AtomicU64::new(0),
            current_note: AtomicU32::new(u32::MAX),
        }
    }

    pub(crate) fn hold(&self) -> Held<'_> {
        Held(self.tasks.lock())
    }

    /// A new process; `name` appears in listings.
    pub fn process(&self, name: String) -> ProcessId {
        let guard = self.tasks.lock();
        let mut tasks = guard.borrow_mut();
        tasks.processes.push(Process { name, alive: true, paused: None, first: NONE, last: NONE });
        ProcessId(tasks.processes.len() as u32 - 1)
    }

    /// The process's name.
    pub fn process_name(&self, process: ProcessId) -> String {
        self.tasks.lock().borrow().process_name(process.0)
    }

    /// Whether the process was not killed.
    pub fn is_alive(&self, process: ProcessId) -> bool {
        self.tasks.lock().borrow().processes.get(process.0 as usize).is_some_and(|process| process.alive)
    }

    /// Starts a task of `process`. A dead process starts nothing: the future is dropped at once.
    pub fn spawn(
        self: &Arc<Self>,
        process: ProcessId,
        name: &'static str,
        must_finish: bool,
        now: Instant,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        if !self.is_alive(process) {
            return;
        }
        let work: Work = Box::pin(Touchable::new(work));
        let guard = self.tasks.lock();
        let tasks = &mut *guard.borrow_mut();
        tasks.spawned += 1;
        tasks.live += 1;
        tasks.must_finish += u64::from(must_finish);
        let slot = match tasks.free.pop() {
            Some(slot) => slot,
            None => {
                tasks.slots.push(Slot {
                    generation: 0,
                    queued: false,
                    must_finish: false,
                    doomed: false,
                    alive: false,
                    polls_this_instant: 0,
                    note: u32::MAX,
                    last_poll_at: Instant::FAR_FUTURE,
                    polls: 0,
                    body: None,
                });
                tasks.particulars.push(Particulars { process: 0, previous: NONE, next: NONE, name, spawned_at: now });
                tasks.slots.len() as u32 - 1
            }
        };
        let list = &mut tasks.processes[process.0 as usize];
        let previous = std::mem::replace(&mut list.last, slot);
        if previous == NONE {
            list.first = slot;
        } else {
            tasks.particulars[previous as usize].next = slot;
        }
        tasks.particulars[slot as usize] =
            Particulars { process: process.0, previous, next: NONE, name, spawned_at: now };
        let entry = &mut tasks.slots[slot as usize];
        let generation = entry.generation;
        let waker = Waker::from(Arc::new(TaskWaker { executor: Arc::clone(self), slot, generation }));
        *entry = Slot {
            generation,
            queued: true,
            must_finish,
            doomed: false,
            alive: true,
            polls_this_instant: 0,
            note: u32::MAX,
            last_poll_at: Instant::FAR_FUTURE,
            polls: 0,
            body: Some(Body { work, waker }),
        };
        tasks.ready.push(slot, generation);
    }

    /// Whether a task is ready to run.
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.tasks.lock().borrow().ready.is_empty()
    }

    /// Whether ready tasks run in drawn order.
    pub fn is_seeded(&self) -> bool {
        self.tasks.lock().borrow().ready.is_seeded()
    }

    /// Live tasks that must finish.
    pub fn unfinished(&self) -> u64 {
        self.tasks.lock().borrow().must_finish
    }

    /// Live tasks.
    pub fn live(&self) -> u64 {
        self.tasks.lock().borrow().live
    }

    /// Polls and spawns so far, and a fold of the order drawn.
    pub fn totals(&self) -> (u64, u64, u64) {
        let guard = self.tasks.lock();
        let tasks = guard.borrow();
        (tasks.polls, tasks.spawned, tasks.ready.drawn())
    }

    /// Panics caught so far.
    pub fn crashes(&self) -> Vec<Crash> {
        self.tasks.lock().borrow().crashes.clone()
    }

    /// Every live task: those that must finish first, then by age.
    pub fn listing(&self) -> Vec<TaskInfo> {
        let guard = self.tasks.lock();
        let tasks = guard.borrow();
        let mut listing: Vec<TaskInfo> = tasks
            .slots
            .iter()
            .zip(&tasks.particulars)
            .filter(|(slot, _)| slot.alive)
            .map(|(slot, particulars)| TaskInfo {
                name: particulars.name,
                process: tasks.process_name(particulars.process),
                spawned_at: particulars.spawned_at,
                last_poll_at: (slot.polls > 0).then_some(slot.last_poll_at),
                polls: slot.polls,
                must_finish: slot.must_finish,
            })
            .collect();
        listing.sort_by_key(|task| (!task.must_finish, task.spawned_at));
        listing
    }

    /// Name and process of the task in a slot.
    pub(crate) fn who(&self, slot: u32) -> (&'static str, String) {
        self.tasks.lock().borrow().who(slot)
    }

    /// Polls the next ready task once.
    pub(crate) fn poll_next(&self, now: Instant, polls_per_instant: u32) -> Polled {
        let guard = self.tasks.lock();
        let (slot, generation, mut body) = {
            let tasks = &mut *guard.borrow_mut();
            let (slot, generation) = loop {
                let Some((slot, generation)) = tasks.ready.pop() else { return Polled::Nothing };
                if tasks.slots[slot as usize].generation == generation {
                    if tasks.paused > 0 && tasks.keep_for_later(slot, generation) {
                        continue;
                    }
                    break (slot, generation);
                }
            };
            let entry = &mut tasks.slots[slot as usize];
            if entry.last_poll_at == now {
                entry.polls_this_instant += 1;
                if entry.polls_this_instant > polls_per_instant {
                    tasks.ready.push(slot, generation);
                    return Polled::Spins(slot);
                }
            } else {
                entry.last_poll_at = now;
                entry.polls_this_instant = 1;
            }
            entry.queued = false;
            entry.polls += 1;
            tasks.polls += 1;
            let Some(body) = entry.body.take() else { return Polled::Ran };
            self.current_note.store(entry.note, Ordering::Relaxed);
            (slot, generation, body)
        };
        self.current_task.store(u64::from(slot) << 32 | u64::from(generation), Ordering::Relaxed);
        self.current.store(body.waker.data() as usize, Ordering::Relaxed);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::from_waker(&body.waker);
            body.work.as_mut().poll(&mut context)
        }));
        self.current.store(0, Ordering::Relaxed);
        let finished = {
            let tasks = &mut *guard.borrow_mut();
            let entry = &mut tasks.slots[slot as usize];
            debug_assert_eq!(entry.generation, generation, "a slot is not reused while its task is being polled");
            match polled {
                Ok(Poll::Pending) if !entry.doomed => {
                    entry.body = Some(body);
                    entry.note = self.current_note.load(Ordering::Relaxed);
                    return Polled::Ran;
                }
                Ok(_) => {}
                Err(panic) => {
                    let (task, process) = tasks.who(slot);
                    tasks.crashes.push(Crash { at: now, task, process, message: message_of(&*panic) });
                }
            }
            tasks.remove(slot);
            Reaped(vec![body])
        };
        self.bury(finished, now);
        Polled::Ran
    }

    /// Has a process stand still, or go on. While it stands none of its tasks is polled; what became ready meanwhile is
    /// polled when it goes on, in that order.
    pub(crate) fn set_paused(&self, process: ProcessId, paused: bool) {
        let guard = self.tasks.lock();
        let tasks = &mut *guard.borrow_mut();
        let Some(entry) = tasks.processes.get_mut(process.0 as usize) else { return };
        match (paused, entry.paused.take()) {
            (true, None) => {
                entry.paused = Some(Vec::new());
                tasks.paused += 1;
            }
            (true, still) => entry.paused = still,
            (false, None) => {}
            (false, Some(later)) => {
                tasks.paused -= 1;
                later.into_iter().for_each(|(slot, generation)| tasks.ready.push(slot, generation));
            }
        }
    }

    /// Ends a process: takes its tasks in the order they were spawned. The one being polled right now, if it is among
    /// them, is dropped when its poll returns.
    pub(crate) fn kill(&self, process: ProcessId) -> Reaped {
        let guard = self.tasks.lock();
        let tasks = &mut *guard.borrow_mut();
        let Some(entry) = tasks.processes.get_mut(process.0 as usize) else { return Reaped(Vec::new()) };
        entry.alive = false;
        let mut slot = entry.first;
        let mut reaped = Vec::new();
        while slot != NONE {
            let next = tasks.particulars[slot as usize].next;
            match tasks.slots[slot as usize].body.take() {
                Some(body) => {
                    reaped.push(body);
                    tasks.remove(slot);
                }
                None => tasks.slots[slot as usize].doomed = true,
            }
            slot = next;
        }
        Reaped(reaped)
    }

    /// Kills every process.
    pub(crate) fn kill_all(&self) -> Reaped {
        let count = self.tasks.lock().borrow().processes.len() as u32;
        Reaped((0..count).flat_map(|process| self.kill(ProcessId(process)).0).collect())
    }

    /// Drops what was taken, in order. A destructor that panics is recorded and does not stop the others.
    pub(crate) fn bury(&self, reaped: Reaped, now: Instant) {
        for body in reaped.0 {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(body))) {
                let message = message_of(&*panic);
                let crash = Crash { at: now, task: "destructor", process: "dropped task".to_owned(), message };
                self.tasks.lock().borrow_mut().crashes.push(crash);
            }
        }
    }

    #[inline]
    pub(super) fn enqueue(&self, slot: u32, generation: u32) {
        let guard = self.tasks.lock();
        let tasks = &mut *guard.borrow_mut();
        let entry = &mut tasks.slots[slot as usize];
        if entry.generation == generation && !entry.queued {
            entry.queued = true;
            tasks.ready.push(slot, generation);
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "panic without a message".to_owned()
    }
}
