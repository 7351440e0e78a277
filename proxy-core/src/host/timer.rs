//! Deadlines over a [`Host`].

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::Host;

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Runs `work` for at most `limit`. Work that is ready at the very deadline wins.
///
/// # Errors
/// [`Elapsed`] when the deadline came first; `work` is dropped.
pub async fn timeout<H: Host, F: Future>(host: &H, limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let mut work = pin!(work);
    let mut deadline = pin!(host.sleep(limit));
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        deadline.as_mut().poll(context).map(|()| Err(Elapsed))
    })
    .await
}
