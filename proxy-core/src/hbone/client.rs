//! [`ClientConnection`]: one HBONE connection, client side, and the task that drives it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::StatusCode;
use parking_lot::Mutex;

use super::connect::BAGGAGE;
use super::http2::{Failure, Resets, Watched, end_of_connection};
use super::ping::Ping;
use super::pool::{Connected, PoolConfig, PoolKey};
use super::{Baggage, ConnectRequest, HboneError, Tunnel, TunnelInfo};
use crate::host::{Dial, Host, Instant, Stream, WallTime, timer};
use crate::identity::WorkloadCertificate;
use crate::telemetry::{Reason, Reporter, TunnelEvent};
use crate::tls::{self, TlsError, TlsStream};

/// One HBONE connection, as pool, tunnels and driver share it.
pub(super) struct ClientConnection {
    /// Unique in its pool.
    pub(super) id: u64,
    pub(super) info: Arc<TunnelInfo>,
    /// When the first of the two certificates it was made with is no longer valid: X.509 counts the last second in.
    expires: WallTime,
    /// Start of validity of our certificate: tells an older from a newer.
    certificate_start: WallTime,
    resets: Resets,
    failure: Failure,
    state: Mutex<State>,
}

struct State {
    /// Gone when it takes no new streams; HTTP/2 then ends with the last stream.
    send: Option<SendRequest<Bytes>>,
    streams: usize,
    last_used: Instant,
    /// Why it is over or is to be cut.
    closed: Option<Reason>,
    driver: Option<Waker>,
}

/// One of the streams a connection may have. Given back when dropped.
pub(super) struct StreamPlace(Arc<ClientConnection>);

impl StreamPlace {
    pub(super) fn connection_closed(&self) -> Option<Reason> {
        self.0.state.lock().closed
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.state.lock().streams -= 1;
    }
}

/// What a caller knows when it asks for a place.
pub(super) struct Asking<'a> {
    pub(super) now: Instant,
    pub(super) wall: WallTime,
    pub(super) certificate: &'a WorkloadCertificate,
    pub(super) streams_max: usize,
}

/// Whether a connection takes another stream.
pub(super) enum Reserved {
    Place(StreamPlace, SendRequest<Bytes>),
    Full,
    /// It takes none any more.
    Retired,
}

impl ClientConnection {
    /// Takes a place for one stream, or retires the connection if it can have no more: it failed, the peer announced
    /// GOAWAY, a certificate it was made with ended or was replaced, or we reset too many streams on it.
    pub(super) fn reserve(self: &Arc<Self>, asking: &Asking<'_>) -> Reserved {
        let mut state = self.state.lock();
        state.last_used = asking.now;
        let Some(send) = &mut state.send else { return Reserved::Retired };
        let outdated = self.certificate_start < asking.certificate.not_before || self.expires <= asking.wall;
        if outdated || self.resets.exhausted() || takes_none(send) {
            drop(state);
            self.retire();
            return Reserved::Retired;
        }
        // A peer that allows none is given one: it then waits for the peer, and for its timeout, like any other.
        let limit = asking.streams_max.min(send.current_max_send_streams()).max(1);
        let send = send.clone();
        if state.streams >= limit {
            return Reserved::Full;
        }
        state.streams += 1;
        drop(state);
        Reserved::Place(StreamPlace(self.clone()), send)
    }

