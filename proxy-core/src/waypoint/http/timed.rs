//! [`Timed`]: a body that has until a moment to end. [`Holding`]: a body that holds something until its end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::body::{Body, BodyError};

/// What ends a body early.
pub(crate) type Deadline = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body that keeps `held` until it is dropped, or until it has ended if that is enough.
pub(crate) struct Holding<T> {
    inner: Body,
    held: Option<T>,
    until_end: bool,
}

impl<T: Send + Unpin + 'static> Holding<T> {
    /// Lets go of `held` as soon as the body has ended.
    pub(crate) fn until_end(inner: Body, held: T) -> Body {
        Body::new(Holding { inner, held: Some(held), until_end: true })
    }

    /// Lets go of `held` when the body is dropped, and not before.
    pub(crate) fn until_dropped(inner: Body, held: T) -> Body {
        Body::new(Holding { inner, held: Some(held), until_end: false })
    }
}

impl<T: Send + Unpin + 'static> http_body::Body for Holding<T> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if self.until_end && (matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.inner.is_end_stream()) {
            self.held = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body that fails with [`BodyError::Timeout`] when `deadline` completes first.
pub(crate) struct Timed {
    inner: Body,
    deadline: Deadline,
}

impl Timed {
    pub(crate) fn over(inner: Body, deadline: Deadline) -> Body {
        Body::new(Timed { inner, deadline })
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        self.deadline.as_mut().poll(context).map(|()| Some(Err(BodyError::Timeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
