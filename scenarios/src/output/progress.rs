//! [`Progress`]: how far a long series of runs has come. On stderr, on a terminal, and only when there is a series.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far it has come; nothing at all where no one would see it.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Of so many runs.
    pub(crate) fn new(runs: usize) -> Self {
        if runs < 2 || !io::stderr().is_terminal() {
            return Progress(None);
        }
        let bar = ProgressBar::with_draw_target(Some(runs as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("  {bar:32} {pos}/{len} runs, {elapsed} {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Progress(Some(bar))
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
