//! [`Acceptor`] and [`ServerConnection`]: the server side of HBONE.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::connect::BAGGAGE;
use super::http2::{Resets, end_of_connection};
use super::ping::Ping;
use super::{Baggage, ConnectHeaders, HboneError, Http2Settings, Tunnel, TunnelInfo};
use crate::host::{Host, Stream, timer};
use crate::identity::WorkloadCertificate;
use crate::net::drain::{DrainWatcher, Phase};
use crate::net::race::{First, race};
use crate::telemetry::{Event, Reason, Reporter, Sink, TunnelEvent};
use crate::tls::{self, TlsError, TlsOptions, TlsStream};

/// How an [`Acceptor`] behaves.
#[derive(Clone, Debug)]
pub struct AcceptorConfig {
    /// How connections are protected.
    pub tls: TlsOptions,
    /// HTTP/2 parameters.
    pub http2: Http2Settings,
    /// Time for the TLS and HTTP/2 handshakes, waiting for a free place included. Default 10 s.
    pub handshake_timeout: Duration,
    /// Handshakes under way at once; further ones wait. Default 256.
    pub handshakes_max: usize,
}

impl Default for AcceptorConfig {
    fn default() -> Self {
        AcceptorConfig {
            tls: TlsOptions::default(),
            http2: Http2Settings::default(),
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 256,
        }
    }
}

/// Turns accepted TCP streams into HBONE connections. Cheap to clone; clones share the limit on handshakes.
pub struct Acceptor<H> {
    host: H,
    shared: Arc<Shared>,
}

struct Shared {
    config: AcceptorConfig,
    sink: Arc<dyn Sink>,
    handshakes: Semaphore,
}

impl<H: Host> Clone for Acceptor<H> {
    fn clone(&self) -> Self {
        Acceptor { host: self.host.clone(), shared: self.shared.clone() }
    }
}

impl<H: Host> Acceptor<H> {
    /// An acceptor for one listener.
    pub fn new(host: H, config: AcceptorConfig, sink: Arc<dyn Sink>) -> Self {
        let handshakes = Semaphore::new(config.handshakes_max.clamp(1, Semaphore::MAX_PERMITS));
        Acceptor { host, shared: Arc::new(Shared { config, sink, handshakes }) }
    }

    /// Does the TLS and HTTP/2 handshakes, presenting `certificate`. Clients of its trust domain are let in, and those of
    /// `aliases`.
    ///
    /// # Errors
    /// [`HboneError::Tls`], [`HboneError::Http2`], [`HboneError::Limit`]; bounded by the handshake timeout.
    pub async fn accept(
        &self,
        tcp: H::Tcp,
        certificate: &WorkloadCertificate,
        aliases: &[Arc<str>],
    ) -> Result<ServerConnection<H>, HboneError> {
        let config = &self.shared.config;
        let deadline = self.host.now() + config.handshake_timeout;
        let waiting = timer::timeout(&self.host, config.handshake_timeout, self.shared.handshakes.acquire());
        let Ok(Ok(_permit)) = waiting.await else {
            return Err(HboneError::Limit(format!("{} handshakes were under way already", config.handshakes_max)));
        };
        let left = deadline.saturating_since(self.host.now());
        // Boxed: the caller's task lives as long as the connection, and its handshake is large and short.
        timer::timeout(&self.host, left, Box::pin(self.handshake(tcp, certificate, aliases)))
            .await
            .map_err(|_| TlsError::Timeout(config.handshake_timeout))?
    }

