//! [`Instance`]: the proxy of one pod: its listeners, its outbound tunnels, its live connections.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::config::{Listen, ZtunnelConfig};
use super::connections::{Change, Connections};
use super::error::Failure;
use super::{HBONE_PORT, INBOUND_PORT, OUTBOUND_PORT, inbound, listener, outbound, passthrough};
use crate::dns::{DnsProxy, Resolver};
use crate::hbone::{Acceptor, Pool};
use crate::host::{Host, Instant, Rng, timer};
use crate::identity::CertificateAuthority;
use crate::identity::store::CertificateStore;
use crate::net::drain::{self, DrainTrigger};
use crate::state::{LocalWorkload, Snapshot, StateHandle, Workload};
use crate::telemetry::{ConnectionId, Event, Reason, Reporter, Sink, TraceId};

/// The pod an instance serves, as the node agent names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadInfo {
    /// The pod's uid: the agent's key.
    pub uid: Arc<str>,
    /// Pod name.
    pub name: Arc<str>,
    /// Kubernetes namespace.
    pub namespace: Arc<str>,
    /// Kubernetes service account.
    pub service_account: Arc<str>,
}

/// What all instances of a node proxy share.
pub(super) struct Shared<H, C> {
    /// The proxy's process in its own namespace.
    pub(super) host: H,
    pub(super) config: ZtunnelConfig,
    pub(super) state: StateHandle,
    pub(super) certificates: CertificateStore<H, C>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) rng: Mutex<Rng>,
    /// Finds addresses of endpoints that are known by name, from the proxy's own namespace.
    pub(super) resolver: Resolver<H>,
    next_connection: AtomicU64,
}

impl<H: Host, C: CertificateAuthority> Shared<H, C> {
    pub(super) fn new(host: H, config: ZtunnelConfig, authority: C, sink: Arc<dyn Sink>) -> Self {
        let certificates = CertificateStore::new(host.clone(), authority, config.certificates.clone(), sink.clone());
        let rng = Mutex::new(host.rng("ztunnel"));
        let state = StateHandle::new();
        let upstream = config.dns.as_ref().map_or(&[][..], |dns| &dns.upstream);
        let resolver = Resolver::new(host.clone(), upstream);
        Shared { host, config, state, certificates, sink, rng, resolver, next_connection: AtomicU64::new(1) }
    }

    pub(super) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }
}

/// The proxy of one pod.
pub(super) struct Instance<H: Host, C> {
    pub(super) shared: Arc<Shared<H, C>>,
    pub(super) info: WorkloadInfo,
    pub(super) local: LocalWorkload,
    /// The proxy's process in the pod's namespace.
    pub(super) host: H,
    pub(super) pool: Pool<H>,
    pub(super) acceptor: Acceptor<H>,
    pub(super) connections: Connections,
    pub(super) drain: DrainTrigger,
}

impl<H: Host, C: CertificateAuthority> Instance<H, C> {
    /// Binds the pod's listeners and starts serving as soon as configuration is in sync.
    ///
    /// # Errors
    /// When a listener cannot be bound; nothing is left behind.
    pub(super) fn start(shared: Arc<Shared<H, C>>, info: WorkloadInfo, host: H) -> io::Result<Arc<Self>> {
        let wildcard = |port| {
            if shared.config.ipv6 {
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
            } else {
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
            }
        };
        let Listen { outbound, plaintext, hbone } = shared.config.listen;
        let outbound = host.listen(outbound.unwrap_or_else(|| wildcard(OUTBOUND_PORT)))?;
        let plaintext = host.listen(plaintext.unwrap_or_else(|| wildcard(INBOUND_PORT)))?;
        let hbone = host.listen(hbone.unwrap_or_else(|| wildcard(HBONE_PORT)))?;
        let (trigger, watcher) = drain::channel();
        let instance = Arc::new(Instance {
            local: LocalWorkload {
                name: info.name.clone(),
                namespace: info.namespace.clone(),
                service_account: info.service_account.clone(),
                node: shared.config.node.clone(),
            },
            pool: Pool::new(host.clone(), shared.config.pool.clone(), shared.sink.clone()),
            acceptor: Acceptor::new(host.clone(), shared.config.acceptor.clone(), shared.sink.clone()),
            connections: Connections::default(),
            drain: trigger,
            shared,
            info,
            host,
        });
        let host = &instance.host;
        if let Some(dns) = &instance.config().dns {
            let (state, local) = (instance.shared.state.clone(), instance.local.clone());
            let sink = instance.shared.sink.clone();
            DnsProxy::start(host.clone(), dns.clone(), state, local, sink, &watcher)?;
        }
        host.spawn(
            "outbound listener",
            listener::serve(
                instance.clone(),
                outbound,
                watcher.clone(),
                listener::Service {
                    reporter: Reporter::Source,
                    task: "outbound connection",
                    handle: |instance, accepted, watcher| outbound::serve(instance, accepted, watcher),
                },
            ),
        );
        host.spawn(
            "plaintext listener",
            listener::serve(
                instance.clone(),
                plaintext,
                watcher.clone(),
                listener::Service {
                    reporter: Reporter::Destination,
                    task: "plaintext connection",
                    handle: |instance, accepted, watcher| passthrough::serve(instance, accepted, watcher),
                },
            ),
        );
        host.spawn(
            "hbone listener",
            listener::serve(
                instance.clone(),
                hbone,
                watcher,
                listener::Service {
                    reporter: Reporter::Destination,
                    task: "hbone connection",
                    handle: |instance, accepted, watcher| inbound::serve(instance, accepted, watcher),
                },
            ),
        );
        Ok(instance)
    }

