//! [`Progress`]: how far a series of runs, or one long run, has come. On stderr, and only on a terminal.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// How far it has come; nothing at all where no one would see it.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Of so many runs. A single one tells in `reached` how much virtual time it has behind it, in nanoseconds.
    pub(crate) fn new(runs: usize, reached: &Arc<AtomicU64>) -> Self {
        if !io::stderr().is_terminal() {
            return Progress(None);
        }
        if runs < 2 {
            return Progress(Some(Self::of_one(reached.clone())));
        }
        let bar = ProgressBar::with_draw_target(Some(runs as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("  {bar:32} {pos}/{len} runs, {elapsed} {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Progress(Some(bar))
    }

    fn of_one(reached: Arc<AtomicU64>) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let virtual_time = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            let nanos = reached.load(Ordering::Relaxed);
            // Drawing is no reason to fail.
            let _ = write!(out, "{:.1}s", Duration::from_nanos(nanos).as_secs_f64());
        };
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {virtual} of virtual time in {elapsed}") {
            bar.set_style(style.with_key("virtual", virtual_time));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// Writes something while the bar is out of the way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// One more run is done.
    pub(crate) fn step(&self, scenario: &str, bad: usize) {
        if let Some(bar) = &self.0 {
            bar.set_message(if bad == 0 { scenario.to_owned() } else { format!("{scenario} ({bad} did not hold)") });
            bar.inc(1);
        }
    }

    /// Takes it away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
