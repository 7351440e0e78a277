//! [`Replay`]: a request's body that may be sent more than once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::body::{self, Body, BodyError};

/// A request's body, read once from the client and given to one try after another. What was read is kept up to a limit;
/// a longer body can be sent only once. One try reads at a time: a new one ends the one before.
#[derive(Clone)]
pub(crate) struct Replay {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    over: Notify,
}

struct State {
    source: Body,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    trailers: Option<HeaderMap>,
    limit: usize,
    /// It cannot be sent from its start any more.
    forgotten: bool,
    ended: bool,
    failed: Option<BodyError>,
    /// The try that may read.
    current: u64,
}

impl Replay {
    /// Keeps at most `limit` bytes; 0 keeps none.
    pub(crate) fn new(source: Body, limit: usize) -> Self {
        let ended = source.is_end_stream();
        let state = State {
            source,
            kept: Vec::new(),
            kept_bytes: 0,
            trailers: None,
            limit,
            forgotten: false,
            ended,
            failed: None,
            current: 0,
        };
        Replay { shared: Arc::new(Shared { state: Mutex::new(state), over: Notify::new() }) }
    }

    /// The body from its start, for another try.
    pub(crate) fn again(&self) -> Body {
        let mut state = self.shared.state.lock();
        state.current += 1;
        if state.ended && state.kept.is_empty() && state.trailers.is_none() {
            return body::empty();
        }
        Body::new(Reader { shared: self.shared.clone(), number: state.current, next: 0, trailed: false })
    }

    /// Whether another try would get all of it.
    pub(crate) fn can_repeat(&self) -> bool {
        let state = self.shared.state.lock();
        !state.forgotten && state.failed.is_none()
    }

    /// Why it could not be read to its end.
    pub(crate) fn failure(&self) -> Option<BodyError> {
        self.shared.state.lock().failed.clone()
    }

    /// Completes when the client has sent all of it, or will not.
    pub(crate) async fn over(&self) {
        loop {
            let over = self.shared.over.notified();
            {
                let state = self.shared.state.lock();
                if state.ended || state.failed.is_some() {
                    return;
                }
            }
            over.await;
        }
    }

    /// All of it, once it has been read and if it was kept.
    pub(crate) fn whole(&self) -> Option<Vec<Bytes>> {
        let state = self.shared.state.lock();
        (state.ended && !state.forgotten).then(|| state.kept.clone())
    }
}

struct Reader {
    shared: Arc<Shared>,
    number: u64,
    next: usize,
    trailed: bool,
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut state = this.shared.state.lock();
        let state = &mut *state;
        if state.current != this.number {
            return Poll::Ready(Some(Err(BodyError::GivenUp)));
        }
        if let Some(chunk) = state.kept.get(this.next) {
            this.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        if let Some(error) = &state.failed {
            return Poll::Ready(Some(Err(error.clone())));
        }
        if state.ended {
            let trailers = state.trailers.clone().filter(|_| !this.trailed);
            this.trailed = true;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let polled = ready!(Pin::new(&mut state.source).poll_frame(context));
        let given = match polled {
            None => {
                state.ended = true;
                None
            }
            Some(Err(error)) => {
                state.failed = Some(error.clone());
                Some(Err(error))
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    state.kept_bytes = state.kept_bytes.saturating_add(data.len());
                    if !state.forgotten && state.kept_bytes <= state.limit {
                        state.kept.push(data.clone());
                        this.next += 1;
                    } else {
                        state.forgotten = true;
                        state.kept = Vec::new();
                        this.next = 0;
                    }
                    state.ended = state.source.is_end_stream();
                    Some(Ok(Frame::data(data)))
                }
                Err(frame) => {
                    state.trailers = frame.trailers_ref().cloned();
                    state.ended = true;
                    this.trailed = true;
                    Some(Ok(frame))
                }
            },
        };
        if state.ended || state.failed.is_some() {
            this.shared.over.notify_waiters();
        }
        Poll::Ready(given)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.shared.state.lock();
        state.ended && self.next >= state.kept.len() && (self.trailed || state.trailers.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
