//! [`copy`]: the byte pump between two streams.
//!
//! Two directions, independent of each other. When one side ends, what is in flight is flushed and the other side is
//! half-closed; the reverse direction goes on for as long as it has something to say.

mod half;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};

use half::Half;

/// The two ends of a copied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Whoever asked for the connection.
    Client,
    /// Whoever was asked.
    Server,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Client => "client",
            Side::Server => "server",
        })
    }
}

/// What it means when a side resets its connection instead of closing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReset {
    /// Its business: an end like any other, forwarded as a half-close. Right for applications.
    End,
    /// The path broke: [`copy`] fails, so that the caller can reset the other side and nobody takes a truncated
    /// stream for a whole one. Right for tunnels.
    Failure,
}

/// What a reset means on each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnResets {
    /// Of the client's connection.
    pub client: OnReset,
    /// Of the server's connection.
    pub server: OnReset,
}

impl OnResets {
    /// Both sides are applications' own TCP connections.
    pub const APPLICATIONS: OnResets = OnResets { client: OnReset::End, server: OnReset::End };
    /// The client is reached through a tunnel.
    pub const CLIENT_TUNNEL: OnResets = OnResets { client: OnReset::Failure, server: OnReset::End };
    /// The server is reached through a tunnel.
    pub const SERVER_TUNNEL: OnResets = OnResets { client: OnReset::End, server: OnReset::Failure };

    fn of(self, side: Side) -> OnReset {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }
}

/// Learns of bytes as the receiving side takes them, a chunk at a time. Called on the data path.
pub trait Meter {
    /// `bytes` more were taken by `to`.
    fn forwarded(&self, to: Side, bytes: u64);
}

/// Bytes forwarded so far. Readable by others while the copy runs.
#[derive(Debug, Default)]
pub struct ByteCounts {
    to_client: AtomicU64,
    to_server: AtomicU64,
}

impl ByteCounts {
    /// Bytes the client has been given.
    pub fn to_client(&self) -> u64 {
        self.to_client.load(Ordering::Relaxed)
    }

    /// Bytes the server has been given.
    pub fn to_server(&self) -> u64 {
        self.to_server.load(Ordering::Relaxed)
    }
}

impl Meter for ByteCounts {
    fn forwarded(&self, to: Side, bytes: u64) {
        let counter = match to {
            Side::Client => &self.to_client,
            Side::Server => &self.to_server,
        };
        counter.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A side failed in a way that is not an end.
#[derive(Debug, thiserror::Error)]
#[error("{side} connection failed: {error}")]
pub struct CopyError {
    /// Whose connection.
    pub side: Side,
    /// How.
    #[source]
    pub error: io::Error,
}

/// Forwards bytes both ways until both directions have ended.
///
/// Holds no buffer while idle. Reads 1 KiB at a time, after 128 KiB 16 KiB at a time, after 10 MiB 256 KiB at a
/// time; never more than one chunk is in flight each way, so a slow receiver slows the sender. Gives way to other
/// tasks after a bounded amount of work. Cancelled by dropping: both streams are then as the last write left them.
///
/// Ends that are not failures: end of file, `NotConnected`, `UnexpectedEof`, and, where `on_resets` says so,
/// `ConnectionReset`, `ConnectionAborted` and `BrokenPipe`. A side that was reset ends both directions, for nothing
/// more can reach it.
///
/// # Errors
/// [`CopyError`] on any other failure; the other direction is given up at once.
pub async fn copy<C, S, M>(client: &mut C, server: &mut S, on_resets: OnResets, meter: &M) -> Result<(), CopyError>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
    M: Meter + ?Sized,
{
    let mut to_server = Half::new(Side::Server, on_resets);
    let mut to_client = Half::new(Side::Client, on_resets);
    poll_fn(|context| {
        to_server.poll(context, client, server, meter)?;
        to_client.poll(context, server, client, meter)?;
        // Whoever reset its connection cannot be written to either.
        if to_server.reader_was_reset() {
            to_client.abandon();
        }
        if to_client.reader_was_reset() {
            to_server.abandon();
        }
        if to_server.is_done() && to_client.is_done() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
