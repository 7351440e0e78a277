//! [`sniff`]: what a client speaks, by its first bytes; and [`Sniffed`]: a stream some of whose bytes were looked at.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::host::{Host, timer};

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.x.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Anything else.
    Other,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes looked at in search of a request line's end.
const LINE_MAX: usize = 16 << 10;
const METHOD_MAX: usize = 32;

/// Judges the first bytes; `None` if more are needed. Pure.
pub(crate) fn recognise(bytes: &[u8]) -> Option<Spoken> {
    if bytes.starts_with(PREFACE) {
        return Some(Spoken::Http2);
    }
    if PREFACE.starts_with(bytes) {
        return None;
    }
    let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    match bytes.get(method) {
        None if method <= METHOD_MAX => return None,
        Some(b' ') if method > 0 && method <= METHOD_MAX => {}
        _ => return Some(Spoken::Other),
    }
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = bytes[..end].trim_ascii_end();
            let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            Some(if version.starts_with(b"HTTP/1.") { Spoken::Http1 } else { Spoken::Other })
        }
        None if bytes.len() < LINE_MAX => None,
        // Too long a line, but a method and a space: the parser will say what is wrong.
        None => Some(Spoken::Http1),
    }
}

/// Reads until it is clear what the client speaks, or until it has said nothing decisive for `limit`; then it is
/// [`Spoken::Other`]. A client that ends first speaks [`Spoken::Other`] too.
pub(crate) async fn sniff<H: Host, S: AsyncBufRead + Unpin>(
    host: &H,
    stream: S,
    limit: Duration,
) -> io::Result<(Spoken, Sniffed<S>)> {
    let mut sniffed = Sniffed { looked_at: BytesMut::new(), inner: stream };
    let outcome = timer::timeout(host, limit, sniffed.look()).await;
    match outcome {
        Ok(Ok(spoken)) => Ok((spoken, sniffed)),
        Ok(Err(error)) => Err(error),
        Err(timer::Elapsed) => Ok((Spoken::Other, sniffed)),
    }
}

/// A stream whose first bytes come from memory.
pub(crate) struct Sniffed<S> {
    looked_at: BytesMut,
    inner: S,
}

impl<S> Sniffed<S> {
    /// A stream nobody has looked at.
    pub(crate) fn untouched(inner: S) -> Self {
        Sniffed { looked_at: BytesMut::new(), inner }
    }

    /// What carries it, without what was looked at.
    pub(crate) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncBufRead + Unpin> Sniffed<S> {
    async fn look(&mut self) -> io::Result<Spoken> {
        loop {
            if !self.looked_at.is_empty()
                && let Some(spoken) = recognise(&self.looked_at)
            {
                return Ok(spoken);
            }
            let Sniffed { looked_at, inner } = self;
            let received = poll_fn(|context| {
                let mut inner = Pin::new(&mut *inner);
                let length = match inner.as_mut().poll_fill_buf(context) {
                    Poll::Ready(Ok(data)) => {
                        looked_at.extend_from_slice(data);
                        data.len()
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                };
                inner.consume(length);
                Poll::Ready(Ok(length))
            })
            .await?;
            if received == 0 {
                return Ok(Spoken::Other);
            }
        }
    }
}

impl<S: AsyncBufRead + Unpin> AsyncBufRead for Sniffed<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.looked_at.is_empty() {
            return Pin::new(&mut this.inner).poll_fill_buf(context);
        }
        Poll::Ready(Ok(&this.looked_at))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        if this.looked_at.is_empty() {
            return Pin::new(&mut this.inner).consume(amount);
        }
        this.looked_at.advance(amount.min(this.looked_at.len()));
        if this.looked_at.is_empty() {
            this.looked_at = BytesMut::new();
        }
    }
}

impl<S: AsyncBufRead + Unpin> AsyncRead for Sniffed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let data = std::task::ready!(self.as_mut().poll_fill_buf(context))?;
        let length = data.len().min(buffer.remaining());
        buffer.put_slice(&data[..length]);
        self.consume(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sniffed<S> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_is_spoken() {
        assert_eq!(recognise(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n..."), Some(Spoken::Http2));
        assert_eq!(recognise(b"PRI * HT"), None);
        assert_eq!(recognise(b"P"), None);
        assert_eq!(recognise(b"POST / HTTP/1.1\r\n"), Some(Spoken::Http1));
        assert_eq!(recognise(b"POST /"), None);
        assert_eq!(recognise(b"GET / \r\n"), Some(Spoken::Other));
        assert_eq!(recognise(b"\x16\x03\x01"), Some(Spoken::Other));
        assert_eq!(recognise(b"hello world\r\n"), Some(Spoken::Other));
        assert_eq!(recognise(b"EHLO"), None);
    }
}
