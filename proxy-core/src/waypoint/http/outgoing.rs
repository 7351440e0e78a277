//! [`Outgoing`]: a server's side of an HTTP/2 connection, on which is watched what the library says of its own accord.
//!
//! It answers requests with too large headers itself (431) and resets what breaks the rules, and tells nobody. Frame heads
//! on their way out show both.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

const HEAD: usize = 9;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;

/// Streams remembered as ours. Those that are open are far fewer and newer.
const OURS_MAX: usize = 4096;

/// What was seen. Cheap to clone; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    /// Streams whose requests were handed on.
    ours: BTreeSet<u32>,
    refused: VecDeque<u32>,
    resets: usize,
}

impl Seen {
    /// The request of this stream was handed on: it is answered by us.
    pub(crate) fn accepted(&self, stream: u32) {
        let mut state = self.shared.state.lock();
        state.ours.insert(stream);
        if state.ours.len() > OURS_MAX {
            state.ours.pop_first();
        }
    }

    /// Streams the library answered since this was last asked.
    pub(crate) fn refused(&self) -> VecDeque<u32> {
        std::mem::take(&mut self.shared.state.lock().refused)
    }

    /// Streams reset by us so far.
    pub(crate) fn resets(&self) -> usize {
        self.shared.state.lock().resets
    }

    /// Completes when there is something new to see, or [`Seen::tell`] was called.
    pub(crate) async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// Completes one [`Seen::news`].
    pub(crate) fn tell(&self) {
        self.shared.news.notify_one();
    }

    fn frame(&self, kind: u8, stream: u32) {
        let mut state = self.shared.state.lock();
        match kind {
            HEADERS if !state.ours.contains(&stream) => {
                state.ours.insert(stream);
                state.refused.push_back(stream);
            }
            RST_STREAM => state.resets += 1,
            _ => return,
        }
        drop(state);
        self.tell();
    }
}

/// Passes everything through.
pub(crate) struct Outgoing<S> {
    inner: S,
    head: [u8; HEAD],
    /// Bytes of `head` that are there.
    have: usize,
    /// Bytes of the frame's payload still to pass.
    left: usize,
    seen: Seen,
}

impl<S> Outgoing<S> {
    pub(crate) fn new(inner: S) -> (Self, Seen) {
        let seen = Seen::default();
        (Outgoing { inner, head: [0; HEAD], have: 0, left: 0, seen: seen.clone() }, seen)
    }

    /// Follows frames through bytes that were written.
    fn watch(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skip = self.left.min(bytes.len());
                self.left -= skip;
                bytes = &bytes[skip..];
                continue;
            }
            let take = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + take].copy_from_slice(&bytes[..take]);
            self.have += take;
            bytes = &bytes[take..];
            if self.have == HEAD {
                self.have = 0;
                let [a, b, c, kind, _, streams @ ..] = self.head;
                self.left = u32::from_be_bytes([0, a, b, c]) as usize;
                self.seen.frame(kind, u32::from_be_bytes(streams) & (u32::MAX >> 1));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Outgoing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Outgoing<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(context, data);
        if let Poll::Ready(Ok(count)) = written {
            this.watch(&data[..count]);
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(mut count)) = written {
            for slice in slices {
                let part = count.min(slice.len());
                this.watch(&slice[..part]);
                count -= part;
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u32, payload: usize) -> Vec<u8> {
        let mut frame = u32::try_from(payload).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0]);
        frame.extend(stream.to_be_bytes());
        frame.resize(HEAD + payload, HEADERS);
        frame
    }

    #[test]
    fn answers_nobody_gave_and_resets_are_seen_however_frames_are_cut() {
        let bytes: Vec<u8> = [
            frame(4, 0, 12),
            frame(HEADERS, 1, 30),
            frame(0, 1, 1000),
            frame(HEADERS, 3, 10),
            frame(RST_STREAM, 3, 4),
            frame(HEADERS, 1, 10),
        ]
        .concat();
        for step in 1..bytes.len() {
            let (mut outgoing, seen) = Outgoing::new(());
            seen.accepted(1);
            bytes.chunks(step).for_each(|part| outgoing.watch(part));
            assert_eq!((seen.refused(), seen.resets()), ([3].into(), 1), "{step}");
        }
    }
}
