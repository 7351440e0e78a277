//! [`Engine`]: the executor and the world behind one handle, and the loop that runs them.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::ReentrantMutex;
use proxy_core::host::{Instant, WallTime};

use super::world::{Step, World};
use crate::exec::{Executor, Limits, Polled, StallKind, StallReport, TaskOrder};
use crate::seed::Seed;

/// Shared by every handle of a run.
///
/// The running thread holds both locks throughout a run, so taking them again from a task costs a compare; another
/// thread's handle waits until the run pauses. The world is never borrowed while a task is polled or dropped or a waker
/// woken.
pub(super) struct Engine {
    pub(super) executor: Arc<Executor>,
    world: ReentrantMutex<RefCell<World>>,
    clock: Arc<AtomicU64>,
    limits: Limits,
}

/// When a run stops by itself.
pub(super) enum Goal<'a> {
    /// At a time.
    Until(Instant),
    /// When nothing is left to happen; what must finish must have.
    Idle(Instant),
    /// When this says so; what must finish must have by the time.
    When(&'a mut dyn FnMut() -> bool, Instant),
}

impl Engine {
    pub(super) fn new(seed: Seed, order: TaskOrder, epoch: WallTime, limits: Limits) -> Self {
        let clock = Arc::new(AtomicU64::new(0));
        let executor = Arc::new(Executor::new(order, seed));
        let world = World::new(seed, epoch, limits, Arc::clone(&clock), Arc::clone(&executor));
        Engine { executor, world: ReentrantMutex::new(RefCell::new(world)), clock, limits }
    }

    #[inline]
    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(self.clock.load(Ordering::Relaxed))
    }

    /// Works on the world, then wakes whoever that concerned.
    #[inline]
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        let guard = self.world.lock();
        let (result, wakes, discarded) = {
            let mut world = guard.borrow_mut();
            let result = work(&mut world);
            if world.wakes.is_empty() && world.discarded.is_empty() {
                return result;
            }
            (result, std::mem::take(&mut world.wakes), std::mem::take(&mut world.discarded))
        };
        drop(discarded);
        wakes.into_iter().for_each(|parked| self.executor.wake(parked));
        result
    }

    /// Runs until the goal.
    pub(super) fn run(&self, mut goal: Goal<'_>) -> Result<(), StallReport> {
        let _executor = self.executor.hold();
        let guard = self.world.lock();
        let limit = match goal {
            Goal::Until(at) | Goal::Idle(at) | Goal::When(_, at) => at,
        };
        let whole_instant = self.executor.is_seeded();
        let mut wakes = Vec::new();
        let (mut instant, mut polls) = (self.now(), 0);
        loop {
            let now = self.now();
            if now != instant {
                (instant, polls) = (now, 0);
            }
            loop {
                polls += 1;
                if polls > self.limits.polls_of_all_per_instant {
                    return Err(self.report(StallKind::Stuck));
                }
                match self.executor.poll_next(now, self.limits.polls_per_instant) {
                    Polled::Ran => {}
                    Polled::Nothing => break,
                    Polled::Spins(slot) => {
                        let (task, process) = self.executor.who(slot);
                        return Err(self.report(StallKind::Spin { task: task.to_owned(), process }));
                    }
                }
            }
            if let Goal::When(done, _) = &mut goal
                && done()
            {
                return Ok(());
            }
            let step = {
                let mut world = guard.borrow_mut();
                let step = world.step(limit, whole_instant);
                std::mem::swap(&mut wakes, &mut world.wakes);
                world.sweep_if_worthwhile();
                step
            };
            wakes.drain(..).for_each(|parked| self.executor.wake(parked));
            match step {
                Step::Woke => {}
                Step::Stuck => return Err(self.report(StallKind::Stuck)),
                Step::EventLimit => return Err(self.report(StallKind::EventLimit)),
                Step::Nothing => break,
            }
        }
        let queued = !guard.borrow().queue.is_empty();
        match goal {
            Goal::Until(at) => {
                guard.borrow_mut().advance_to(at);
                Ok(())
            }
            Goal::Idle(_) if !queued && self.executor.unfinished() == 0 => Ok(()),
            Goal::Idle(at) | Goal::When(_, at) if queued => {
                guard.borrow_mut().advance_to(at);
                Err(self.report(StallKind::Late))
            }
            Goal::Idle(_) | Goal::When(..) => Err(self.report(StallKind::Deadlock)),
        }
    }

    pub(super) fn report(&self, kind: StallKind) -> StallReport {
        StallReport { kind, at: self.now(), tasks: self.executor.listing() }
    }
}