    /// No new streams; closes with its last one.
    pub(super) fn retire(&self) {
        let mut state = self.state.lock();
        let (send, driver) = (state.send.take(), state.driver.take());
        drop(state);
        drop(send);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Cuts it.
    pub(super) fn close(&self, reason: Reason) {
        self.state.lock().closed.get_or_insert(reason);
        self.retire();
    }

    pub(super) fn streams(&self) -> usize {
        self.state.lock().streams
    }

    /// In use and with streams. A retired connection may end at its last stream before anyone has read that stream's end.
    fn is_busy(&self) -> bool {
        let state = self.state.lock();
        state.streams > 0 && state.send.is_some()
    }

    pub(super) fn last_used(&self) -> Instant {
        self.state.lock().last_used
    }

    /// Why it failed, if that is known to be final: the peer refused us, or we cut it.
    pub(super) fn failure(&self) -> Option<HboneError> {
        if let Some(failure) = self.failure.get() {
            return Some(HboneError::Tls(failure));
        }
        match self.state.lock().closed? {
            Reason::PeerDead => Some(HboneError::PeerDead),
            reason @ (Reason::WorkloadRemoved | Reason::Drained) => Some(HboneError::Closed(reason)),
            _ => None,
        }
    }

    /// What a failed stream means, given what became of its connection.
    fn explain(&self, error: &h2::Error) -> HboneError {
        self.failure().unwrap_or_else(|| {
            if error.is_io() || error.is_reset() {
                HboneError::Reset(error.to_string())
            } else {
                HboneError::Http2(error.to_string())
            }
        })
    }
}

/// The connection failed, or the peer announced GOAWAY.
fn takes_none(send: &mut SendRequest<Bytes>) -> bool {
    // Registers no waker unless a request of this very handle is pending, and handles we ask here never send one.
    matches!(send.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
}

/// Dials and shakes hands.
pub(super) async fn establish<H: Host>(
    host: &H,
    config: &PoolConfig,
    idle_max: &Arc<Mutex<Duration>>,
    id: u64,
    key: &PoolKey,
    certificate: &WorkloadCertificate,
) -> Result<(Arc<ClientConnection>, Box<Driver<H>>), HboneError> {
    let to = key.destination;
    let tcp = timer::timeout(host, config.connect_timeout, host.dial(Dial::to(to)))
        .await
        .map_err(|_| HboneError::ConnectTimeout { to, limit: config.connect_timeout })?
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::TimedOut => HboneError::ConnectTimeout { to, limit: config.connect_timeout },
            _ => HboneError::Connect { to, error: error.to_string() },
        })?;
    tcp.set_keepalive(config.keepalive);
    let (local, peer) = (tcp.local_addr(), tcp.peer_addr());
    let failure = Failure::default();
    let handshake = async {
        let secured = tls::connect(host, &config.tls, certificate, &key.expected, tcp).await?;
        let stream = Watched { stream: secured.stream, failure: failure.clone() };
        let (send, connection) =
            config.http2.client().handshake(stream).await.map_err(|error| HboneError::Http2(error.to_string()))?;
        Ok::<_, HboneError>((secured.peer, send, connection))
    };
    let (proven, send, mut connection) = timer::timeout(host, config.handshake_timeout, handshake)
        .await
        .map_err(|_| TlsError::Timeout(config.handshake_timeout))??;
    let info = TunnelInfo { local, peer, local_identity: key.source.clone(), peer_identity: proven.identity };
    let ping = connection.ping_pong().map(|ping_pong| Ping::new(host.clone(), ping_pong, &config.http2));
    let now = host.now();
    let shared = Arc::new(ClientConnection {
        id,
        info: Arc::new(info),
        expires: proven.not_after.min(certificate.not_after) + Duration::from_secs(1),
        certificate_start: certificate.not_before,
        resets: Resets::default(),
        failure,
        state: Mutex::new(State { send: Some(send), streams: 0, last_used: now, closed: None, driver: None }),
    });
    let idle = Box::pin(host.sleep(*idle_max.lock()));
    let driver =
        Driver { host: host.clone(), shared: shared.clone(), connection, ping, idle_max: idle_max.clone(), idle };
    Ok((shared, Box::new(driver)))
}

