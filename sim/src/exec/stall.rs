//! What is reported when a run cannot go on.

use std::fmt;

use proxy_core::host::Instant;

/// Bounds of a run. Reaching one ends it with a [`StallReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Polls of one task within one instant before it counts as spinning.
    pub polls_per_instant: u32,
    /// Polls of all tasks within one instant before time counts as stuck.
    pub polls_of_all_per_instant: u64,
    /// Events within one instant before time counts as stuck.
    pub events_per_instant: u64,
    /// Events of the whole run.
    pub events: u64,
}

impl Default for Limits {
    /// 100,000 polls of a task, 50,000,000 of all and 10,000,000 events an instant, no bound on the run.
    fn default() -> Self {
        Limits {
            polls_per_instant: 100_000,
            polls_of_all_per_instant: 50_000_000,
            events_per_instant: 10_000_000,
            events: u64::MAX,
        }
    }
}

/// Why a run cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StallKind {
    /// Work that must finish waits, and nothing will ever happen again.
    Deadlock,
    /// A task was polled too often without time moving.
    Spin {
        /// The task.
        task: String,
        /// Its process.
        process: String,
    },
    /// Too many events or polls without time moving, or whoever drives the run has ever more to do at one time.
    Stuck,
    /// The run's event limit was reached.
    EventLimit,
    /// Work that must finish did not by the time allowed.
    Late,
}

/// One live task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// Name given at spawn.
    pub name: &'static str,
    /// Process it belongs to, as `namespace/process`.
    pub process: String,
    /// When it was spawned.
    pub spawned_at: Instant,
    /// When it was last polled; `None` if never.
    pub last_poll_at: Option<Instant>,
    /// How often it was polled.
    pub polls: u64,
    /// Whether the run must not end without it.
    pub must_finish: bool,
}

/// A run that cannot go on: why, when, and every task alive, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StallReport {
    /// Why.
    pub kind: StallKind,
    /// When.
    pub at: Instant,
    /// Live tasks; those that must finish first.
    pub tasks: Vec<TaskInfo>,
}

/// Tasks printed in full before the rest is only counted.
const LISTED: usize = 40;

impl fmt::Display for StallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StallKind::Deadlock => {
                write!(f, "deadlock at {}: work that must finish waits for something that will never happen", self.at)?
            }
            StallKind::Spin { task, process } => {
                write!(
                    f,
                    "task `{task}` of {process} spins at {}: it was polled again and again while no time passed",
                    self.at
                )?;
            }
            StallKind::Stuck => write!(f, "time is stuck at {}: one thing follows another without delay", self.at)?,
            StallKind::EventLimit => write!(f, "the run's event limit was reached at {}", self.at)?,
            StallKind::Late => write!(f, "work that must finish had not by {}", self.at)?,
        }
        write!(f, "\n{} live tasks:", self.tasks.len())?;
        for task in self.tasks.iter().take(LISTED) {
            let must = if task.must_finish { " (must finish)" } else { "" };
            write!(f, "\n  {} of {}{must}: {} polls, ", task.name, task.process, task.polls)?;
            match task.last_poll_at {
                Some(at) => write!(f, "last at {at}")?,
                None => write!(f, "never run")?,
            }
        }
        if self.tasks.len() > LISTED {
            write!(f, "\n  and {} more", self.tasks.len() - LISTED)?;
        }
        Ok(())
    }
}

impl std::error::Error for StallReport {}
