//! [`Wire`]: an application's stream, counting and hashing what passes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use proxy_core::host::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use xxhash_rust::xxh3::Xxh3Default;

use crate::record::Tally;

/// What has passed one end so far, both ways. Outlives the stream it belongs to.
#[derive(Clone, Default)]
pub(crate) struct Tallies(Arc<Mutex<Both>>);

#[derive(Default)]
struct Both {
    sent: Running,
    received: Running,
    read_to_end: bool,
    /// A read waits for bytes.
    waiting: bool,
    /// When this end finished its direction and stayed.
    finished: Option<Instant>,
}

#[derive(Default)]
struct Running {
    bytes: u64,
    // A running hash holds half a KiB of state: it is made when the first byte comes.
    hash: Option<Box<Xxh3Default>>,
}

impl Running {
    fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        self.hash.get_or_insert_default().update(data);
    }

    fn tally(&self) -> Tally {
        Tally { bytes: self.bytes, hash: self.hash.as_ref().map_or(0, |hash| hash.digest()) }
    }
}

impl Tallies {
    pub(crate) fn sent(&self) -> Tally {
        self.0.lock().sent.tally()
    }

    pub(crate) fn received(&self) -> Tally {
        self.0.lock().received.tally()
    }

    /// Whether the other side's FIN was read.
    pub(crate) fn read_to_end(&self) -> bool {
        self.0.lock().read_to_end
    }

    /// Whether it was waiting for bytes when last seen.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.lock().waiting
    }

    /// This end has finished its direction and reads on.
    pub(crate) fn finish(&self, at: Instant) {
        self.0.lock().finished = Some(at);
    }

    /// When this end finished its direction to read on, if it did.
    pub(crate) fn finished(&self) -> Option<Instant> {
        self.0.lock().finished
    }

    /// Bytes only, both ways: sent, received.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let both = self.0.lock();
        (both.sent.bytes, both.received.bytes)
    }
}

/// A stream whose bytes are counted and hashed, and whose first bytes may be put back after they were looked at.
pub(crate) struct Wire<S> {
    stream: S,
    put_back: Bytes,
    tallies: Tallies,
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Wire { stream, put_back: Bytes::new(), tallies: Tallies::default() }
    }

    /// The next reads yield `bytes` first. They were counted when first read and are not counted again.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        self.put_back = bytes;
    }

    pub(crate) fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self;
        if wire.put_back.has_remaining() {
            let taken = wire.put_back.len().min(buf.remaining());
            buf.put_slice(&wire.put_back.split_to(taken));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut wire.stream).poll_read(cx, buf);
        let mut both = wire.tallies.0.lock();
        // An error ends the wait for nothing: who was waiting then was waiting to the last.
        match &read {
            Poll::Pending => both.waiting = true,
            Poll::Ready(Ok(())) => both.waiting = false,
            Poll::Ready(Err(_)) => {}
        }
        ready!(read)?;
        let fresh = &buf.filled()[before..];
        if !fresh.is_empty() {
            both.received.add(fresh);
        } else if buf.remaining() > 0 {
            both.read_to_end = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut *self;
        let taken = ready!(Pin::new(&mut wire.stream).poll_write(cx, data))?;
        wire.tallies.0.lock().sent.add(&data[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
