//! HTTP/2 without TLS, both sides, over any byte stream.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::SendStream;
use h2::client::SendRequest;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response, header};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::Leave;
use super::body::{self, Body, BodyError};
use super::framing::Violation;
use super::http1::Refused;
use super::outgoing::Outgoing;
use super::timed::Holding;
use crate::hbone::Http2Settings;
use crate::host::Host;
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};

/// What a server does with a request.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// Answers it. Dropped when the client gives up.
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

/// Headers that belong to one HTTP/1.1 connection and are malformed in HTTP/2.
fn strip_connection_headers(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

/// A connection on which we reset this many streams takes no new ones: the library remembers each until the connection
/// ends.
const RESETS_MAX: usize = 2_000;

/// The library's own refusal.
const HEADERS_TOO_LARGE: Violation = Violation { status: 431, detail: "http2.headers_too_large" };

/// Serves a connection to its end. On drain, and after an answer marked [`Leave`], the client
/// is told, and what is under way goes on. A request whose headers are too large is answered at once, and `handler` is told
/// of it by a stand-in marked [`Refused`], whose answer nobody reads.
///
/// # Errors
/// When the client broke the rules or the connection broke.
pub(crate) async fn serve<H: Host, S, F>(
    host: &H,
    stream: S,
    settings: &Http2Settings,
    drain: &DrainWatcher,
    handler: F,
) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Handler,
{
    let (stream, seen) = Outgoing::new(stream);
    let mut connection = settings.server().handshake::<_, Bytes>(stream).await?;
    let leave = Arc::new(AtomicBool::new(false));
    let mut draining = pin!(drain.draining());
    let mut announced = false;
    loop {
        for _ in seen.refused() {
            let handler = handler.clone();
            host.spawn("http refusal", async move { refused(handler).await });
        }
        let leaving = leave.load(Ordering::Relaxed) || seen.resets() >= RESETS_MAX;
        if leaving && !announced {
            announced = true;
            connection.graceful_shutdown();
        }
        let next = if announced {
            match race(drain.cut(), race(seen.news(), connection.accept())).await {
                First::Left(_) => return Ok(()),
                First::Right(First::Left(())) => continue,
                First::Right(First::Right(next)) => next,
            }
        } else {
            match race(draining.as_mut(), race(seen.news(), connection.accept())).await {
                First::Left(_) => {
                    leave.store(true, Ordering::Relaxed);
                    continue;
                }
                First::Right(First::Left(())) => continue,
                First::Right(First::Right(next)) => next,
            }
        };
        let Some(incoming) = next else { return Ok(()) };
        let (request, respond) = incoming?;
        seen.accepted(respond.stream_id().into());
        let (handler, seen, leave) = (handler.clone(), seen.clone(), leave.clone());
        host.spawn("http request", async move {
            let asked_to_leave = || {
                leave.store(true, Ordering::Relaxed);
                seen.tell();
            };
            answer(request, respond, handler, asked_to_leave).await;
        });
    }
}

/// Has it told that a request was refused for its size.
async fn refused<F: Handler>(handler: F) {
    let mut stand_in = Request::new(body::empty());
    *stand_in.version_mut() = http::Version::HTTP_2;
    stand_in.extensions_mut().insert(Refused(HEADERS_TOO_LARGE));
    let mut answer = pin!(handler.handle(stand_in).await.into_body());
    while poll_fn(|context| answer.as_mut().poll_frame(context)).await.is_some_and(|frame| frame.is_ok()) {}
}

async fn answer<F: Handler>(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    handler: F,
    asked_to_leave: impl Fn(),
) {
    let answered = {
        let handling = pin!(handler.handle(request.map(body::of_http2)));
        race(poll_fn(|context| respond.poll_reset(context)), handling).await
    };
    let First::Right(response) = answered else { return };
    let (mut head, body) = response.into_parts();
    if head.extensions.remove::<Leave>().is_some() {
        asked_to_leave();
    }
    strip_connection_headers(&mut head.headers);
    head.version = http::Version::HTTP_2;
    let ended = body.is_end_stream();
    // Fails only when the client has given up.
    if let Ok(stream) = respond.send_response(Response::from_parts(head, ()), ended)
        && !ended
    {
        let _ = send(stream, body).await;
    }
}

/// Sends a body; ends or resets the stream. At most what the peer's window allows is held.
///
/// # Errors
/// When the body failed or the peer gave up on it.
pub(crate) async fn send(mut stream: SendStream<Bytes>, body: Body) -> Result<(), BodyError> {
    let mut body = pin!(body);
    loop {
        let next = poll_fn(|context| {
            if let Poll::Ready(reset) = stream.poll_reset(context) {
                return Poll::Ready(Err(reset));
            }
            body.as_mut().poll_frame(context).map(Ok)
        })
        .await;
        let frame = match next {
            // The peer wants no more of it, which is no failure.
            Err(Ok(h2::Reason::NO_ERROR)) => return Ok(()),
            Err(_) => return Err(BodyError::Cut("the peer gave up on it".to_owned())),
            Ok(None) => return stream.send_data(Bytes::new(), true).map_err(cut),
            Ok(Some(Err(error))) => {
                stream.send_reset(if matches!(error, BodyError::Malformed(_)) {
                    h2::Reason::PROTOCOL_ERROR
                } else {
                    h2::Reason::CANCEL
                });
                return Err(error);
            }
            Ok(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                let last = body.is_end_stream();
                send_chunk(&mut stream, data, last).await?;
                if last {
                    return Ok(());
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return stream.send_trailers(trailers).map_err(cut);
                }
            }
        }
    }
}

fn cut(error: h2::Error) -> BodyError {
    BodyError::Cut(error.to_string())
}

async fn send_chunk(stream: &mut SendStream<Bytes>, mut data: Bytes, last: bool) -> Result<(), BodyError> {
    if data.is_empty() {
        return if last { stream.send_data(data, true).map_err(cut) } else { Ok(()) };
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = poll_fn(|context| {
            if stream.capacity() > 0 {
                return Poll::Ready(Some(Ok(stream.capacity())));
            }
            stream.poll_capacity(context)
        })
        .await;
        match room {
            Some(Ok(0)) => {}
            Some(Ok(room)) => {
                let chunk = data.split_to(room.min(data.len()));
                let ends = last && data.is_empty();
                stream.send_data(chunk, ends).map_err(cut)?;
            }
            Some(Err(error)) => return Err(cut(error)),
            None => return Err(BodyError::Cut("the stream has ended".to_owned())),
        }
    }
    Ok(())
}

/// An HTTP/2 connection to an upstream.
#[derive(Clone)]
pub(crate) struct Client {
    send: SendRequest<Bytes>,
}

impl Client {
    /// Shakes hands; the connection runs in a task of its own until the last clone and stream are gone. `ended` is told.
    ///
    /// # Errors
    /// When the peer does not speak HTTP/2.
    pub(crate) async fn handshake<H: Host, S>(
        host: &H,
        stream: S,
        settings: &Http2Settings,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Client, h2::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = settings.client().handshake::<_, Bytes>(stream).await?;
        host.spawn("upstream http/2", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream HTTP/2 connection ended");
            }
            ended();
        });
        Ok(Client { send })
    }

    /// Streams the peer allows at once.
    pub(crate) fn streams_max(&self) -> usize {
        self.send.current_max_send_streams()
    }

    /// Whether it failed or the peer takes no new streams.
    pub(crate) fn is_over(&mut self) -> bool {
        matches!(self.send.poll_ready(&mut Context::from_waker(std::task::Waker::noop())), Poll::Ready(Err(_)))
    }

    /// Sends a request; the answer when its head has come. Dropping the future or the answer's body cancels.
    ///
    /// # Errors
    /// As HTTP/2 reports.
    pub(crate) async fn send<H: Host>(&self, host: &H, request: Request<Body>) -> Result<Response<Body>, h2::Error> {
        let (mut head, body) = request.into_parts();
        strip_connection_headers(&mut head.headers);
        head.headers.remove(header::HOST);
        head.version = http::Version::HTTP_2;
        let mut send = self.send.clone().ready().await?;
        let ended = body.is_end_stream();
        let (response, stream) = send.send_request(Request::from_parts(head, ()), ended)?;
        drop(send);
        let guard = CancelOnDrop(Arc::new(Notify::new()));
        if !ended {
            let cancelled = guard.0.clone();
            host.spawn("upstream request body", async move {
                // Dropping the half-sent stream resets it.
                let _ = race(cancelled.notified(), send_all(stream, body)).await;
            });
        }
        let response = response.await?;
        Ok(response.map(|stream| {
            let inner = body::of_http2(stream);
            if inner.is_end_stream() && ended {
                return inner;
            }
            // The request's body is given up with the answer's.
            Holding::until_dropped(inner, guard)
        }))
    }
}

async fn send_all(stream: SendStream<Bytes>, body: Body) {
    let _ = send(stream, body).await;
}

struct CancelOnDrop(Arc<Notify>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
