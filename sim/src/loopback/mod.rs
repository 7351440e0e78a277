//! [`Loopback`]: a mesh's ground on real sockets: every namespace is an address of 127.0.0.0/8.
//!
//! What the mesh calls an address (a pod's `10.244.1.5`) and where its sockets are (`127.64.1.3`) are two things; this folder
//! translates at every socket, so configuration, policies and records are those of a simulation. Redirect rules are the same
//! table as there ([`crate::node::redirect`]); whoever accepts a redirected connection is told where it was meant to go by
//! whoever dialled it. What comes from outside the mesh and reaches a captured pod is redirected when it is accepted.
//!
//! - `block`: which addresses of this machine a mesh has.
//! - `network`: namespaces, capture, virtual services: where a connection goes, as plain functions over data.
//! - `told`: what the two ends of a connection know of it.
//! - `process`: tasks that end together; `host`: [`LoopbackHost`]; `stream`, `listener`, `datagram`: its sockets.
//! - `ground`: [`Ground`](crate::ground::Ground) over all of it.

mod block;
mod datagram;
mod ground;
mod host;
mod listener;
mod network;
mod process;
mod stream;
mod told;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::{TokioHost, WallTime};
use tokio::sync::Notify;

pub use self::block::{Block, BlockError};
pub use self::datagram::LoopbackDatagram;
pub use self::host::LoopbackHost;
pub use self::listener::LoopbackListener;
use self::network::Network;
pub use self::stream::LoopbackStream;
use self::told::Told;
use crate::exec::Crash;

/// A mesh's ground on real sockets, in real time. Must be used within [`proxy_core::host::TokioRuntime::drive`].
///
/// Owns a [`Block`] of addresses until it is dropped.
pub struct Loopback {
    shared: Arc<Shared>,
}

/// What all processes of a mesh share.
pub(crate) struct Shared {
    tokio: TokioHost,
    /// The wall clock when it began.
    epoch: WallTime,
    network: Mutex<Network>,
    told: Mutex<Told>,
    crashes: Mutex<Vec<Crash>>,
    dialled: AtomicU64,
    accepted: AtomicU64,
    outsiders: AtomicU64,
    stop: Stop,
}

/// Asks whoever drives a mesh to end. Cheap to clone; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(AtomicBool, Notify)>);

impl Stop {
    /// Asks. A second time changes nothing.
    pub fn ask(&self) {
        self.0.0.store(true, std::sync::atomic::Ordering::SeqCst);
        self.0.1.notify_waiters();
    }

    /// Takes note: until somebody asks again, nobody has.
    pub fn take_note(&self) {
        self.0.0.store(false, std::sync::atomic::Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.0.0.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Completes once somebody has asked.
    pub async fn asked(&self) {
        let notified = self.0.1.notified();
        let mut notified = std::pin::pin!(notified);
        notified.as_mut().enable();
        if !self.is_asked() {
            notified.await;
        }
    }
}

impl Loopback {
    /// A ground on these addresses, which ends when `stop` is asked to.
    pub fn new(tokio: TokioHost, block: Block, stop: Stop) -> Self {
        let shared = Shared {
            epoch: tokio.wall_time(),
            tokio,
            network: Mutex::new(Network::new(block)),
            told: Mutex::default(),
            crashes: Mutex::default(),
            dialled: AtomicU64::default(),
            accepted: AtomicU64::default(),
            outsiders: AtomicU64::default(),
            stop,
        };
        Loopback { shared: Arc::new(shared) }
    }

    /// Where the namespace that has this address of the mesh is on this machine.
    pub fn place_of(&self, address: IpAddr) -> Option<Ipv4Addr> {
        self.shared.network.lock().place_of(address)
    }

    /// Says of an address of this machine whose it is in the mesh, for as long as the mesh lasts.
    pub fn addresses(&self) -> Arc<dyn Fn(IpAddr) -> Option<IpAddr> + Send + Sync> {
        let shared = self.shared.clone();
        Arc::new(move |place| {
            let IpAddr::V4(place) = place else { return None };
            let network = shared.network.lock();
            network.address(network.who_is_at(place)?, place.into())
        })
    }

    /// Which port of this machine a port of the mesh is: they differ where the system keeps low ports to itself.
    pub fn port_of(&self, address: IpAddr, port: u16) -> u16 {
        self.shared.network.lock().port_of(address, port)
    }

    /// The host that is nobody's process: outside the mesh.
    pub fn outside(&self) -> TokioHost {
        self.shared.tokio.clone()
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        // Listeners of the mesh hold what they share, and would hold the addresses with it.
        self.shared.network.lock().give_up();
    }
}
