//! [`Body`]: the one type of message bodies, whatever carries them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

/// A message's body: chunks as they come, then trailers if there are any. Nothing moves unless it is polled, so a slow
/// reader slows the writer.
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// The peer closed or reset before the end.
    #[error("the body was cut short: {0}")]
    Cut(String),
    /// The peer broke the framing rules.
    #[error("malformed body: {0}")]
    Malformed(String),
    /// It took longer than its route allows.
    #[error("the body took too long")]
    Timeout,
    /// It is longer than what may be held.
    #[error("the body was given up")]
    GivenUp,
}

/// No body.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is at hand.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    let bytes = bytes.into();
    if bytes.is_empty() { empty() } else { Full::new(bytes).map_err(|never| match never {}).boxed_unsync() }
}

/// A body that arrives over HTTP/1.1.
pub(crate) fn of_http1(incoming: hyper::body::Incoming) -> Body {
    incoming
        .map_err(|error| {
            let text = error.to_string();
            if error.is_parse() { BodyError::Malformed(text) } else { BodyError::Cut(text) }
        })
        .boxed_unsync()
}

/// A body that arrives over HTTP/2.
pub(crate) fn of_http2(stream: RecvStream) -> Body {
    if stream.is_end_stream() { empty() } else { Http2Body { stream, data_ended: false }.boxed_unsync() }
}

/// The window is released as data is taken.
struct Http2Body {
    stream: RecvStream,
    data_ended: bool,
}

impl http_body::Body for Http2Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let cut = |error: h2::Error| BodyError::Cut(error.to_string());
        while !self.data_ended {
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(data)) => {
                    // Fails only when the stream is over, and then nobody needs the window.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) if error.reason() == Some(h2::Reason::NO_ERROR) => self.data_ended = true,
                Some(Err(error)) => return Poll::Ready(Some(Err(cut(error)))),
                None => self.data_ended = true,
            }
        }
        match ready!(self.stream.poll_trailers(context)) {
            Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Ok(None) => Poll::Ready(None),
            Err(error) if error.reason() == Some(h2::Reason::NO_ERROR) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(cut(error)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
