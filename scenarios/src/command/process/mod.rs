//! What commands share that serve real sockets until they are asked to end.
//!
//! - [`Levels`]: diagnostics, and how much of them there is.
//! - [`ServerArguments`]: where control plane and authority are, and who we are to them.
//! - [`manifests`]: from paths to a cluster.

mod logging;
pub(crate) mod manifests;
mod servers;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::host::{Asked, Listener, Signals};
use proxy_core::telemetry::access_log::Lines;
use proxy_core::{Host, TokioHost};
use tokio::sync::Notify;

pub(crate) use self::logging::Levels;
pub(crate) use self::servers::{Authority, ServerAddress, ServerArguments, TLS};
use crate::Ending;

/// What is wrong, a line each.
pub(crate) type Wrong = Vec<String>;

/// Runs `work` on so many threads, and says what was wrong.
///
/// # Errors
/// The operating system gives no threads, or stderr is gone.
pub(crate) fn run<F>(threads: usize, work: impl FnOnce(TokioHost) -> F) -> io::Result<Ending>
where
    F: Future<Output = Result<(), Wrong>>,
{
    match TokioHost::run(threads, work)? {
        Ok(()) => Ok(Ending::Held),
        Err(wrong) => {
            for line in wrong {
                writeln!(io::stderr(), "meshsim: {line}")?;
            }
            Ok(Ending::WrongInput)
        }
    }
}

/// What this process is asked to do: by signals, and by its administration.
pub(crate) struct Requests {
    signals: Signals,
    quit: Arc<Notify>,
}

impl Requests {
    /// Listens from now on. Whoever holds `quit` can ask it to end.
    ///
    /// # Errors
    /// Signals cannot be listened for.
    pub(crate) fn listen(host: &TokioHost, quit: Arc<Notify>) -> Result<Self, Wrong> {
        let signals = host.signals().map_err(|error| vec![format!("signals: {error}")])?;
        Ok(Requests { signals, quit })
    }

    /// The next of them.
    pub(crate) async fn next(&mut self) -> Asked {
        let quit = self.quit.clone();
        let asked = async {
            quit.notified().await;
            Asked::End
        };
        first(self.signals.next(), asked).await
    }

    /// Waits to be asked to end, whatever else it is asked.
    pub(crate) async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }

    /// Completes when `draining` does, or when asked to end a second time.
    pub(crate) async fn drain(&mut self, draining: impl Future<Output = ()>) {
        first(draining, self.end()).await;
    }
}

/// Whichever ends first.
async fn first<T>(left: impl Future<Output = T>, right: impl Future<Output = T>) -> T {
    let (mut left, mut right) = (std::pin::pin!(left), std::pin::pin!(right));
    std::future::poll_fn(|context| {
        if let std::task::Poll::Ready(done) = left.as_mut().poll(context) {
            return std::task::Poll::Ready(done);
        }
        right.as_mut().poll(context)
    })
    .await
}

/// Writes lines to stdout as they come.
pub(crate) async fn print(lines: Lines) {
    loop {
        lines.ready().await;
        flush(&lines);
    }
}

/// Writes what has come so far.
pub(crate) fn flush(lines: &Lines) {
    let mut out = io::stdout().lock();
    for line in lines.take() {
        // Nobody reads it any more: the proxy goes on.
        let _ = writeln!(out, "{line}");
    }
}

/// A listener, which is logged.
pub(crate) fn listen(host: &TokioHost, at: SocketAddr, what: &str) -> Result<<TokioHost as Host>::Listener, Wrong> {
    let listener = host.listen(at).map_err(|error| vec![format!("cannot listen for {what} at {at}: {error}")])?;
    tracing::info!(at = %listener.local_addr(), "{what}");
    Ok(listener)
}
