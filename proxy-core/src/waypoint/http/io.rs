//! Adapters between our byte streams and hyper's.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

/// One of our streams, for hyper.
pub(crate) struct ForHyper<S>(pub(crate) S);

impl<S: AsyncBufRead + Unpin> hyper::rt::Read for ForHyper<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let data = ready!(Pin::new(&mut self.0).poll_fill_buf(context))?;
        let length = data.len().min(buffer.remaining());
        buffer.put_slice(&data[..length]);
        Pin::new(&mut self.0).consume(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for ForHyper<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }
}

/// A connection hyper has let go of after an upgrade, for us.
pub(crate) struct FromHyper(pub(crate) hyper::upgrade::Upgraded);

impl AsyncRead for FromHyper {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = {
            let mut theirs = hyper::rt::ReadBuf::new(buffer.initialize_unfilled());
            ready!(hyper::rt::Read::poll_read(Pin::new(&mut self.0), context, theirs.unfilled()))?;
            theirs.filled().len()
        };
        buffer.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FromHyper {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        hyper::rt::Write::poll_write(Pin::new(&mut self.0), context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        hyper::rt::Write::poll_flush(Pin::new(&mut self.0), context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        hyper::rt::Write::poll_shutdown(Pin::new(&mut self.0), context)
    }
}