    async fn handshake(
        &self,
        tcp: H::Tcp,
        certificate: &WorkloadCertificate,
        aliases: &[Arc<str>],
    ) -> Result<ServerConnection<H>, HboneError> {
        let Shared { config, sink, .. } = &*self.shared;
        let (local, peer) = (tcp.local_addr(), tcp.peer_addr());
        let secured = tls::accept(&self.host, &config.tls, certificate, aliases, tcp).await?;
        let local_identity = certificate.identity.clone();
        let info = Arc::new(TunnelInfo { local, peer, local_identity, peer_identity: secured.peer.identity });
        let mut connection = config
            .http2
            .server()
            .handshake(secured.stream)
            .await
            .map_err(|error| HboneError::Http2(error.to_string()))?;
        let ping = connection.ping_pong().map(|ping_pong| Ping::new(self.host.clone(), ping_pong, &config.http2));
        sink.record(Event::Tunnel(TunnelEvent::Opened {
            at: self.host.now(),
            reporter: Reporter::Destination,
            local,
            peer,
            local_identity: info.local_identity.clone(),
            peer_identity: info.peer_identity.clone(),
            local_workload: None,
        }));
        let connection = Box::new(connection);
        let (host, sink, resets) = (self.host.clone(), sink.clone(), Resets::default());
        Ok(ServerConnection { info, host, sink, connection, ping, resets, leaving: false, closed: None })
    }
}

/// One HBONE connection, server side. Nothing in it moves unless [`ServerConnection::next`] is being awaited: one task
/// calls it in a loop and spawns the rest. Dropping it cuts its streams.
pub struct ServerConnection<H: Host> {
    info: Arc<TunnelInfo>,
    host: H,
    sink: Arc<dyn Sink>,
    connection: Box<h2::server::Connection<TlsStream<H::Tcp>, Bytes>>,
    ping: Option<Ping<H>>,
    resets: Resets,
    /// GOAWAY has been announced.
    leaving: bool,
    closed: Option<Reason>,
}

impl<H: Host> ServerConnection<H> {
    /// The connection.
    pub fn info(&self) -> &Arc<TunnelInfo> {
        &self.info
    }

    /// The next request; `None` when the connection is over, and [`ServerConnection::closed`] then says why. Can be
    /// dropped and called again without loss.
    pub async fn next(&mut self) -> Option<IncomingConnect> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<IncomingConnect>> {
        if self.closed.is_some() {
            return Poll::Ready(None);
        }
        if self.resets.exhausted() {
            self.graceful_shutdown();
        }
        let busy = self.connection.has_streams();
        let over = match self.connection.poll_accept(context) {
            Poll::Ready(Some(Ok((request, respond)))) => return Poll::Ready(Some(self.incoming(request, respond))),
            Poll::Ready(Some(Err(error))) => end_of_connection(Err(&error), busy),
            Poll::Ready(None) => Reason::Completed,
            Poll::Pending => {
                match &mut self.ping {
                    Some(ping) => ready!(ping.poll_dead(context)),
                    None => return Poll::Pending,
                }
                // The peer may be deaf only: tell it, as far as that goes without waiting.
                self.connection.abrupt_shutdown(h2::Reason::NO_ERROR);
                let _ = self.connection.poll_accept(context);
                Reason::PeerDead
            }
        };
        self.end(over);
        Poll::Ready(None)
    }

    fn incoming(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) -> IncomingConnect {
        let (head, body) = request.into_parts();
        let headers = ConnectHeaders::read(&head.headers);
        self.sink.record(Event::Tunnel(TunnelEvent::StreamOpened {
            at: self.host.now(),
            reporter: Reporter::Destination,
            local: self.info.local,
            peer: self.info.peer,
            trace: headers.traceparent.map(|traceparent| traceparent.trace).unwrap_or_default(),
        }));
        IncomingConnect {
            info: self.info.clone(),
            method: head.method,
            authority: head.uri.authority().map(|authority| authority.as_str().to_owned()),
            headers,
            answer: Some((respond, body)),
            resets: self.resets.clone(),
        }
    }

    /// Announces GOAWAY: streams under way continue, new ones are refused, [`ServerConnection::next`] gives `None`
    /// after the last has ended. Keep calling `next`.
    pub fn graceful_shutdown(&mut self) {
        if !self.leaving {
            self.leaving = true;
            self.connection.graceful_shutdown();
        }
    }

