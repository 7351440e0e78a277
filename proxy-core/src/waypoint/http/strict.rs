//! [`Strict`]: a client's byte stream, of which a parser is shown only what is beyond doubt.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{Chunks, Framing, HeadLimits, TOO_LARGE, TOO_SLOW, Violation, check_line_ends, inspect};
use crate::host::Host;

/// What is shown in place of a head that was refused, so that the refusal is answered in its turn.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\n\r\n";

/// Bytes moved at a time.
const CHUNK: usize = 16 << 10;

/// What was found of each request, in order, and what became of a request to upgrade.
#[derive(Clone, Default)]
pub(crate) struct Verdicts(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    heads: VecDeque<Result<bool, Violation>>,
    body: Option<Violation>,
    upgrade: Option<bool>,
    waiting: Option<Waker>,
}

impl Verdicts {
    /// The verdict on the next request's head: whether it asks to upgrade, and so needs [`Verdicts::upgraded`]. Call
    /// once for each request the parser yields.
    pub(crate) fn next(&self) -> Result<bool, Violation> {
        self.0.lock().heads.pop_front().unwrap_or(Ok(false))
    }

    /// Why the body under way was refused, if it was.
    pub(crate) fn body(&self) -> Option<Violation> {
        self.0.lock().body
    }

    /// Says whether the connection now belongs to another protocol. Call for every request that asked for it.
    pub(crate) fn upgraded(&self, upgraded: bool) {
        let waiting = {
            let mut shared = self.0.lock();
            shared.upgrade = Some(upgraded);
            shared.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

enum State {
    /// Before or in a head.
    Head,
    Length(u64),
    Chunked(Chunks),
    /// A request to upgrade is being answered.
    Undecided,
    Upgraded,
    /// Refused: nothing more is shown.
    Refused,
    Ended,
}

/// Wraps a client's stream. Heads and chunks that could be read in two ways never come out of it; neither do heads that
/// are too long or too slow. Writing passes through.
pub(crate) struct Strict<H, S> {
    host: H,
    inner: S,
    limits: HeadLimits,
    state: State,
    /// Received and not yet judged.
    unjudged: BytesMut,
    /// Judged and not yet read.
    ready: BytesMut,
    /// How far `unjudged` was searched for the end of the head.
    searched: usize,
    slow: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    verdicts: Verdicts,
}

/// Nothing in it is ever pinned in place.
impl<H, S: Unpin> Unpin for Strict<H, S> {}

impl<H: Host, S> Strict<H, S> {
    pub(crate) fn new(host: H, inner: S, limits: HeadLimits) -> (Self, Verdicts) {
        let verdicts = Verdicts::default();
        let strict = Strict {
            host,
            inner,
            limits,
            state: State::Head,
            unjudged: BytesMut::new(),
            ready: BytesMut::new(),
            searched: 0,
            slow: None,
            verdicts: verdicts.clone(),
        };
        (strict, verdicts)
    }

    fn refuse(&mut self, violation: Violation) {
        self.verdicts.0.lock().heads.push_back(Err(violation));
        self.unjudged.clear();
        self.slow = None;
        self.ready.extend_from_slice(STAND_IN);
        self.state = State::Refused;
    }

    /// Looks for a whole head. Whether there was something to decide.
    fn judge_head(&mut self) -> bool {
        while self.unjudged.starts_with(b"\r\n") {
            self.unjudged.advance(2);
            self.searched = 0;
        }
        let from = self.searched.saturating_sub(3);
        let Some(end) = self.unjudged[from..].windows(4).position(|window| window == b"\r\n\r\n") else {
            self.searched = self.unjudged.len();
            // A lone line feed might be taken for the end by a laxer parser: do not wait for more.
            let whole = self.unjudged.strip_suffix(b"\r").unwrap_or(&self.unjudged);
            if let Err(violation) = check_line_ends(whole) {
                self.refuse(violation);
                return true;
            }
            if self.unjudged.len() >= self.limits.bytes_max {
                self.refuse(TOO_LARGE);
                return true;
            }
            return false;
        };
        let length = from + end + 4;
        self.searched = 0;
        self.slow = None;
        let HeadLimits { bytes_max, lines_max, .. } = self.limits;
        let verdict = if length > bytes_max { Err(TOO_LARGE) } else { inspect(&self.unjudged[..length], lines_max) };
        match verdict {
            Ok(framing) => {
                self.ready.extend_from_slice(&self.unjudged[..length]);
                self.unjudged.advance(length);
                let mut shared = self.verdicts.0.lock();
                shared.heads.push_back(Ok(framing == Framing::Upgrade));
                self.state = match framing {
                    Framing::Length(0) => State::Head,
                    Framing::Length(length) => State::Length(length),
                    Framing::Chunked => State::Chunked(Chunks::new()),
                    Framing::Upgrade => {
                        shared.upgrade = None;
                        State::Undecided
                    }
                };
            }
            Err(violation) => self.refuse(violation),
        }
        true
    }

    /// Moves what may be shown to `ready`.
    ///
    /// # Errors
    /// When a body's framing is broken.
    fn judge_body(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(self.unjudged.len());
                *left -= take as u64;
                if *left == 0 {
                    self.state = State::Head;
                }
                self.ready.extend_from_slice(&self.unjudged[..take]);
                self.unjudged.advance(take);
            }
            State::Chunked(chunks) => match chunks.advance(&self.unjudged) {
                Ok((take, ended)) => {
                    if ended {
                        self.state = State::Head;
                    }
                    self.ready.extend_from_slice(&self.unjudged[..take]);
                    self.unjudged.advance(take);
                }
                Err(violation) => {
                    self.verdicts.0.lock().body = Some(violation);
                    self.state = State::Refused;
                    return Err(io::Error::new(io::ErrorKind::InvalidData, violation.detail));
                }
            },
            _ => {}
        }
        Ok(())
    }
}

impl<H: Host, S: AsyncBufRead + Unpin> Strict<H, S> {
    /// Receives more. Ready with 0 at the end.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let data = ready!(Pin::new(&mut self.inner).poll_fill_buf(context))?;
        let length = data.len().min(CHUNK);
        self.unjudged.extend_from_slice(&data[..length]);
        Pin::new(&mut self.inner).consume(length);
        Poll::Ready(Ok(length))
    }

