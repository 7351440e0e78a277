//! [`RequestLog`]: what is learnt of one request while it is answered, told once when it is over.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;

use super::http::body::{Body, BodyError};
use crate::host::Instant;
use crate::telemetry::{Event, Reason, RequestInfo, ResponseFlags, Sink};

/// One request's story. Told when the answer has been sent to its end, or when the last holder is dropped.
pub(super) struct RequestLog {
    sink: Arc<dyn Sink>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    counts: Arc<Counts>,
    info: Mutex<Option<RequestInfo>>,
}

/// What bodies carried.
#[derive(Default)]
pub(super) struct Counts {
    received: AtomicU64,
    sent: AtomicU64,
    request_messages: AtomicU64,
    response_messages: AtomicU64,
}

impl RequestLog {
    pub(super) fn new(
        sink: Arc<dyn Sink>,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
        info: RequestInfo,
    ) -> Arc<Self> {
        let (clock, info) = (Box::new(clock), Mutex::new(Some(info)));
        Arc::new(RequestLog { sink, clock, counts: Arc::default(), info })
    }

    /// Notes something. Does nothing once it was told.
    pub(super) fn note(&self, change: impl FnOnce(&mut RequestInfo)) {
        if let Some(info) = self.info.lock().as_mut() {
            change(info);
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Tells, once.
    fn tell(&self, cut: Option<(Reason, ResponseFlags)>) {
        let Some(mut info) = self.info.lock().take() else { return };
        let at = (self.clock)();
        info.duration = at - info.started;
        info.received = self.counts.received.load(Ordering::Relaxed);
        info.sent = self.counts.sent.load(Ordering::Relaxed);
        info.request_messages = self.counts.request_messages.load(Ordering::Relaxed);
        info.response_messages = self.counts.response_messages.load(Ordering::Relaxed);
        if let Some((reason, flag)) = cut {
            if info.reason == Reason::Completed {
                info.reason = reason;
            }
            if !info.flags.contains(&flag) {
                info.flags.push(flag);
            }
        }
        self.sink.record(Event::Request { at, request: Arc::new(info) });
    }

    /// The answer has been sent to its end.
    pub(super) fn finish(&self) {
        self.tell(None);
    }
}

/// Nobody is left who could answer: the client has gone.
impl Drop for RequestLog {
    fn drop(&mut self) {
        self.tell(Some((Reason::ClientGone, ResponseFlags::ClientGone)));
    }
}

impl Counts {
    /// More bytes were taken by the client or by the server of a connection that was upgraded.
    pub(super) fn add(&self, received: u64, sent: u64) {
        self.received.fetch_add(received, Ordering::Relaxed);
        self.sent.fetch_add(sent, Ordering::Relaxed);
    }
}

/// Counts gRPC messages as they pass, however they are cut.
#[derive(Default)]
struct Messages {
    prefix: usize,
    length: [u8; 4],
    left: u64,
}

impl Messages {
    fn pass(&mut self, mut data: &[u8]) -> u64 {
        let mut begun = 0;
        while !data.is_empty() {
            if self.left > 0 {
                let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(data.len());
                self.left -= take as u64;
                data = &data[take..];
                continue;
            }
            if self.prefix > 0 {
                self.length[self.prefix - 1] = data[0];
            }
            self.prefix += 1;
            data = &data[1..];
            if self.prefix == 5 {
                begun += 1;
                self.prefix = 0;
                self.left = u64::from(u32::from_be_bytes(self.length));
            }
        }
        begun
    }
}

/// A request's body, counted.
pub(super) struct CountedRequest {
    inner: Body,
    counts: Arc<Counts>,
    messages: Option<Messages>,
}

impl CountedRequest {
    pub(super) fn over(inner: Body, log: &RequestLog, grpc: bool) -> Body {
        let messages = grpc.then(Messages::default);
        Body::new(CountedRequest { inner, counts: log.counts.clone(), messages })
    }
}

impl http_body::Body for CountedRequest {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.counts.received.fetch_add(data.len() as u64, Ordering::Relaxed);
            if let Some(messages) = &mut self.messages {
                let begun = messages.pass(data);
                self.counts.request_messages.fetch_add(begun, Ordering::Relaxed);
            }
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

/// An answer's body: counted, and the request's story is told at its end.
pub(super) struct Logged {
    inner: Body,
    log: Arc<RequestLog>,
    messages: Option<Messages>,
    ended: bool,
}

impl Logged {
    pub(super) fn over(inner: Body, log: Arc<RequestLog>, grpc: bool) -> Body {
        let messages = grpc.then(Messages::default);
        Body::new(Logged { inner, log, messages, ended: false })
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.log.finish();
        }
    }
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.log.counts.sent.fetch_add(data.len() as u64, Ordering::Relaxed);
                    let begun = self.messages.as_mut().map_or(0, |messages| messages.pass(data));
                    self.log.counts.response_messages.fetch_add(begun, Ordering::Relaxed);
                }
                let status = frame.trailers_ref().and_then(|trailers| trailers.get("grpc-status"));
                if let Some(status) = status.and_then(|status| status.to_str().ok()?.parse().ok()) {
                    self.log.note(|info| info.grpc_status = Some(status));
                }
                if self.inner.is_end_stream() {
                    self.end();
                }
            }
            Poll::Ready(Some(Err(error))) => {
                let (reason, flag) = match error {
                    BodyError::Timeout => (Reason::RequestTimeout, ResponseFlags::UpstreamTimeout),
                    _ => (Reason::UpstreamReset, ResponseFlags::UpstreamReset),
                };
                self.ended = true;
                self.log.tell(Some((reason, flag)));
            }
            Poll::Ready(None) => self.end(),
            Poll::Pending => {}
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

/// A body that had ended before it was read is never polled.
impl Drop for Logged {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let stream = [&[0u8, 0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0, 0], &[1, 0, 0, 1, 0], &[7; 256]].concat();
        for step in 1..stream.len() {
            let mut messages = Messages::default();
            let count: u64 = stream.chunks(step).map(|part| messages.pass(part)).sum();
            assert_eq!(count, 3, "{step}");
        }
    }
}