    /// Gives each request to `take` until the connection is over or the drain through: announces GOAWAY when a drain begins,
    /// and cuts the connection when everything is cut. `uprooted` is what the events say of a cut that no drain preceded.
    pub(crate) async fn serve(
        mut self: Box<Self>,
        watcher: &DrainWatcher,
        uprooted: Reason,
        mut take: impl FnMut(IncomingConnect),
    ) {
        let mut draining = std::pin::pin!(watcher.draining());
        let mut announced = false;
        loop {
            let next = if announced {
                match race(watcher.cut(), self.next()).await {
                    First::Left(_) => return self.close(Reason::Drained),
                    First::Right(next) => next,
                }
            } else {
                match race(draining.as_mut(), self.next()).await {
                    First::Left(Phase::Cut { .. }) => return self.close(uprooted),
                    First::Left(_) => {
                        announced = true;
                        self.graceful_shutdown();
                        continue;
                    }
                    First::Right(next) => next,
                }
            };
            let Some(incoming) = next else { return };
            take(incoming);
        }
    }

    /// Cuts the connection: its streams break. `reason` is what the events say.
    pub fn close(mut self, reason: Reason) {
        self.end(reason);
    }

    /// Why it is over; [`Reason::Completed`] when both sides closed in good order. Meaningless before
    /// [`ServerConnection::next`] has given `None`.
    pub fn closed(&self) -> Reason {
        self.closed.unwrap_or(Reason::Completed)
    }

    /// Once.
    fn end(&mut self, reason: Reason) {
        if self.closed.is_none() {
            self.closed = Some(reason);
            self.sink.record(Event::Tunnel(TunnelEvent::Closed {
                at: self.host.now(),
                reporter: Reporter::Destination,
                local: self.info.local,
                peer: self.info.peer,
                reason,
            }));
        }
    }
}

/// Its owner cut it without a word: the proxy is on its way out.
impl<H: Host> Drop for ServerConnection<H> {
    fn drop(&mut self) {
        self.end(Reason::Drained);
    }
}

/// A request on an HBONE connection, not yet answered. Dropping it resets the stream.
pub struct IncomingConnect {
    info: Arc<TunnelInfo>,
    method: Method,
    authority: Option<String>,
    headers: ConnectHeaders,
    /// Gone once answered.
    answer: Option<(SendResponse<Bytes>, RecvStream)>,
    resets: Resets,
}

impl IncomingConnect {
    /// Must be CONNECT; judge it.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The authority as the peer wrote it, if any.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// What the headers say.
    pub fn headers(&self) -> &ConnectHeaders {
        &self.headers
    }

    /// The connection: who the peer proved to be and the addresses.
    pub fn info(&self) -> &Arc<TunnelInfo> {
        &self.info
    }

    /// Answers 200, with `baggage` of the destination workload if given, and gives the bytes.
    ///
    /// # Errors
    /// [`HboneError::Reset`] if the stream is gone already.
    pub fn accept(mut self, baggage: Option<&Baggage>) -> Result<Tunnel, HboneError> {
        let gone = || HboneError::Reset("the stream ended before it was answered".to_owned());
        let (mut respond, body) = self.answer.take().ok_or_else(gone)?;
        let mut response = Response::new(());
        if let Some(baggage) = baggage.and_then(Baggage::to_header) {
            response.headers_mut().insert(BAGGAGE, baggage);
        }
        let send = respond.send_response(response, false).map_err(|_| gone())?;
        Ok(Tunnel::new(self.info.clone(), send, body, self.resets.clone(), None))
    }

    /// Answers `status`: headers only, END_STREAM, no baggage.
    pub fn refuse(mut self, status: StatusCode) {
        let Some((mut respond, _body)) = self.answer.take() else { return };
        self.resets.count();
        let mut response = Response::new(());
        *response.status_mut() = status;
        // Fails only when the peer has given up already.
        let _ = respond.send_response(response, true);
    }

    /// Completes when the peer gives up on the stream before it was answered.
    pub async fn cancelled(&mut self) {
        std::future::poll_fn(|context| match &mut self.answer {
            Some((respond, _)) => respond.poll_reset(context).map(drop),
            None => Poll::Ready(()),
        })
        .await
    }
}

impl Drop for IncomingConnect {
    fn drop(&mut self) {
        if self.answer.is_some() {
            self.resets.count();
        }
    }
}
