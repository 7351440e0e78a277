//! [`Tunnel`]: one CONNECT stream as a byte stream.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::client::StreamPlace;
use super::http2::Resets;
use crate::identity::Identity;
use crate::telemetry::Reason;

/// The most bytes one write takes, and so the largest DATA frame we send: with its head it fills one TLS record. A receiver
/// gathers a whole frame before it can deliver any of it, and keeps a buffer of that size for the life of the connection.
const WRITE_MAX: usize = (16 << 10) - 9;

/// The connection a tunnel runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelInfo {
    /// Our end of the TCP connection.
    pub local: SocketAddr,
    /// Their end.
    pub peer: SocketAddr,
    /// Who we are in it.
    pub local_identity: Identity,
    /// Whom the peer proved to be: its first SPIFFE URI SAN that was accepted.
    pub peer_identity: Identity,
}

/// One CONNECT stream. `shutdown` half-closes (END_STREAM); the read side stays usable. Dropping it before both
/// directions ended resets the stream (CANCEL): what was written and is still waiting to be sent is lost.
///
/// Reads give buffered data before any error; a reset with NO_ERROR or CANCEL reads as end of stream. The receive window
/// is released as data is read. Reading through [`AsyncBufRead`] copies nothing.
pub struct Tunnel {
    info: Arc<TunnelInfo>,
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// Received and not yet read.
    unread: Bytes,
    write_ended: bool,
    read_ended: bool,
    resets: Resets,
    /// Client side: our place in the pooled connection, until both directions ended.
    place: Option<StreamPlace>,
}

impl Tunnel {
    pub(super) fn new(
        info: Arc<TunnelInfo>,
        send: SendStream<Bytes>,
        receive: RecvStream,
        resets: Resets,
        place: Option<StreamPlace>,
    ) -> Self {
        let unread = Bytes::new();
        Tunnel { info, send, receive, unread, write_ended: false, read_ended: false, resets, place }
    }

    /// The connection it runs in.
    pub fn info(&self) -> &Arc<TunnelInfo> {
        &self.info
    }

    /// Why the connection it runs in is over, on the client side; `None` while it is not.
    pub fn connection_closed(&self) -> Option<Reason> {
        self.place.as_ref().and_then(StreamPlace::connection_closed)
    }

    /// Resets the stream so that the peer cannot take it for one that ended (CONNECT_ERROR). What was written and not
    /// yet sent is lost.
    pub fn abort(mut self) {
        self.send.send_reset(h2::Reason::CONNECT_ERROR);
    }

    /// Waits until `wanted` bytes, or fewer but not none, may be written.
    fn poll_room(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        if self.write_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let wanted = wanted.min(WRITE_MAX);
        self.send.reserve_capacity(wanted);
        while self.send.capacity() == 0 {
            match ready!(self.send.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(write_error(error))),
                None => return Poll::Ready(Err(self.why_not_writable(context))),
            }
        }
        Poll::Ready(Ok(wanted.min(self.send.capacity())))
    }

    /// The stream takes no more data.
    fn why_not_writable(&mut self, context: &mut Context<'_>) -> io::Error {
        match self.send.poll_reset(context) {
            Poll::Ready(Err(error)) => write_error(error),
            Poll::Ready(Ok(_)) | Poll::Pending => io::ErrorKind::BrokenPipe.into(),
        }
    }

    /// Others may have our place once both directions ended.
    fn ended(&mut self) {
        if self.write_ended && self.read_ended {
            self.place = None;
        }
    }

    fn write(&mut self, data: Bytes) -> io::Result<usize> {
        let length = data.len();
        self.send.send_data(data, false).map_err(write_error)?;
        Ok(length)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if !(self.write_ended && self.read_ended) {
            self.resets.count();
        }
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").field("info", &self.info).finish_non_exhaustive()
    }
}

impl AsyncBufRead for Tunnel {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.unread.is_empty() && !this.read_ended {
            this.read_ended = match ready!(this.receive.poll_data(context)) {
                Some(Ok(data)) => {
                    this.unread = data;
                    false
                }
                Some(Err(error)) if is_orderly_reset(&error) => true,
                Some(Err(error)) => return Poll::Ready(Err(read_error(error))),
                None => true,
            };
            this.ended();
        }
        Poll::Ready(Ok(&this.unread))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.unread.advance(amount);
        if this.unread.is_empty() {
            // Lets go of the frame.
            this.unread = Bytes::new();
        }
        // Fails only when the stream is over, and then nobody needs the window.
        let _ = this.receive.flow_control().release_capacity(amount);
    }
}

impl AsyncRead for Tunnel {
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

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(this.poll_room(context, data.len()))?;
        Poll::Ready(this.write(Bytes::copy_from_slice(&data[..room])))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let total = slices.iter().fold(0usize, |total, slice| total.saturating_add(slice.len()));
        if total == 0 {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(this.poll_room(context, total))?;
        let mut gathered = BytesMut::with_capacity(room);
        for slice in slices {
            let length = slice.len().min(room - gathered.len());
            gathered.extend_from_slice(&slice[..length]);
        }
        Poll::Ready(this.write(gathered.freeze()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The task that drives the connection flushes; there is nothing to wait for.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.write_ended {
            return Poll::Ready(Ok(()));
        }
        this.write_ended = true;
        // An empty frame only ever ends a stream: peers count others as an attack.
        let ended = this.send.send_data(Bytes::new(), true);
        this.ended();
        Poll::Ready(ended.map_err(|_| io::ErrorKind::NotConnected.into()))
    }
}

/// The peer's proxy went away without complaint.
fn is_orderly_reset(error: &h2::Error) -> bool {
    error.is_reset() && error.is_remote() && matches!(error.reason(), Some(h2::Reason::NO_ERROR | h2::Reason::CANCEL))
}

fn read_error(error: h2::Error) -> io::Error {
    match error.reason() {
        Some(h2::Reason::STREAM_CLOSED) => io::Error::new(io::ErrorKind::BrokenPipe, error),
        _ if error.is_io() => error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()),
        _ => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}

fn write_error(error: h2::Error) -> io::Error {
    match error.reason() {
        Some(h2::Reason::NO_ERROR | h2::Reason::CANCEL | h2::Reason::STREAM_CLOSED) => {
            io::Error::new(io::ErrorKind::BrokenPipe, error)
        }
        _ if error.is_io() => error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()),
        // "inactive stream": it ended meanwhile.
        None => io::Error::new(io::ErrorKind::BrokenPipe, error),
        Some(_) => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}
