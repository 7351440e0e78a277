//! The layer-4 node proxy.
//!
//! - [`Ztunnel`]: one proxy a node; one instance of it in each enrolled pod's namespace.
//! - [`plan`] and [`admit`]: what is decided, as pure functions.
//! - `outbound` (15001), `passthrough` (15006), `inbound` and `stream` (15008): the shells that act on decisions.
//! - `connections` and `record`: live connections, judged again when what they were judged by changes.
//! - `entry`: SOCKS5 and forwarding listeners, where nothing is captured.
//! - `follow`: what each push of configuration leads to.

pub mod admit;
mod application;
mod authority;
mod config;
mod connections;
mod entry;
mod error;
mod follow;
mod inbound;
mod instance;
mod judge;
mod labels;
mod listener;
mod outbound;
mod passthrough;
pub mod plan;
mod proxy_header;
mod record;
mod stream;
mod transport;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

pub use authority::Authority;
pub use config::{Listen, ZtunnelConfig};
pub use connections::LiveConnection;
pub use entry::{Entry, SOCKS5_PORT};
pub use instance::WorkloadInfo;

use crate::hbone::PoolStats;
use crate::host::{Host, Instant};
use crate::identity::CertificateAuthority;
use crate::identity::store::CertificateStore;
use crate::net::drain::{self, DrainTrigger, Phase};
use crate::state::{ConfigSource, StateHandle};
use crate::telemetry::{Reason, Sink};
use instance::{Instance, Shared};

/// Where captured outbound connections arrive.
pub const OUTBOUND_PORT: u16 = 15001;
/// Where captured inbound connections arrive that are not HBONE.
pub const INBOUND_PORT: u16 = 15006;
/// Where a workload's node proxy takes HBONE.
pub const HBONE_PORT: u16 = 15008;
/// Ports of the proxy itself inside a pod: nothing may be carried to them.
pub const ILLEGAL_PORTS: [u16; 3] = [OUTBOUND_PORT, INBOUND_PORT, HBONE_PORT];

/// The proxy of one node. Cheap to clone; clones are the same proxy.
///
/// Idle, it runs three tasks for each pod, with DNS two more for each address family, and one that follows the control plane,
/// and no timer.
pub struct Ztunnel<H: Host, C> {
    instances: Arc<Instances<H, C>>,
}

impl<H: Host, C> Clone for Ztunnel<H, C> {
    fn clone(&self) -> Self {
        Ztunnel { instances: self.instances.clone() }
    }
}

type ByUid<H, C> = BTreeMap<Arc<str>, Arc<Instance<H, C>>>;

/// The instances of a proxy.
struct Instances<H: Host, C> {
    shared: Arc<Shared<H, C>>,
    by_uid: Mutex<ByUid<H, C>>,
    /// Of the proxy itself; each instance has its own.
    drain: DrainTrigger,
}

impl<H: Host, C> Instances<H, C> {
    fn all(&self) -> Vec<Arc<Instance<H, C>>> {
        self.by_uid.lock().values().cloned().collect()
    }
}

impl<H: Host, C: CertificateAuthority> Ztunnel<H, C> {
    /// Starts following `source`. `host` is the proxy's process in its own namespace; certificates come from
    /// `authority`; everything there is to tell goes to `sink`.
    pub fn start(host: H, config: ZtunnelConfig, source: impl ConfigSource, authority: C, sink: Arc<dyn Sink>) -> Self {
        let shared = Arc::new(Shared::new(host, config, authority, sink));
        let (drain, stop) = drain::channel();
        let instances = Arc::new(Instances { shared: shared.clone(), by_uid: Mutex::default(), drain });
        shared.host.spawn("configuration", follow::follow(instances.clone(), source, stop));
        Ztunnel { instances }
    }

    /// Starts serving a pod: binds its three listeners. They take connections once configuration is in sync.
    /// `pod_host` is the proxy's process in the pod's namespace, its sockets marked as the proxy's own.
    ///
    /// A uid that is served already is taken to have moved to another namespace: the old instance is cut at once.
    ///
    /// # Errors
    /// When a listener cannot be bound, or the proxy is draining. Nothing is served then; try again later.
    pub fn add_workload(&self, info: WorkloadInfo, pod_host: H) -> io::Result<()> {
        if self.instances.drain.phase() != Phase::Running {
            return Err(io::Error::other("the proxy is draining"));
        }
        self.remove_workload(&info.uid);
        let uid = info.uid.clone();
        let instance = Instance::start(self.instances.shared.clone(), info, pod_host)?;
        self.instances.by_uid.lock().insert(uid, instance);
        Ok(())
    }

    /// Stops serving a pod. Its connections and tunnels are cut at once. Returns whether it was served.
    pub fn remove_workload(&self, uid: &str) -> bool {
        let Some(instance) = ({ self.instances.by_uid.lock().remove(uid) }) else { return false };
        instance.cut(Reason::WorkloadRemoved, "connection closed: the workload left the node or the mesh");
        true
    }

    /// Drains: listeners close at once, peers are told, and what exists has until `deadline` before it is cut. Completes
    /// when nothing is left; the proxy then follows the control plane no longer. Returns whether anything was cut.
    pub async fn drain(&self, deadline: Instant) -> bool {
        // In this order: whoever is added later is refused.
        self.instances.drain.start(deadline);
        let instances = self.instances.all();
        for instance in &instances {
            instance.start_drain(deadline);
        }
        let mut cut = false;
        for instance in &instances {
            cut |= instance.finish_drain(deadline).await;
        }
        self.instances.by_uid.lock().clear();
        self.instances.drain.cut();
        cut
    }

    /// Whether the first full configuration has been applied and no drain has begun.
    pub fn is_ready(&self) -> bool {
        self.instances.shared.state.is_synced() && self.instances.drain.phase() == Phase::Running
    }

    /// Completes once the first full configuration has been applied. Has no limit of its own.
    pub async fn ready(&self) {
        self.instances.shared.state.synced().await;
    }

    /// What the control plane has said.
    pub fn state(&self) -> &StateHandle {
        &self.instances.shared.state
    }

    /// The certificates held.
    pub fn certificates(&self) -> &CertificateStore<H, C> {
        &self.instances.shared.certificates
    }

    /// The pods served, by uid.
    pub fn workloads(&self) -> Vec<WorkloadInfo> {
        self.instances.all().iter().map(|instance| instance.info.clone()).collect()
    }

    /// The live connections of every pod, by uid, both directions.
    pub fn connections(&self) -> Vec<(Arc<str>, Vec<LiveConnection>)> {
        let instances = self.instances.all();
        instances.iter().map(|instance| (instance.info.uid.clone(), instance.connections.list())).collect()
    }

    /// The outbound tunnels of every pod, by uid.
    pub fn tunnels(&self) -> Vec<(Arc<str>, PoolStats)> {
        let instances = self.instances.all();
        instances.iter().map(|instance| (instance.info.uid.clone(), instance.pool.stats())).collect()
    }
}
