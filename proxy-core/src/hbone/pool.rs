//! [`Pool`]: reuse of HBONE connections, keyed by who speaks to whom.

mod attempt;
mod config;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::client::{self, Asking, ClientConnection, Progress, Reserved, StreamFailure, StreamPlace};
use super::{ConnectRequest, HboneError, TunnelInfo};
use crate::host::Host;
use crate::identity::WorkloadCertificate;
use crate::telemetry::{Event, Reason, Reporter, Sink, TunnelEvent};
use crate::tls::TlsError;

use attempt::{Attempt, AttemptGuard, unless_ended};
pub use config::{Connected, PoolConfig, PoolKey, PoolStats};

/// The client side of HBONE for one pod. Cheap to clone; clones are the same pool. Costs no task while it has no
/// connection. When the last clone is gone it drains: streams that are open go on.
pub struct Pool<H: Host> {
    handle: Arc<Handle<H>>,
}

impl<H: Host> Clone for Pool<H> {
    fn clone(&self) -> Self {
        Pool { handle: self.handle.clone() }
    }
}

/// Drivers hold the inside, callers hold this.
struct Handle<H: Host>(Arc<Inner<H>>);

impl<H: Host> Drop for Handle<H> {
    fn drop(&mut self) {
        self.0.end(Phase::Draining);
    }
}

struct Inner<H> {
    host: H,
    config: PoolConfig,
    sink: Arc<dyn Sink>,
    /// Drivers look at it when they wake.
    idle_max: Arc<Mutex<Duration>>,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    next_id: u64,
    /// Connections that may take streams, oldest first, and the one being made. No entry is empty.
    entries: BTreeMap<PoolKey, Entry>,
    /// Every connection with a driver, retired ones too.
    live: BTreeMap<u64, Arc<ClientConnection>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Draining,
    Closed(Reason),
}

#[derive(Default)]
struct Entry {
    pooled: Vec<Arc<ClientConnection>>,
    attempt: Option<Arc<Attempt>>,
}

/// Where a caller stands.
enum Next {
    Use(StreamPlace, h2::client::SendRequest<bytes::Bytes>),
    Wait(Arc<Attempt>),
}

/// How often a stream is moved to another connection because the peer never looked at it.
const MOVES_MAX: usize = 3;

impl<H: Host> Pool<H> {
    /// An empty pool. `host` is this process in the pod's namespace.
    pub fn new(host: H, config: PoolConfig, sink: Arc<dyn Sink>) -> Self {
        let state = State { phase: Phase::Open, next_id: 0, entries: BTreeMap::new(), live: BTreeMap::new() };
        let idle_max = Arc::new(Mutex::new(config.idle_max));
        Pool { handle: Arc::new(Handle(Arc::new(Inner { host, config, sink, idle_max, state: Mutex::new(state) }))) }
    }

    /// Replaces [`PoolConfig::idle_max`]. Connections that are open follow when their time by the old one is up.
    pub fn set_idle_max(&self, idle_max: Duration) {
        *self.handle.0.idle_max.lock() = idle_max;
    }

    /// Opens a stream to the key's destination, on a pooled connection if there is one, else on a new one. A burst of
    /// callers opens one connection; the rest wait for it and share its failure.
    ///
    /// # Errors
    /// [`HboneError`]; each stage is bounded by a timeout of the configuration.
    pub async fn connect(
        &self,
        key: PoolKey,
        certificate: Arc<WorkloadCertificate>,
        request: ConnectRequest,
    ) -> Result<Connected, HboneError> {
        let inner = &self.handle.0;
        if certificate.not_after <= inner.host.wall_time() {
            return Err(TlsError::Local(format!("the certificate of {} has expired", certificate.identity)).into());
        }
        let mut moves = 0;
        loop {
            let (place, send) = match inner.next(&key, &certificate)? {
                Next::Use(place, send) => (place, send),
                Next::Wait(attempt) => {
                    let connection = attempt.wait().await?;
                    match connection.reserve(&inner.asking(&certificate)) {
                        Reserved::Place(place, send) => (place, send),
                        // Others were faster: wait for the next connection.
                        Reserved::Full => continue,
                        Reserved::Retired => match connection.failure() {
                            None if moves < MOVES_MAX => {
                                moves += 1;
                                continue;
                            }
                            failure => {
                                return Err(failure.unwrap_or_else(|| {
                                    HboneError::Reset("connections end before they can be used".to_owned())
                                }));
                            }
                        },
                    }
                }
            };
            let trace = request.traceparent.trace;
            let sent = |info: &TunnelInfo| {
                inner.record(TunnelEvent::StreamOpened {
                    at: inner.host.now(),
                    reporter: Reporter::Source,
                    local: info.local,
                    peer: info.peer,
                    trace,
                });
            };
            match client::open_stream(&inner.host, &inner.config, place, send, &request, sent).await {
                Ok(connected) => return Ok(connected),
                Err(StreamFailure::Untouched(_)) if moves < MOVES_MAX => moves += 1,
                Err(StreamFailure::Untouched(error) | StreamFailure::Failed(error)) => return Err(error),
            }
        }
    }

