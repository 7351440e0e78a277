//! [`Clients`]: HTTP connections to endpoints, used again.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use http_body::Body as _;
use parking_lot::Mutex;

use super::connect::connect;
use super::failure::UpstreamFailure;
use super::target::{ClientKey, Target, Version};
use crate::hbone::TraceParent;
use crate::host::{Host, Instant};
use crate::identity::CertificateAuthority;
use crate::waypoint::http::body::{self, Body, BodyError};
use crate::waypoint::http::timed::Holding;
use crate::waypoint::http::{http1, http2};
use crate::waypoint::shared::Shared;

/// HTTP connections to endpoints. HTTP/1.1 carries one request at a time and is kept when that is over; HTTP/2 is
/// shared. Cheap to clone; clones are the same.
pub(crate) struct Clients<H> {
    inner: Arc<Inner<H>>,
}

impl<H> Clone for Clients<H> {
    fn clone(&self) -> Self {
        Clients { inner: self.inner.clone() }
    }
}

struct Inner<H> {
    host: H,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    /// A task looks for connections that idled too long.
    reaping: bool,
    entries: BTreeMap<ClientKey, Entry>,
}

#[derive(Default)]
struct Entry {
    /// Used last, last.
    idle: Vec<Idle>,
    shared: Vec<Multiplexed>,
    /// One HTTP/2 handshake at a time.
    connecting: Arc<tokio::sync::Mutex<()>>,
}

struct Idle {
    client: http1::Client,
    requests: u32,
    until: Instant,
}

#[derive(Clone)]
struct Multiplexed {
    client: http2::Client,
    active: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    idle_since: Arc<Mutex<Instant>>,
    idle_max: Duration,
}

/// Bounds of the connections of one backend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReuseLimits {
    /// 0 is any number.
    pub(crate) requests_max: u32,
    pub(crate) idle_max: Option<Duration>,
}

/// Connections of one key kept idle.
const IDLE_MAX: usize = 64;

impl<H: Host> Clients<H> {
    pub(crate) fn new(host: H) -> Self {
        Clients { inner: Arc::new(Inner { host, state: Mutex::default() }) }
    }

    /// Connections whose key is chosen are not used again.
    pub(crate) fn retire(&self, chosen: impl Fn(&ClientKey) -> bool) {
        let mut retired = Vec::new();
        let mut state = self.inner.state.lock();
        let keys: Vec<ClientKey> = state.entries.keys().filter(|key| chosen(key)).cloned().collect();
        for key in keys {
            retired.extend(state.entries.remove(&key));
        }
        drop(state);
        drop(retired);
    }

    /// Nothing is kept from now on.
    pub(crate) fn close(&self) {
        let entries = {
            let mut state = self.inner.state.lock();
            state.closed = true;
            std::mem::take(&mut state.entries)
        };
        drop(entries);
    }

    /// Sends a request to `target`, on a connection that is there or a new one. The answer when its head has come; its
    /// body gives the connection back.
    ///
    /// # Errors
    /// [`UpstreamFailure`].
    pub(crate) async fn send<C: CertificateAuthority>(
        &self,
        shared: &Shared<H, C>,
        target: &Target,
        version: Version,
        limits: ReuseLimits,
        trace: TraceParent,
        request: Request<Body>,
    ) -> Result<Response<Body>, UpstreamFailure> {
        let key = target.key(version);
        match version {
            Version::Http1 => self.send_http1(shared, target, &key, limits, trace, request).await,
            Version::Http2 => self.send_http2(shared, target, &key, limits, trace, request).await,
        }
    }

    async fn send_http1<C: CertificateAuthority>(
        &self,
        shared: &Shared<H, C>,
        target: &Target,
        key: &ClientKey,
        limits: ReuseLimits,
        trace: TraceParent,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, UpstreamFailure> {
        loop {
            let kept = self.take_idle(key);
            let reused = kept.is_some();
            let (mut client, requests) = match kept {
                Some(kept) => kept,
                None => {
                    let stream = connect(shared, target, &[b"http/1.1"], trace).await?;
                    let mut client = http1::Client::handshake(&self.inner.host, stream, || {})
                        .await
                        .map_err(|error| UpstreamFailure::http1(&error))?;
                    client.ready().await.map_err(|error| UpstreamFailure::http1(&error))?;
                    (client, 0)
                }
            };
            match client.send(request).await {
                Ok(response) => {
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                        return Ok(response.map(body::of_http1));
                    }
                    let requests = requests + 1;
                    let again = limits.requests_max == 0 || requests < limits.requests_max;
                    let home = again.then(|| (self.clone(), key.clone(), limits, requests, client));
                    return Ok(response.map(|incoming| Body::new(Returning { inner: body::of_http1(incoming), home })));
                }
                // It closed while it was idle, before a byte was sent: that says nothing of the endpoint.
                Err((_, Some(unsent))) if reused => request = unsent,
                Err((error, _)) => return Err(UpstreamFailure::http1(&error)),
            }
        }
    }

