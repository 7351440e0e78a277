//! [`SimStream`]: a TCP connection as a task sees it.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use proxy_core::host::{Keepalive, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::arena::Key;
use super::engine::Engine;
use super::world::World;
use crate::tcp::{CloseReason, ReadState, WriteState};
use crate::wire::Payload;

/// A connected TCP stream of the simulated network.
///
/// Dropping it closes gracefully: what was written is delivered, then FIN; bytes received and not read make it a reset.
pub struct SimStream {
    engine: Arc<Engine>,
    key: Key,
    local: SocketAddr,
    peer: SocketAddr,
}

impl SimStream {
    /// Takes over a connection; dropping this lets go of it.
    pub(super) fn new(engine: Arc<Engine>, key: Key, local: SocketAddr, peer: SocketAddr) -> Self {
        SimStream { engine, key, local, peer }
    }

    /// Whether the handshake is done; an error when it failed.
    pub(super) fn poll_connected(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.engine.with(|world| {
            let Some(socket) = world.sockets.get_mut(self.key) else { return Poll::Ready(Err(vanished())) };
            if let Some(reason) = socket.tcb.close_reason() {
                return Poll::Ready(Err(failure(reason, self.peer)));
            }
            if socket.tcb.is_connected() {
                return Poll::Ready(Ok(()));
            }
            world.executor.park_in(&mut socket.writer, waker, &mut world.discarded);
            Poll::Pending
        })
    }
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStream({} to {})", self.local, self.peer)
    }
}

fn vanished() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "this socket's process was killed or its namespace removed")
}

fn failure(reason: CloseReason, peer: SocketAddr) -> io::Error {
    let (kind, text) = match reason {
        CloseReason::Refused => (io::ErrorKind::ConnectionRefused, "connection refused by"),
        CloseReason::Reset => (io::ErrorKind::ConnectionReset, "connection reset by"),
        CloseReason::TimedOut => (io::ErrorKind::TimedOut, "connection timed out: no answer from"),
        CloseReason::Unreachable => (io::ErrorKind::HostUnreachable, "no route to"),
        CloseReason::Aborted => (io::ErrorKind::ConnectionAborted, "connection aborted towards"),
        CloseReason::Finished => (io::ErrorKind::BrokenPipe, "connection already closed by"),
    };
    io::Error::new(kind, format!("{text} {peer}"))
}

/// Writes with `write`, or waits for room.
fn poll_write(
    stream: &SimStream,
    waker: &Waker,
    write: impl FnOnce(&mut World, Key) -> Option<usize>,
) -> Poll<io::Result<usize>> {
    stream.engine.with(|world| {
        world.executor.note(stream.key.slot);
        match write(world, stream.key) {
            Some(0) => {}
            Some(count) => return Poll::Ready(Ok(count)),
            None => return Poll::Ready(Err(vanished())),
        }
        let Some(socket) = world.sockets.get_mut(stream.key) else { return Poll::Ready(Err(vanished())) };
        match socket.tcb.write_state() {
            WriteState::Failed(reason) => Poll::Ready(Err(failure(reason, stream.peer))),
            WriteState::Ended => {
                let text = "the write side was shut down before";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, text)))
            }
            WriteState::Room(_) | WriteState::Full => {
                world.executor.park_in(&mut socket.writer, waker, &mut world.discarded);
                Poll::Pending
            }
        }
    })
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.engine.with(|world| {
            if world.troubles.slow_readers() && world.must_wait_to_read(self.key, context.waker()) {
                return Poll::Pending;
            }
            let Some(socket) = world.sockets.get_mut(self.key) else { return Poll::Ready(Err(vanished())) };
            let count = socket.tcb.read(buffer, &mut world.output);
            if count > 0 {
                world.flush_output(self.key);
                if world.troubles.slow_readers() {
                    world.note_read(self.key, count);
                }
                return Poll::Ready(Ok(()));
            }
            match socket.tcb.read_state() {
                ReadState::End => Poll::Ready(Ok(())),
                ReadState::Failed(reason) => Poll::Ready(Err(failure(reason, self.peer))),
                ReadState::Bytes(_) | ReadState::Empty => {
                    world.executor.park_in(&mut socket.reader, context.waker(), &mut world.discarded);
                    Poll::Pending
                }
            }
        })
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        poll_write(&self, context.waker(), |world, key| world.call(key, |tcb, now, out| tcb.write(now, data, out)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        poll_write(&self, context.waker(), |world, key| {
            world.call(key, |tcb, now, out| {
                let room = tcb.send_room() as usize;
                match slices.iter().find(|slice| !slice.is_empty()) {
                    Some(first) if room == 0 => tcb.write(now, first, out),
                    _ => {
                        let total: usize = slices.iter().map(|slice| slice.len()).sum();
                        let count = tcb.write_payload(now, Payload::gather(slices, room), out);
                        debug_assert!(count <= total);
                        count
                    }
                }
            })
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Every write already is on its way.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.engine.with(|world| {
            let done = world.call(self.key, |tcb, now, out| match tcb.close_reason() {
                None | Some(CloseReason::Finished) => {
                    tcb.shutdown_write(now, out);
                    Ok(())
                }
                Some(_) => Err(io::Error::new(io::ErrorKind::NotConnected, "the connection is gone")),
            });
            Poll::Ready(done.unwrap_or_else(|| Err(vanished())))
        })
    }
}

impl Stream for SimStream {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn set_keepalive(&self, keepalive: Option<Keepalive>) {
        self.engine.with(|world| world.call(self.key, |tcb, _, _| tcb.set_keepalive(keepalive)));
    }

    fn reset(self) {
        self.engine.with(|world| world.abort_connection(self.key));
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.engine.with(|world| world.release_connection(self.key));
    }
}