    /// No new streams from now on; connections close with their last stream.
    pub fn drain(&self) {
        self.handle.0.end(Phase::Draining);
    }

    /// Connections whose key is chosen, those being made included, take no new streams from now on and close with their last
    /// one. Callers who wait for one being made get another.
    pub fn retire(&self, chosen: impl Fn(&PoolKey) -> bool) {
        let mut retired = Vec::new();
        {
            let mut state = self.handle.0.state.lock();
            state.entries.retain(|key, entry| {
                if chosen(key) {
                    retired.append(&mut entry.pooled);
                    if let Some(attempt) = entry.attempt.take() {
                        attempt.retire();
                    }
                }
                !entry.pooled.is_empty() || entry.attempt.is_some()
            });
        }
        for connection in retired {
            connection.retire();
        }
    }

    /// Cuts every connection at once; streams break. `reason` is what the events say.
    pub fn close(&self, reason: Reason) {
        self.handle.0.end(Phase::Closed(reason));
    }

    /// What it holds now.
    pub fn stats(&self) -> PoolStats {
        let state = self.handle.0.state.lock();
        PoolStats {
            connections: state.live.len(),
            pooled: state.entries.values().map(|entry| entry.pooled.len()).sum(),
            streams: state.live.values().map(|connection| connection.streams()).sum(),
            connecting: state.entries.values().filter(|entry| entry.attempt.is_some()).count(),
        }
    }
}

impl<H: Host> Inner<H> {
    fn record(&self, event: TunnelEvent) {
        self.sink.record(Event::Tunnel(event));
    }