    pub(super) fn config(&self) -> &ZtunnelConfig {
        &self.shared.config
    }

    /// The latest snapshot and our workload in it, waiting for it to become known for as long as configured.
    pub(super) async fn local_workload(&self) -> Option<(Arc<Snapshot>, Arc<Workload>)> {
        if let Some(known) = self.local_workload_now() {
            return Some(known);
        }
        let wait = self.shared.state.wait_for_workload(&self.local);
        match timer::timeout(&self.host, self.config().workload_wait, wait).await {
            // It may have gone again between the wake-up and this look; then it is unknown.
            Ok(_) => self.local_workload_now(),
            Err(timer::Elapsed) => None,
        }
    }

    /// The latest snapshot and our workload in it.
    pub(super) fn local_workload_now(&self) -> Option<(Arc<Snapshot>, Arc<Workload>)> {
        let snapshot = self.shared.state.snapshot();
        let workload = snapshot.local_workload(&self.local)?.clone();
        Some((snapshot, workload))
    }

    /// Judges live connections again after an update.
    pub(super) fn recheck(&self, before: &Snapshot, policies_changed: bool) {
        let snapshot = self.shared.state.snapshot();
        let workload = snapshot.local_workload(&self.local);
        let workload_changed = before.local_workload(&self.local) != workload;
        if policies_changed || workload_changed {
            let change = Change { policies: policies_changed, workload: workload_changed };
            self.connections.recheck(&snapshot, workload, change, self.host.now());
        }
    }

    /// Ends everything at once. `reason` is what the connections' events say.
    pub(super) fn cut(&self, reason: Reason, text: &str) {
        self.connections.close(&Failure::new(reason, text));
        self.pool.close(reason);
        self.drain.cut();
    }

    /// Takes nothing new from now on; what exists goes on.
    pub(super) fn start_drain(&self, deadline: Instant) {
        self.drain.start(deadline);
    }

    /// Waits for what exists to end, until the deadline; cuts the rest. Returns whether anything was cut.
    pub(super) async fn finish_drain(&self, deadline: Instant) -> bool {
        let left = deadline - self.host.now();
        let cut = left == Duration::ZERO || timer::timeout(&self.host, left, self.drain.finished()).await.is_err();
        self.cut(Reason::Drained, "connection closed due to connection drain");
        if cut {
            self.drain.finished().await;
        }
        cut
    }

    /// Tells of a connection that ended before there was a record of it.
    pub(super) fn tell_refused(&self, refused: Refused, failure: Failure) {
        self.shared.sink.record(Event::Refused {
            at: self.host.now(),
            reporter: refused.reporter,
            source: refused.source,
            destination: refused.destination,
            trace: refused.trace,
            local_workload: refused.workload,
            reason: failure.reason,
            error: failure.text,
        });
    }
}

/// What is known of a connection that was refused early.
#[derive(Clone)]
pub(super) struct Refused {
    pub(super) reporter: Reporter,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) trace: Option<TraceId>,
    pub(super) workload: Option<Arc<Workload>>,
}
