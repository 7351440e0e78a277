//! [`Shared`]: what every task of a waypoint has at hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::config::WaypointConfig;
use super::lately::Lately;
use super::upstream::backends::Backends;
use super::upstream::clients::Clients;
use crate::dns::Resolver;
use crate::hbone::{Acceptor, Pool, TraceParent};
use crate::host::{Host, Rng};
use crate::identity::CertificateAuthority;
use crate::identity::store::CertificateStore;
use crate::net::drain::DrainTrigger;
use crate::route::WaypointSettings;
use crate::state::{Snapshot, StateHandle, Workload};
use crate::telemetry::{ConnectionId, Sink};

/// What every task of a waypoint has at hand.
pub(super) struct Shared<H: Host, C> {
    pub(super) host: H,
    pub(super) config: WaypointConfig,
    pub(super) state: StateHandle,
    pub(super) lately: Mutex<Lately>,
    pub(super) certificates: CertificateStore<H, C>,
    pub(super) sink: Arc<dyn Sink>,
    /// Draws of decisions: endpoints, weights, shares, backoff.
    pub(super) rng: Mutex<Rng>,
    /// Draws of names: request ids and spans. Apart, so that they never shift a decision.
    pub(super) names: Mutex<Rng>,
    pub(super) pool: Pool<H>,
    pub(super) acceptor: Acceptor<H>,
    pub(super) clients: Clients<H>,
    pub(super) backends: Backends,
    pub(super) resolver: Resolver<H>,
    pub(super) drain: DrainTrigger,
    next_connection: AtomicU64,
}

impl<H: Host, C: CertificateAuthority> Shared<H, C> {
    pub(super) fn new(host: H, config: WaypointConfig, authority: C, sink: Arc<dyn Sink>, drain: DrainTrigger) -> Self {
        let certificates = CertificateStore::new(host.clone(), authority, config.certificates.clone(), sink.clone());
        Shared {
            state: StateHandle::new(),
            lately: Mutex::default(),
            rng: Mutex::new(host.rng("waypoint")),
            names: Mutex::new(host.rng("waypoint names")),
            pool: Pool::new(host.clone(), config.pool.clone(), sink.clone()),
            acceptor: Acceptor::new(host.clone(), config.acceptor.clone(), sink.clone()),
            clients: Clients::new(host.clone()),
            backends: Backends::default(),
            resolver: Resolver::new(host.clone(), &config.resolvers),
            certificates,
            sink,
            drain,
            host,
            config,
            next_connection: AtomicU64::new(1),
        }
    }

    pub(super) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn new_trace(&self) -> TraceParent {
        TraceParent::random(&mut self.names.lock())
    }

    /// The pod it runs in, if the control plane has told of it.
    pub(super) fn own_workload(&self, snapshot: &Snapshot) -> Option<Arc<Workload>> {
        snapshot.local_workload(&self.config.workload).cloned()
    }

    /// What holds for everything it does; `None` until the control plane has said so.
    pub(super) fn settings(&self, snapshot: &Snapshot) -> Option<Arc<WaypointSettings>> {
        snapshot.waypoint_settings(&self.config.gateway).cloned()
    }
}
