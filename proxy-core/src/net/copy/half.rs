//! [`Half`]: one direction of a copied connection.

use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{CopyError, Meter, OnReset, OnResets, Side};

/// First chunk size: most exchanges are small.
const SMALL: usize = 1024;
/// Chunk size once [`MEDIUM_AFTER`] bytes have passed. The odd 64 bytes leave room for a frame header.
const MEDIUM: usize = 16 * 1024 - 64;
const MEDIUM_AFTER: u64 = 128 * 1024;
/// Chunk size once [`LARGE_AFTER`] bytes have passed.
const LARGE: usize = 256 * 1024 - 64;
const LARGE_AFTER: u64 = 10 * 1024 * 1024;
/// Chunks forwarded before giving way to other tasks.
const CHUNKS_A_TURN: u32 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Bytes may still come.
    Forwarding,
    /// The reader ended; what is held is written, flushed, and the writer is half-closed.
    Closing,
    /// Nothing more will be done.
    Done,
}

/// One direction: owns only the bytes its writer has not taken yet.
pub(super) struct Half {
    to: Side,
    on_resets: OnResets,
    state: State,
    reader_was_reset: bool,
    /// Read and not yet written; empty, without an allocation, whenever the writer keeps up.
    held: Vec<u8>,
    /// How much of `held` is written.
    written: usize,
    /// Bytes written since the last flush.
    unflushed: bool,
    total: u64,
}

impl Half {
    pub(super) fn new(to: Side, on_resets: OnResets) -> Self {
        Half {
            to,
            on_resets,
            state: State::Forwarding,
            reader_was_reset: false,
            held: Vec::new(),
            written: 0,
            unflushed: false,
            total: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub(super) fn reader_was_reset(&self) -> bool {
        self.reader_was_reset
    }

    /// Ends this direction where it is.
    pub(super) fn abandon(&mut self) {
        self.state = State::Done;
        self.held = Vec::new();
    }

    /// Does what can be done now. `Ok` says nothing about being done; `Err` is a failure of either side.
    pub(super) fn poll<R, W, M>(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        meter: &M,
    ) -> Result<(), CopyError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
        M: Meter + ?Sized,
    {
        if self.state == State::Forwarding {
            let mut chunks = 0;
            while self.state == State::Forwarding {
                if chunks == CHUNKS_A_TURN {
                    context.waker().wake_by_ref();
                    return Ok(());
                }
                chunks += 1;
                match self.forward_chunk(context, reader, writer, meter) {
                    Poll::Ready(outcome) => outcome?,
                    Poll::Pending => return Ok(()),
                }
            }
        }
        if self.state == State::Closing {
            let closed = self.poll_close(context, writer, meter);
            if let Poll::Ready(outcome) = closed {
                self.abandon();
                return self.writer_end(outcome);
            }
        }
        Ok(())
    }

    /// Writes what is held, or else reads one chunk and writes what the writer takes of it.
    fn forward_chunk<R, W, M>(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        meter: &M,
    ) -> Poll<Result<(), CopyError>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
        M: Meter + ?Sized,
    {
        match ready!(self.poll_write_held(context, writer, meter)) {
            Ok(()) => {}
            Err(error) => {
                self.abandon();
                return Poll::Ready(self.writer_end(Err(error)));
            }
        }
        if self.total < LARGE_AFTER {
            // On the stack: an idle connection owns no buffer.
            let mut scratch = [MaybeUninit::uninit(); MEDIUM];
            let size = if self.total < MEDIUM_AFTER { SMALL } else { MEDIUM };
            self.read_and_write(context, reader, writer, meter, &mut scratch[..size])
        } else {
            self.read_and_write(context, reader, writer, meter, &mut Box::new_uninit_slice(LARGE))
        }
    }

    fn read_and_write<R, W, M>(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        meter: &M,
        scratch: &mut [MaybeUninit<u8>],
    ) -> Poll<Result<(), CopyError>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
        M: Meter + ?Sized,
    {
        let mut buffer = ReadBuf::uninit(scratch);
        match Pin::new(reader).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.state = State::Closing;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(self.reader_end(error)),
            Poll::Pending => {
                if self.unflushed {
                    match ready!(Pin::new(writer).poll_flush(context)) {
                        Ok(()) => self.unflushed = false,
                        Err(error) => {
                            self.abandon();
                            return Poll::Ready(self.writer_end(Err(error)));
                        }
                    }
                }
                return Poll::Pending;
            }
        }
        let chunk = buffer.filled();
        let mut taken = 0;
        while taken < chunk.len() {
            match Pin::new(&mut *writer).poll_write(context, &chunk[taken..]) {
                Poll::Ready(Ok(0)) => {
                    self.abandon();
                    return Poll::Ready(self.writer_end(Err(ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(count)) => {
                    taken += count;
                    self.took(count, meter);
                }
                Poll::Ready(Err(error)) => {
                    self.abandon();
                    return Poll::Ready(self.writer_end(Err(error)));
                }
                Poll::Pending => {
                    self.held = chunk[taken..].to_vec();
                    self.written = 0;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_held<W, M>(&mut self, context: &mut Context<'_>, writer: &mut W, meter: &M) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
        M: Meter + ?Sized,
    {
        while self.written < self.held.len() {
            let count = ready!(Pin::new(&mut *writer).poll_write(context, &self.held[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.took(count, meter);
        }
        if !self.held.is_empty() {
            self.held = Vec::new();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close<W, M>(&mut self, context: &mut Context<'_>, writer: &mut W, meter: &M) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
        M: Meter + ?Sized,
    {
        ready!(self.poll_write_held(context, writer, meter))?;
        if self.unflushed {
            ready!(Pin::new(&mut *writer).poll_flush(context))?;
            self.unflushed = false;
        }
        Pin::new(writer).poll_shutdown(context)
    }

    fn took<M: Meter + ?Sized>(&mut self, count: usize, meter: &M) {
        self.unflushed = true;
        self.total += count as u64;
        meter.forwarded(self.to, count as u64);
    }

    /// What a failed read means.
    fn reader_end(&mut self, error: io::Error) -> Result<(), CopyError> {
        let side = self.to.other();
        match (error.kind(), self.on_resets.of(side)) {
            (ErrorKind::NotConnected, _) | (ErrorKind::UnexpectedEof, OnReset::End) => self.state = State::Closing,
            (kind, OnReset::End) if is_reset(kind) => {
                self.reader_was_reset = true;
                self.state = State::Closing;
            }
            _ => {
                self.abandon();
                return Err(CopyError { side, error });
            }
        }
        Ok(())
    }

    /// What a failed write, flush or shutdown means. A writer that takes no more ends this direction only: whether
    /// that was an end or a failure, its read side will tell.
    fn writer_end(&self, outcome: io::Result<()>) -> Result<(), CopyError> {
        let Err(error) = outcome else { return Ok(()) };
        match (error.kind(), self.on_resets.of(self.to)) {
            (ErrorKind::NotConnected | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe, _) => Ok(()),
            (kind, OnReset::End) if is_reset(kind) => Ok(()),
            _ => Err(CopyError { side: self.to, error }),
        }
    }
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}