    /// Makes `ready` not empty, unless the stream has ended.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ready.is_empty() {
            match &self.state {
                State::Ended => return Poll::Ready(Ok(())),
                State::Refused => return Poll::Pending,
                State::Head => {
                    if !self.unjudged.is_empty() && self.judge_head() {
                        continue;
                    }
                    if let Poll::Ready(received) = self.poll_more(context) {
                        if received? == 0 {
                            self.state = State::Ended;
                        } else if self.slow.is_none() {
                            self.slow = Some(Box::pin(self.host.sleep(self.limits.time_max)));
                        }
                        continue;
                    }
                    let Some(slow) = &mut self.slow else { return Poll::Pending };
                    ready!(slow.as_mut().poll(context));
                    self.refuse(TOO_SLOW);
                }
                State::Length(_) | State::Chunked(_) => {
                    if self.unjudged.is_empty() && ready!(self.poll_more(context))? == 0 {
                        self.state = State::Ended;
                        continue;
                    }
                    self.judge_body()?;
                }
                State::Undecided => {
                    let decided = {
                        let mut shared = self.verdicts.0.lock();
                        if shared.upgrade.is_none() {
                            shared.waiting = Some(context.waker().clone());
                        }
                        shared.upgrade
                    };
                    match decided {
                        Some(true) => self.state = State::Upgraded,
                        Some(false) => self.state = State::Head,
                        // Only to learn that the client has gone; what it sends early waits.
                        None if self.unjudged.len() >= CHUNK => return Poll::Pending,
                        None => {
                            if ready!(self.poll_more(context))? == 0 {
                                self.state = State::Ended;
                            }
                        }
                    }
                }
                State::Upgraded => {
                    if self.unjudged.is_empty() && ready!(self.poll_more(context))? == 0 {
                        self.state = State::Ended;
                        continue;
                    }
                    std::mem::swap(&mut self.ready, &mut self.unjudged);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<H: Host, S: AsyncBufRead + Unpin> AsyncBufRead for Strict<H, S> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_ready(context))?;
        Poll::Ready(Ok(&this.ready))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.ready.advance(amount.min(this.ready.len()));
        if this.ready.is_empty() && this.ready.capacity() > 4 * CHUNK {
            this.ready = BytesMut::new();
        }
    }
}

impl<H: Host, S: AsyncBufRead + Unpin> AsyncRead for Strict<H, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let data = ready!(self.as_mut().poll_fill_buf(context))?;
        let length = data.len().min(buffer.remaining());
        buffer.put_slice(&data[..length]);
        self.consume(length);
        Poll::Ready(Ok(()))
    }
}

impl<H: Host, S: AsyncWrite + Unpin> AsyncWrite for Strict<H, S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, data)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, slices)
    }
}
