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

use proxy_core::telemetry::access_log::Lines;
use proxy_core::{Host, TokioHost, host::Listener};
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

/// A signal, or a request for it.
pub(crate) async fn asked_to_end(host: &TokioHost, quit: &Notify) -> Result<(), Wrong> {
    let signal = async { host.interrupted().await.map_err(|error| vec![format!("signals: {error}")]) };
    let asked = async {
        quit.notified().await;
        Ok(())
    };
    first(signal, asked).await
}

/// Whichever ends first.
pub(crate) async fn first<T>(left: impl Future<Output = T>, right: impl Future<Output = T>) -> T {
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
