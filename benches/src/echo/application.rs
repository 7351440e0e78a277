//! The two applications, the same on every engine. Like servers made for many connections, neither holds a buffer while
//! it has nothing to do.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::MESSAGE;

static QUESTION: [u8; MESSAGE] = [7; MESSAGE];

/// Sends back whatever comes, until the stream ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut held = Vec::new();
    // How it ends is of no interest here.
    let _ended: io::Result<()> = poll_fn(move |context| poll_serve(&mut stream, &mut held, context)).await;
}

fn poll_serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    held: &mut Vec<u8>,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        while !held.is_empty() {
            let count = ready!(Pin::new(&mut *stream).poll_write(context, held))?;
            held.drain(..count);
        }
        let mut scratch = [MaybeUninit::uninit(); MESSAGE];
        let mut buffer = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        let mut rest = buffer.filled();
        if rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !rest.is_empty() {
            match Pin::new(&mut *stream).poll_write(context, rest)? {
                Poll::Ready(count) => rest = &rest[count..],
                Poll::Pending => {
                    held.extend_from_slice(rest);
                    return Poll::Pending;
                }
            }
        }
    }
}

/// One message out, and as much back.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.write_all(&QUESTION).await?;
    let mut missing = MESSAGE;
    poll_fn(move |context| {
        while missing > 0 {
            let mut scratch = [MaybeUninit::uninit(); MESSAGE];
            let mut buffer = ReadBuf::uninit(&mut scratch[..missing]);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            missing -= buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    })
    .await
}