    fn asking<'a>(&self, certificate: &'a WorkloadCertificate) -> Asking<'a> {
        let streams_max = self.config.streams_max.max(1);
        Asking { now: self.host.now(), wall: self.host.wall_time(), certificate, streams_max }
    }

    /// A place on a pooled connection, or the attempt to wait for, which is begun if there is none.
    fn next(self: &Arc<Self>, key: &PoolKey, certificate: &Arc<WorkloadCertificate>) -> Result<Next, HboneError> {
        let asking = self.asking(certificate);
        let mut state = self.state.lock();
        match state.phase {
            Phase::Open => {}
            Phase::Draining => return Err(HboneError::Draining),
            Phase::Closed(reason) => return Err(HboneError::Closed(reason)),
        }
        let id = state.next_id;
        let entry = state.entries.entry(key.clone()).or_default();
        let mut found = None;
        entry.pooled.retain(|connection| {
            // One place is enough; the rest are looked at when their turn comes.
            if found.is_some() {
                return true;
            }
            match connection.reserve(&asking) {
                Reserved::Place(place, send) => found = Some((place, send)),
                Reserved::Full => {}
                Reserved::Retired => return false,
            }
            true
        });
        if let Some((place, send)) = found {
            return Ok(Next::Use(place, send));
        }
        if let Some(attempt) = &entry.attempt {
            return Ok(Next::Wait(attempt.clone()));
        }
        let attempt = Arc::new(Attempt::default());
        entry.attempt = Some(attempt.clone());
        state.next_id += 1;
        drop(state);
        let (inner, key, certificate) = (self.clone(), key.clone(), certificate.clone());
        let guard = AttemptGuard(attempt.clone());
        self.host.spawn("hbone tunnel", async move { inner.run(id, key, certificate, guard).await });
        Ok(Next::Wait(attempt))
    }

    /// The life of one connection.
    async fn run(self: Arc<Self>, id: u64, key: PoolKey, certificate: Arc<WorkloadCertificate>, guard: AttemptGuard) {
        let attempt = guard.0.clone();
        // Boxed: the task lives as long as the connection, and its handshake is large and short.
        let establishing =
            Box::pin(client::establish(&self.host, &self.config, &self.idle_max, id, &key, &certificate));
        let established = unless_ended(&attempt, establishing).await;
        drop(certificate);
        let (connection, mut driver) = match established {
            Some(Ok(established)) => established,
            Some(Err(error)) => return self.abandon(&key, &attempt, error),
            None => return,
        };
        self.record(driver.opened(key.source_workload.clone()));
        match self.admit(&key, &attempt, &connection) {
            Phase::Open => {}
            Phase::Draining => connection.retire(),
            Phase::Closed(reason) => connection.close(reason),
        }
        drop(guard);
        let info = connection.info.clone();
        loop {
            match driver.progress().await {
                Progress::Retired { goaway } => {
                    self.unpool(&key, id);
                    if goaway {
                        self.record(TunnelEvent::GoAway { at: self.host.now(), local: info.local, peer: info.peer });
                    }
                }
                Progress::Closed(reason) => {
                    self.unpool(&key, id);
                    self.state.lock().live.remove(&id);
                    drop(driver);
                    return self.record(TunnelEvent::Closed {
                        at: self.host.now(),
                        reporter: Reporter::Source,
                        local: info.local,
                        peer: info.peer,
                        reason,
                    });
                }
            }
        }
    }

    /// The attempt failed: everybody who waited is told, and the next caller tries again.
    fn abandon(&self, key: &PoolKey, attempt: &Arc<Attempt>, error: HboneError) {
        {
            let mut state = self.state.lock();
            forget_attempt(&mut state, key, attempt);
        }
        attempt.end(Err(error));
    }

    /// Puts a new connection into the pool, unless the pool has ended meanwhile.
    fn admit(&self, key: &PoolKey, attempt: &Arc<Attempt>, connection: &Arc<ClientConnection>) -> Phase {
        let mut state = self.state.lock();
        state.live.insert(connection.id, connection.clone());
        if state.phase != Phase::Open {
            return state.phase;
        }
        if attempt.is_retired() {
            drop(state);
            attempt.end(Ok(connection.clone()));
            return Phase::Draining;
        }
        let entry = state.entries.entry(key.clone()).or_default();
        entry.pooled.push(connection.clone());
        forget_attempt(&mut state, key, attempt);
        let evicted = self.over_limit(&mut state);
        drop(state);
        if let Some(evicted) = evicted {
            evicted.retire();
        }
        attempt.end(Ok(connection.clone()));
        Phase::Open
    }

    /// Takes the least recently used connection out of a pool that holds too many.
    fn over_limit(&self, state: &mut State) -> Option<Arc<ClientConnection>> {
        let pooled = || state.entries.iter().flat_map(|(key, entry)| entry.pooled.iter().map(move |one| (key, one)));
        if pooled().count() <= self.config.connections_max.max(1) {
            return None;
        }
        let (key, oldest) = pooled().min_by_key(|(_, connection)| (connection.last_used(), connection.id))?;
        let (key, oldest) = (key.clone(), oldest.clone());
        remove_pooled(state, &key, oldest.id);
        Some(oldest)
    }

    fn unpool(&self, key: &PoolKey, id: u64) {
        remove_pooled(&mut self.state.lock(), key, id);
    }

    /// Leaves the open phase. Closing may follow draining; nothing else changes an end.
    fn end(&self, phase: Phase) {
        let mut state = self.state.lock();
        match (state.phase, phase) {
            (Phase::Open, _) | (Phase::Draining, Phase::Closed(_)) => state.phase = phase,
            _ => return,
        }
        let entries = std::mem::take(&mut state.entries);
        let live: Vec<_> = state.live.values().cloned().collect();
        drop(state);
        for attempt in entries.into_values().filter_map(|entry| entry.attempt) {
            attempt.end(Err(match phase {
                Phase::Closed(reason) => HboneError::Closed(reason),
                Phase::Open | Phase::Draining => HboneError::Draining,
            }));
        }
        for connection in live {
            match phase {
                Phase::Closed(reason) => connection.close(reason),
                Phase::Open | Phase::Draining => connection.retire(),
            }
        }
    }
}

fn forget_attempt(state: &mut State, key: &PoolKey, attempt: &Arc<Attempt>) {
    if let Some(entry) = state.entries.get_mut(key)
        && entry.attempt.as_ref().is_some_and(|current| Arc::ptr_eq(current, attempt))
    {
        entry.attempt = None;
    }
    remove_if_empty(state, key);
}

fn remove_pooled(state: &mut State, key: &PoolKey, id: u64) {
    if let Some(entry) = state.entries.get_mut(key) {
        entry.pooled.retain(|connection| connection.id != id);
    }
    remove_if_empty(state, key);
}

fn remove_if_empty(state: &mut State, key: &PoolKey) {
    if state.entries.get(key).is_some_and(|entry| entry.pooled.is_empty() && entry.attempt.is_none()) {
        state.entries.remove(key);
    }
}
