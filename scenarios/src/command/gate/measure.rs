//! Runs scenarios and counts.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use sim::record::Verdict;
use sim::scenario::{Plan, RunOptions, run};

use super::baseline::BaselineScenario;
use super::figures;
use super::valgrind::{self, Counted};

/// A scenario to run.
pub(crate) struct Subject {
    /// As the baseline calls it.
    pub(crate) path: String,
    /// Where it is.
    pub(crate) file: PathBuf,
    /// What stands there.
    pub(crate) plan: Plan,
}

/// What came of a run.
pub(crate) enum Measured {
    /// It held.
    Counted(BaselineScenario),
    /// It did not.
    DidNotHold { verdict: String, replay: String },
}

/// Runs all, several at once, and returns what came of each, in their order.
///
/// # Errors
/// A scenario that cannot be run, or valgrind that does not do what it should.
pub(crate) fn all(
    subjects: &[Subject],
    counted: &[Counted],
    jobs: Option<NonZeroUsize>,
    done: impl Fn(&Subject) + Sync,
) -> io::Result<Vec<Measured>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = jobs.map_or(processors, usize::from).min(subjects.len());
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<io::Result<Measured>>>> = Mutex::new(subjects.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(subject) = subjects.get(number) else { break };
                    let result = one(subject, counted);
                    done(subject);
                    results.lock()[number] = Some(result);
                }
            });
        }
    });
    results.into_inner().into_iter().flatten().collect()
}

fn one(subject: &Subject, counted: &[Counted]) -> io::Result<Measured> {
    let record = run(&subject.plan, &RunOptions::default()).map_err(|error| io::Error::other(error.to_string()))?;
    let verdict = match record.verdict {
        Verdict::Passed => None,
        Verdict::Failed => Some("failed"),
        Verdict::Stalled => Some("stalled"),
        Verdict::Crashed => Some("crashed"),
    };
    if let Some(verdict) = verdict {
        return Ok(Measured::DidNotHold { verdict: verdict.to_owned(), replay: record.replay });
    }
    let mut figures = figures::of(&record);
    for counted in counted {
        figures.extend(valgrind::count(*counted, Path::new(&subject.file))?);
    }
    Ok(Measured::Counted(BaselineScenario { seed: record.seed, figures }))
}
