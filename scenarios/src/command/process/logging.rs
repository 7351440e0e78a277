//! The diagnostics of a running proxy, and how much of them there is.

use std::io;

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
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_filter_reloading();
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
        let directives: Vec<String> = levels.split(',').map(directive).collect();
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

/// `scope:level` as `scope=level`.
fn directive(text: &str) -> String {
    match text.rsplit_once(':') {
        Some((scope, level)) if !scope.ends_with(':') => format!("{scope}={level}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_either_way() {
        assert_eq!(directive("debug"), "debug");
        assert_eq!(directive("proxy_core::hbone:debug"), "proxy_core::hbone=debug");
        assert_eq!(directive("h2=trace"), "h2=trace");
        assert_eq!(directive("proxy_core::hbone"), "proxy_core::hbone");
    }
}
