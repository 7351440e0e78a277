//! [`Http2Settings`]: what both ends ask of HTTP/2, and the h2 builders made of it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::telemetry::Reason;
use crate::tls::TlsError;

/// HTTP/2 parameters of an HBONE connection.
///
/// The connection window must exceed the stream window, or one unread stream would stall all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Settings {
    /// Bytes a peer may send on one stream unread. Default 4 MiB.
    pub stream_window: u32,
    /// Bytes a peer may send on all streams unread. Default 16 MiB.
    pub connection_window: u32,
    /// The largest frame we accept, 16 KiB to 16 MiB less one byte. Default 1 MiB.
    pub frame_max: u32,
    /// Bytes a stream may hold unsent. Default 64 KiB: the operating system holds more, and what is queued here is
    /// paid for in memory long after.
    pub send_buffer_max: u32,
    /// The largest header list a server accepts. Default 64 KiB.
    pub server_header_list_max: u32,
    /// The largest header list a client accepts. Default 16 KiB.
    pub client_header_list_max: u32,
    /// Streams a server lets one client have. Default 200.
    pub server_streams_max: u32,
    /// Time from a connection's start, or from the last PONG, to the next PING. Default 10 s.
    pub ping_interval: Duration,
    /// How long a PING may go unanswered. Default 20 s.
    pub ping_timeout: Duration,
}

impl Default for Http2Settings {
    fn default() -> Self {
        Http2Settings {
            stream_window: 4 << 20,
            connection_window: 16 << 20,
            frame_max: 1 << 20,
            send_buffer_max: 64 << 10,
            server_header_list_max: 64 << 10,
            client_header_list_max: 16 << 10,
            server_streams_max: 200,
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(20),
        }
    }
}

/// Streams a client may open before it has seen the server's limit.
const INITIAL_STREAMS: usize = 100;

/// A connection on which we reset this many streams takes no new ones: HTTP/2 remembers each (about 500 bytes) until the
/// connection ends, because the library would otherwise forget by the operating system's clock.
pub(super) const RESETS_MAX: usize = 10_000;

/// What the library may remember: [`RESETS_MAX`] and whatever streams were still open then.
const RESETS_REMEMBERED: usize = 2 * RESETS_MAX;

/// Small unread DATA frames a peer may have us hold, in bytes of overhead: a client that writes byte by byte to a
/// reader that pauses must not kill the streams of others. Flow control bounds the bytes, this bounds the frames.
const SMALL_FRAMES_BUDGET: usize = 64 << 20;

impl Http2Settings {
    fn frame_size(&self) -> u32 {
        self.frame_max.clamp(1 << 14, (1 << 24) - 1)
    }

    pub(crate) fn client(&self) -> h2::client::Builder {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_frame_size(self.frame_size())
            .max_header_list_size(self.client_header_list_max)
            .max_send_buffer_size(self.send_buffer_max as usize)
            .initial_max_send_streams(INITIAL_STREAMS)
            .enable_push(false)
            .reset_stream_duration(Duration::MAX)
            .max_concurrent_reset_streams(RESETS_REMEMBERED)
            .data_frame_budget(SMALL_FRAMES_BUDGET);
        builder
    }

    pub(crate) fn server(&self) -> h2::server::Builder {
        let mut builder = h2::server::Builder::new();
        builder
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_frame_size(self.frame_size())
            .max_header_list_size(self.server_header_list_max)
            .max_send_buffer_size(self.send_buffer_max as usize)
            .max_concurrent_streams(self.server_streams_max)
            .reset_stream_duration(Duration::MAX)
            .max_concurrent_reset_streams(RESETS_REMEMBERED)
            .data_frame_budget(SMALL_FRAMES_BUDGET);
        builder
    }
}

/// Why a connection is over. `busy`: streams were open just before.
pub(super) fn end_of_connection(outcome: Result<(), &h2::Error>, busy: bool) -> Reason {
    let Err(error) = outcome else { return Reason::Completed };
    if error.is_io() {
        // Idle and hung up on, without the ceremony of GOAWAY, close_notify and FIN in this order: nothing is lost.
        let hung_up = error.get_io().is_some_and(|error| {
            use io::ErrorKind::{BrokenPipe, NotConnected, UnexpectedEof};
            matches!(error.kind(), BrokenPipe | NotConnected | UnexpectedEof)
        });
        return if hung_up && !busy { Reason::Completed } else { Reason::Reset };
    }
    if error.reason() == Some(h2::Reason::NO_ERROR) { Reason::Completed } else { Reason::Http2Failed }
}

/// Counts the streams we reset on one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Resets(Arc<AtomicUsize>);

impl Resets {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn exhausted(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= RESETS_MAX
    }
}

/// The first TLS failure of a connection after its handshake. HTTP/2 keeps only the words of an I/O error; in
/// TLS 1.3 a server's refusal of the client's certificate arrives as such an error.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Arc<Mutex<Option<TlsError>>>);

impl Failure {
    pub(super) fn get(&self) -> Option<TlsError> {
        self.0.lock().clone()
    }

    fn note<T>(&self, outcome: &Poll<io::Result<T>>) {
        if let Poll::Ready(Err(error)) = outcome
            && error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
        {
            self.0.lock().get_or_insert_with(|| TlsError::from_io(error));
        }
    }
}

/// A stream that notes its first TLS failure.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) failure: Failure,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.failure.note(&outcome);
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, data);
        self.failure.note(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.failure.note(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.failure.note(&outcome);
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
