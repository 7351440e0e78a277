//! [`Ground`]: what a mesh stands on: machines, network namespaces, processes and time.
//!
//! - [`Ground`] and [`Process`]: what the mesh asks for.
//! - `simulation`: the simulated one.
//! - [`trouble`](Trouble): what can be made to go wrong with it.

mod simulation;
mod trouble;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use proxy_core::Host;
use proxy_core::host::Instant;
use proxy_core::tls::Crypto;

pub use trouble::Trouble;

use crate::exec::{Crash, StallKind, StallReport};
use crate::fabric::{NamespaceSpec, NodeSpec};
use crate::node::{Capture, KillMode, Sim};
use crate::wire::{NamespaceId, NodeId};

/// A process of a mesh: a [`Host`] that can be elsewhere, be marked, and end.
pub trait Process: Host {
    /// The same process in another namespace.
    #[must_use]
    fn in_namespace(&self, namespace: NamespaceId) -> Self;

    /// The same process; sockets it creates from now on carry `mark`.
    #[must_use]
    fn marked(&self, mark: u32) -> Self;

    /// Whether the process was not killed.
    fn is_alive(&self) -> bool;

    /// Ends the process: its tasks are dropped, its sockets end as `mode` says, whatever it tries later fails.
    fn kill(&self, mode: KillMode);
}

/// What a mesh stands on. A mesh owns one and is the only one that changes it.
pub trait Ground: Trouble {
    /// Where proxies take the randomness of TLS from.
    const CRYPTO: Crypto;

    /// The time of every process.
    fn now(&self) -> Instant;

    /// Lets time pass until `at`, while processes do what they do. Returns earlier only if [`Ground::is_interrupted`].
    ///
    /// # Errors
    /// A simulation that stalls.
    fn run_until(&self, at: Instant) -> Result<(), StallReport>;

    /// Whether whoever runs the mesh wants it to end.
    fn is_interrupted(&self) -> bool;

    /// Takes note of that: time passes again.
    fn take_note(&self);

    /// A report that the mesh cannot go on, with every live task where that is known.
    fn stalled(&self, kind: StallKind) -> StallReport {
        match self.simulation() {
            Some(simulation) => simulation.stalled(kind),
            None => StallReport { kind, at: self.now(), tasks: Vec::new() },
        }
    }

    /// Adds a node and its own namespace.
    fn add_node(&self, spec: NodeSpec) -> NodeId;

    /// The node's own (host) namespace.
    fn node_namespace(&self, node: NodeId) -> NamespaceId;

    /// Adds a namespace to a node. An address another namespace had moves here.
    fn add_namespace(&self, spec: NamespaceSpec) -> NamespaceId;

    /// Takes a namespace away: its addresses become nobody's.
    fn remove_namespace(&self, namespace: NamespaceId);

    /// Turns capture on or off. Connections already open stay as they are.
    fn set_capture(&self, namespace: NamespaceId, capture: Option<Capture>);

    /// Replaces the table of virtual service addresses, which counts for what leaves a namespace uncaptured.
    fn set_virtual_services(&self, services: BTreeMap<SocketAddr, Vec<SocketAddr>>);

    /// Starts a process in a namespace.
    fn process(&self, namespace: NamespaceId, name: &str) -> Self::Host;

    /// The fingerprint of everything so far, where there is one.
    fn digest(&self) -> Option<String>;

    /// Counts of what happened so far, by name.
    fn counters(&self) -> BTreeMap<String, u64>;

    /// Tasks that panicked so far.
    fn crashes(&self) -> Vec<Crash>;

    /// The simulation, if it is one: for what only a simulation can, such as looking at packets.
    fn simulation(&self) -> Option<&Sim>;
}