    fn take_idle(&self, key: &ClientKey) -> Option<(http1::Client, u32)> {
        let mut over = Vec::new();
        let mut state = self.inner.state.lock();
        let entry = state.entries.get_mut(key)?;
        let mut place = entry.idle.len();
        let mut found = None;
        while place > 0 && found.is_none() {
            place -= 1;
            if entry.idle[place].client.is_over() {
                over.push(entry.idle.remove(place));
            } else if entry.idle[place].client.is_ready() {
                let idle = entry.idle.remove(place);
                found = Some((idle.client, idle.requests));
            }
        }
        drop(state);
        drop(over);
        found
    }

    /// Keeps a connection whose answer has been read to its end.
    fn put_idle(&self, key: ClientKey, limits: ReuseLimits, requests: u32, client: http1::Client) {
        let until = limits.idle_max.map_or(Instant::FAR_FUTURE, |limit| self.inner.host.now() + limit);
        let mut dropped = Vec::new();
        {
            let mut state = self.inner.state.lock();
            if state.closed {
                dropped.push(Idle { client, requests, until });
            } else {
                let entry = state.entries.entry(key).or_default();
                entry.idle.push(Idle { client, requests, until });
                if entry.idle.len() > IDLE_MAX {
                    dropped.push(entry.idle.remove(0));
                }
            }
        }
        drop(dropped);
        self.reap_later();
    }

    async fn send_http2<C: CertificateAuthority>(
        &self,
        shared: &Shared<H, C>,
        target: &Target,
        key: &ClientKey,
        limits: ReuseLimits,
        trace: TraceParent,
        request: Request<Body>,
    ) -> Result<Response<Body>, UpstreamFailure> {
        let (client, active) = match self.take_shared(key, limits) {
            Some(found) => found,
            None => {
                let connecting = self.inner.state.lock().entries.entry(key.clone()).or_default().connecting.clone();
                let _alone = connecting.lock().await;
                match self.take_shared(key, limits) {
                    Some(found) => found,
                    None => self.open_shared(shared, target, key, limits, trace).await?,
                }
            }
        };
        let response =
            client.client.send(&self.inner.host, request).await.map_err(|error| UpstreamFailure::http2(&error))?;
        self.reap_later();
        Ok(response.map(|inner| {
            if inner.is_end_stream() {
                return inner;
            }
            Holding::until_dropped(inner, active)
        }))
    }

    async fn open_shared<C: CertificateAuthority>(
        &self,
        shared: &Shared<H, C>,
        target: &Target,
        key: &ClientKey,
        limits: ReuseLimits,
        trace: TraceParent,
    ) -> Result<(Multiplexed, Active), UpstreamFailure> {
        let stream = connect(shared, target, &[b"h2"], trace).await?;
        let client = http2::Client::handshake(&self.inner.host, stream, &shared.config.http2_upstream, || {})
            .await
            .map_err(|error| UpstreamFailure::http2(&error))?;
        let connection = Multiplexed {
            client,
            active: Arc::default(),
            requests: Arc::default(),
            idle_since: Arc::new(Mutex::new(self.inner.host.now())),
            idle_max: limits.idle_max.unwrap_or(Duration::MAX),
        };
        let active = self.enter(&connection);
        let mut state = self.inner.state.lock();
        if !state.closed {
            state.entries.entry(key.clone()).or_default().shared.push(connection.clone());
        }
        Ok((connection, active))
    }

    fn take_shared(&self, key: &ClientKey, limits: ReuseLimits) -> Option<(Multiplexed, Active)> {
        let mut state = self.inner.state.lock();
        let entry = state.entries.get_mut(key)?;
        let worn = |one: &Multiplexed| {
            limits.requests_max != 0 && one.requests.load(Ordering::Relaxed) >= limits.requests_max as usize
        };
        let mut over = Vec::new();
        let mut place = 0;
        while place < entry.shared.len() {
            if entry.shared[place].client.is_over() || worn(&entry.shared[place]) {
                over.push(entry.shared.remove(place));
            } else {
                place += 1;
            }
        }
        let free =
            |one: &&Multiplexed| one.active.load(Ordering::Relaxed) < one.client.streams_max().clamp(1, STREAMS_MAX);
        let found = entry.shared.iter().find(free).cloned();
        drop(state);
        drop(over);
        found.map(|connection| {
            let active = self.enter(&connection);
            (connection, active)
        })
    }

