//! HTTP/1.1, both sides, over any byte stream: hyper's parser and writer behind [`Strict`].

use std::convert::Infallible;
use std::pin::pin;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::client::conn::http1::SendRequest;
use tokio::io::{AsyncBufRead, AsyncWrite};

use super::Leave;
use super::body::{self, Body};
use super::framing::{HeadLimits, Violation};
use super::http2::Handler;
use super::io::ForHyper;
use super::strict::{Strict, Verdicts};
use crate::host::Host;
use crate::net::drain::{DrainWatcher, Phase};
use crate::net::race::{First, race};

/// In a request's extensions: it was refused before it was parsed, and what the parser saw is a stand-in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused(pub(crate) Violation);

/// In a request's extensions: how to learn why its body failed.
#[derive(Clone)]
pub(crate) struct BodyVerdict(Verdicts);

impl BodyVerdict {
    /// The rule its body broke, if it broke one.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.0.body()
    }
}

/// Serves a connection to its end. On drain the request under way is answered, with `Connection: close`.
///
/// An answer 101, or 2xx to CONNECT, whose extensions hold nothing more is the handler's business: it must have taken
/// `hyper::upgrade::on` of the request before.
///
/// # Errors
/// When the connection broke in the middle of a message.
pub(crate) async fn serve<H: Host, S, F>(
    host: &H,
    stream: S,
    limits: HeadLimits,
    drain: &DrainWatcher,
    handler: F,
) -> Result<(), hyper::Error>
where
    S: AsyncBufRead + AsyncWrite + Unpin + Send + 'static,
    F: Handler,
{
    let (strict, verdicts) = Strict::new(host.clone(), stream, limits);
    let watcher = drain.clone();
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let (handler, verdicts, watcher) = (handler.clone(), verdicts.clone(), watcher.clone());
        async move { Ok::<_, Infallible>(answer(request, handler, verdicts, &watcher).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .half_close(false)
        .keep_alive(true)
        .header_read_timeout(None)
        .auto_date_header(false)
        .max_headers(limits.lines_max + 1)
        .max_header_size(limits.bytes_max + 1)
        .max_buf_size(limits.bytes_max + (8 << 10));
    let mut connection = pin!(builder.serve_connection(ForHyper(strict), service).with_upgrades());
    match race(drain.draining(), connection.as_mut()).await {
        First::Right(outcome) => return outcome,
        First::Left(Phase::Cut { .. }) => return Ok(()),
        First::Left(_) => connection.as_mut().graceful_shutdown(),
    }
    match race(drain.cut(), connection).await {
        First::Left(_) => Ok(()),
        First::Right(outcome) => outcome,
    }
}

async fn answer<F: Handler>(
    mut request: Request<hyper::body::Incoming>,
    handler: F,
    verdicts: Verdicts,
    drain: &DrainWatcher,
) -> Response<Body> {
    let (may_upgrade, refused) = match verdicts.next() {
        Ok(may_upgrade) => (may_upgrade, None),
        Err(violation) => (false, Some(violation)),
    };
    if let Some(violation) = refused {
        request.extensions_mut().insert(Refused(violation));
    }
    request.extensions_mut().insert(BodyVerdict(verdicts.clone()));
    let mut response = handler.handle(request.map(body::of_http1)).await;
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if may_upgrade {
        verdicts.upgraded(upgraded);
    }
    let broken = refused.is_some() || verdicts.body().is_some();
    let leave = response.extensions_mut().remove::<Leave>().is_some();
    if !upgraded && (broken || leave || drain.phase() != Phase::Running) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    *response.version_mut() = http::Version::HTTP_11;
    response
}

/// Bytes and header lines the head of an endpoint's answer may have.
const ANSWER_HEAD_MAX: usize = 60 << 10;
const ANSWER_LINES_MAX: usize = 100;

/// An HTTP/1.1 connection to an upstream: one request at a time.
pub(crate) struct Client {
    send: SendRequest<Body>,
}

impl Client {
    /// The connection runs in a task of its own; `ended` is told when it is over.
    ///
    /// # Errors
    /// Never in practice: HTTP/1.1 has no handshake.
    pub(crate) async fn handshake<H: Host, S>(
        host: &H,
        stream: S,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Client, hyper::Error>
    where
        S: AsyncBufRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_headers(ANSWER_LINES_MAX).max_header_size(ANSWER_HEAD_MAX);
        builder.max_buf_size(ANSWER_HEAD_MAX + (8 << 10));
        let (send, connection) = builder.handshake(ForHyper(stream)).await?;
        host.spawn("upstream http/1.1", async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "upstream HTTP/1.1 connection ended");
            }
            ended();
        });
        Ok(Client { send })
    }

    /// Whether the last exchange is over and the peer has not closed.
    pub(crate) fn is_ready(&self) -> bool {
        self.send.is_ready() && !self.send.is_closed()
    }

    /// Whether it can carry no further request.
    pub(crate) fn is_over(&self) -> bool {
        self.send.is_closed()
    }

    /// Waits until it can take a request.
    ///
    /// # Errors
    /// When it is over.
    pub(crate) async fn ready(&mut self) -> Result<(), hyper::Error> {
        self.send.ready().await
    }

    /// Sends a request; the answer when its head has come.
    ///
    /// # Errors
    /// The request comes back if not a byte of it was sent.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<hyper::body::Incoming>, (hyper::Error, Option<Request<Body>>)> {
        self.send.try_send_request(request).await.map_err(|mut error| {
            let message = error.take_message();
            (error.into_error(), message)
        })
    }
}