/// Moves the bytes of one connection, watches its peer, and retires it when it is idle or the peer says so.
pub(super) struct Driver<H: Host> {
    host: H,
    shared: Arc<ClientConnection>,
    connection: h2::client::Connection<Watched<TlsStream<H::Tcp>>, Bytes>,
    ping: Option<Ping<H>>,
    idle_max: Arc<Mutex<Duration>>,
    idle: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What a driver has to tell.
pub(super) enum Progress {
    /// It took itself out of use; `goaway` if the peer asked for that. Poll on.
    Retired { goaway: bool },
    /// It is over.
    Closed(Reason),
}

impl<H: Host> Driver<H> {
    pub(super) async fn progress(&mut self) -> Progress {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Progress> {
        loop {
            {
                let mut state = self.shared.state.lock();
                if let Some(reason) = state.closed {
                    return Poll::Ready(Progress::Closed(reason));
                }
                if !state.driver.as_ref().is_some_and(|driver| driver.will_wake(context.waker())) {
                    state.driver = Some(context.waker().clone());
                }
            }
            if let Poll::Ready(outcome) = Pin::new(&mut self.connection).poll(context) {
                let refused = self.shared.failure.get().is_some();
                let busy = self.shared.is_busy();
                let reason =
                    if refused { Reason::TlsFailed } else { end_of_connection(outcome.as_ref().copied(), busy) };
                return Poll::Ready(self.over(reason));
            }
            if let Some(ping) = &mut self.ping
                && ping.poll_dead(context).is_ready()
            {
                return Poll::Ready(self.over(Reason::PeerDead));
            }
            let goaway = self.shared.state.lock().send.as_mut().is_some_and(takes_none);
            if goaway {
                self.shared.retire();
                return Poll::Ready(Progress::Retired { goaway: true });
            }
            if self.shared.state.lock().send.is_none() || self.idle.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let unused_until = self.shared.last_used() + *self.idle_max.lock();
            if unused_until <= self.host.now() {
                self.shared.retire();
                return Poll::Ready(Progress::Retired { goaway: false });
            }
            self.idle = Box::pin(self.host.sleep_until(unused_until));
        }
    }

    /// Streams that fail because of this must find the reason.
    fn over(&self, reason: Reason) -> Progress {
        let mut state = self.shared.state.lock();
        let reason = *state.closed.get_or_insert(reason);
        let send = state.send.take();
        drop(state);
        drop(send);
        Progress::Closed(reason)
    }

    pub(super) fn opened(&self, local_workload: Arc<str>) -> TunnelEvent {
        let info = &self.shared.info;
        TunnelEvent::Opened {
            at: self.host.now(),
            reporter: Reporter::Source,
            local: info.local,
            peer: info.peer,
            local_identity: info.local_identity.clone(),
            peer_identity: info.peer_identity.clone(),
            local_workload: Some(local_workload),
        }
    }
}

/// Why a stream did not open.
pub(super) enum StreamFailure {
    /// The peer never looked at it: another connection may do.
    Untouched(HboneError),
    /// Final.
    Failed(HboneError),
}

/// Sends a CONNECT and waits for its answer.
pub(super) async fn open_stream<H: Host>(
    host: &H,
    config: &PoolConfig,
    place: StreamPlace,
    mut send: SendRequest<Bytes>,
    request: &ConnectRequest,
    sent: impl FnOnce(&TunnelInfo),
) -> Result<Connected, StreamFailure> {
    let connection = place.0.clone();
    let classify = |error: h2::Error| {
        let explained = connection.explain(&error);
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        let going_away = error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
        if refused || going_away { StreamFailure::Untouched(explained) } else { StreamFailure::Failed(explained) }
    };
    let http = request.to_http().map_err(StreamFailure::Failed)?;
    let (response, stream) = send.send_request(http, false).map_err(classify)?;
    drop(send);
    sent(&connection.info);
    let Ok(response) = timer::timeout(host, config.response_timeout, response).await else {
        connection.resets.count();
        return Err(StreamFailure::Failed(HboneError::ResponseTimeout(config.response_timeout)));
    };
    let response = response.map_err(classify)?;
    if response.status() != StatusCode::OK {
        connection.resets.count();
        return Err(StreamFailure::Failed(HboneError::Refused(response.status().as_u16())));
    }
    let baggage = response.headers().get(BAGGAGE).map(Baggage::from_header);
    let resets = connection.resets.clone();
    let tunnel = Tunnel::new(connection.info.clone(), stream, response.into_body(), resets, Some(place));
    Ok(Connected { tunnel, baggage })
}
