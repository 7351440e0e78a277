//! [`LoopbackStream`].

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use proxy_core::host::{Keepalive, Stream, TokioStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::process::ProcessState;

/// A connection within a mesh, in the mesh's own addresses.
pub struct LoopbackStream {
    /// Until it is reset or dropped.
    stream: Option<TokioStream>,
    local: SocketAddr,
    peer: SocketAddr,
    process: Arc<ProcessState>,
}

impl LoopbackStream {
    pub(super) fn new(
        stream: TokioStream,
        local: SocketAddr,
        peer: SocketAddr,
        process: Arc<ProcessState>,
    ) -> LoopbackStream {
        LoopbackStream { stream: Some(stream), local, peer, process }
    }

    fn inner(self: Pin<&mut Self>) -> io::Result<Pin<&mut TokioStream>> {
        match &mut self.get_mut().stream {
            Some(stream) => Ok(Pin::new(stream)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for LoopbackStream {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take()
            && self.process.resets()
        {
            stream.reset();
        }
    }
}

impl Stream for LoopbackStream {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn set_keepalive(&self, keepalive: Option<Keepalive>) {
        if let Some(stream) = &self.stream {
            stream.set_keepalive(keepalive);
        }
    }

    fn reset(mut self) {
        if let Some(stream) = self.stream.take() {
            stream.reset();
        }
    }
}

impl AsyncRead for LoopbackStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for LoopbackStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write(context, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_shutdown(context)
    }
}
