//! The diagnostics of a running proxy, and how much of them there is.

use std::io::{self, IsTerminal as _};

use parking_lot::Mutex;
use proxy_core::admin::LogLevels;
use tracing_subscriber::EnvFilter;

type Change = dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync;

/// Levels that can be changed while the process runs.
pub(crate) struct Levels {
    initial: String,
    current: Mutex<String>,
    change: Box<Change>,
}

impl Levels {
    /// Starts logging to stderr, as `RUST_LOG` says, else at `info`.
    pub(crate) fn start() -> Self {
        let initial = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
        let filter = EnvFilter::try_new(&initial).unwrap_or_else(|_| EnvFilter::new("info"));
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_filter_reloading();
        let handle = builder.reload_handle();
        // Fails only if something logs already; then that stays.
        let _ = builder.try_init();
        let change = Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()));
        Levels { current: Mutex::new(initial.clone()), initial, change }
    }
}

impl LogLevels for Levels {
    fn current(&self) -> String {
        self.current.lock().clone()
    }

    fn set(&self, levels: &str) -> Result<(), String> {
        let directives = levels.split(',').map(directive).collect::<Result<Vec<String>, String>>()?;
        let filter = EnvFilter::try_new(directives.join(",")).map_err(|error| format!("`{levels}`: {error}"))?;
        (self.change)(filter)?;
        *self.current.lock() = directives.join(",");
        Ok(())
    }

    fn reset(&self) {
        // What the process started with can be read.
        let _ = self.set(&self.initial);
    }
}

/// `level`, `scope:level` or `scope=level` as the filter writes it.
fn directive(text: &str) -> Result<String, String> {
    let colon = text.rsplit_once(':').filter(|(scope, _)| !scope.ends_with(':'));
    let (scope, level) = match text.rsplit_once('=').or(colon) {
        Some((scope, level)) => (Some(scope), level),
        None => (None, text),
    };
    // Nothing at all would be taken for `error`.
    if level.is_empty() || level.parse::<tracing::metadata::LevelFilter>().is_err() {
        return Err(format!("`{level}` is no level: say {LEVELS}"));
    }
    Ok(scope.map_or_else(|| level.to_owned(), |scope| format!("{scope}={level}")))
}

const LEVELS: &str = "error, warn, info, debug, trace or off";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_either_way() {
        let written = |text: &str| directive(text).unwrap();
        assert_eq!(written("debug"), "debug");
        assert_eq!(written("proxy_core::hbone:debug"), "proxy_core::hbone=debug");
        assert_eq!(written("h2=trace"), "h2=trace");
    }

    #[test]
    fn what_is_no_level_is_refused() {
        for wrong in ["nonsense", "proxy_core::hbone", "h2=loud", "", ":"] {
            assert!(directive(wrong).is_err(), "{wrong}");
        }
    }
}