    fn enter(&self, connection: &Multiplexed) -> Active {
        connection.active.fetch_add(1, Ordering::Relaxed);
        connection.requests.fetch_add(1, Ordering::Relaxed);
        let host = self.inner.host.clone();
        let (active, idle_since) = (connection.active.clone(), connection.idle_since.clone());
        Active(Some(Box::new(move || {
            active.fetch_sub(1, Ordering::Relaxed);
            *idle_since.lock() = host.now();
        })))
    }

    /// Sees to it that connections that idle too long are closed. No timer runs while there are none.
    fn reap_later(&self) {
        {
            let mut state = self.inner.state.lock();
            if state.reaping || state.closed {
                return;
            }
            state.reaping = true;
        }
        let inner = Arc::downgrade(&self.inner);
        let host = self.inner.host.clone();
        self.inner.host.spawn("idle upstream connections", async move {
            loop {
                let next = match inner.upgrade() {
                    Some(inner) => inner.reap(),
                    None => return,
                };
                match next {
                    Some(next) => host.sleep_until(next).await,
                    None => return,
                }
            }
        });
    }
}

/// Streams we open at most in one HTTP/2 connection, whatever the peer allows.
const STREAMS_MAX: usize = 100;

impl<H: Host> Inner<H> {
    /// Closes what has idled too long; says when to look again, if there is anything left to look at.
    fn reap(&self) -> Option<Instant> {
        let now = self.host.now();
        let mut next = None;
        let mut reaped = (Vec::new(), Vec::new());
        let mut state = self.state.lock();
        let mut soonest = |until: Instant| next = Some(next.map_or(until, |next: Instant| next.min(until)));
        for entry in state.entries.values_mut() {
            let mut place = 0;
            while place < entry.idle.len() {
                if entry.idle[place].until <= now || entry.idle[place].client.is_over() {
                    reaped.0.push(entry.idle.remove(place));
                } else {
                    soonest(entry.idle[place].until);
                    place += 1;
                }
            }
            place = 0;
            while place < entry.shared.len() {
                let one = &mut entry.shared[place];
                let busy = one.active.load(Ordering::Relaxed) > 0;
                let until = if busy { now + one.idle_max } else { *one.idle_since.lock() + one.idle_max };
                if one.client.is_over() || until <= now {
                    reaped.1.push(entry.shared.remove(place));
                } else {
                    soonest(until);
                    place += 1;
                }
            }
        }
        state.entries.retain(|_, entry| {
            !entry.idle.is_empty() || !entry.shared.is_empty() || Arc::strong_count(&entry.connecting) > 1
        });
        if next.is_none() || next == Some(Instant::FAR_FUTURE) {
            state.reaping = false;
            next = None;
        }
        drop(state);
        drop(reaped);
        next
    }
}

/// A place in an HTTP/2 connection, given back when dropped.
struct Active(Option<Box<dyn FnOnce() + Send>>);

impl Drop for Active {
    fn drop(&mut self) {
        if let Some(leave) = self.0.take() {
            leave();
        }
    }
}

type Home<H> = (Clients<H>, ClientKey, ReuseLimits, u32, http1::Client);

/// An answer's body over HTTP/1.1: gives the connection back at its end, and closes it if dropped before.
struct Returning<H: Host> {
    inner: Body,
    home: Option<Home<H>>,
}

impl<H: Host> Returning<H> {
    fn give_back(&mut self) {
        if let Some((clients, key, limits, requests, client)) = self.home.take()
            && !client.is_over()
        {
            clients.put_idle(key, limits, requests, client);
        }
    }
}

impl<H: Host> http_body::Body for Returning<H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Ready(None) => self.give_back(),
            Poll::Ready(Some(Ok(_))) if self.inner.is_end_stream() => self.give_back(),
            Poll::Ready(Some(Err(_))) => self.home = None,
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// A body that has ended before it was read (an answer without one) is never polled.
impl<H: Host> Drop for Returning<H> {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.give_back();
        }
    }
}
