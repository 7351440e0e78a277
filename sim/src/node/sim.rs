//! [`Sim`]: one run.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::host::{Host, Instant, Rng, WallTime};

use super::clock::ClockModel;
use super::engine::{Engine, Goal};
use super::redirect::Capture;
use super::sim_host::SimHost;
use crate::draws::Fingerprint;
use crate::exec::{Crash, Limits, StallKind, StallReport, TaskInfo, TaskOrder};
use crate::fabric::{Link, LinkEnd, LinkTable, NamespaceSpec, NodeSpec};
use crate::seed::Seed;
use crate::tcp::TcpConfig;
use crate::wire::{NamespaceId, NodeId, Tap};

/// What a run depends on besides what is built in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimConfig {
    /// Seed of every draw.
    pub seed: u64,
    /// Order of tasks ready at the same instant.
    pub task_order: TaskOrder,
    /// Wall-clock time at which virtual time starts.
    pub epoch: WallTime,
    /// Bounds.
    pub limits: Limits,
}

impl Default for SimConfig {
    /// Seed 1, tasks in order of waking, beginning at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        SimConfig {
            seed: 1,
            task_order: TaskOrder::Fifo,
            epoch: WallTime::from_unix_secs(1_767_225_600),
            limits: Limits::default(),
        }
    }
}

struct Owner {
    engine: Arc<Engine>,
}

impl Drop for Owner {
    /// Tasks hold hosts, which hold the engine, which holds the tasks: dropping the tasks undoes the knot.
    fn drop(&mut self) {
        let reaped = self.engine.executor.kill_all();
        self.engine.executor.bury(reaped, self.engine.now());
    }
}

/// A simulation: nodes, namespaces, processes and virtual time. A cheap handle; clones are the same run.
///
/// When the last clone is dropped every task is. So a task must not hold one: it holds its [`SimHost`], or a [`WeakSim`].
#[derive(Clone)]
pub struct Sim {
    owner: Arc<Owner>,
}

/// A handle that does not keep the run alive; what tasks that change the simulation hold.
#[derive(Clone)]
pub struct WeakSim {
    owner: Weak<Owner>,
}

impl WeakSim {
    /// The run, unless it is over. Do not keep it across an await.
    pub fn upgrade(&self) -> Option<Sim> {
        self.owner.upgrade().map(|owner| Sim { owner })
    }
}

impl Sim {
    /// A handle for tasks.
    pub fn downgrade(&self) -> WeakSim {
        WeakSim { owner: Arc::downgrade(&self.owner) }
    }

    /// A run in which nothing is yet.
    pub fn new(config: SimConfig) -> Sim {
        let engine = Engine::new(Seed(config.seed), config.task_order, config.epoch, config.limits);
        Sim { owner: Arc::new(Owner { engine: Arc::new(engine) }) }
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.owner.engine
    }

    /// Adds a node and its own namespace.
    pub fn add_node(&self, spec: NodeSpec) -> NodeId {
        self.engine().with(|world| {
            world.clocks.push(ClockModel::default());
            world.namespaces.push(Default::default());
            world.topology.add_node(spec)
        })
    }

    /// The node's own (host) namespace.
    ///
    /// # Panics
    /// If the node is of another run.
    pub fn node_namespace(&self, node: NodeId) -> NamespaceId {
        let namespace = self.engine().with(|world| world.topology.node(node).map(|node| node.namespace));
        namespace.expect("a node of this run")
    }

    /// Adds a namespace to a node. An address another namespace had moves here.
    pub fn add_namespace(&self, spec: NamespaceSpec) -> NamespaceId {
        self.engine().with(|world| {
            world.namespaces.push(Default::default());
            world.topology.add_namespace(spec)
        })
    }

    /// Takes a namespace away without a word to anyone: its sockets vanish, its addresses become nobody's.
    pub fn remove_namespace(&self, namespace: NamespaceId) {
        self.engine().with(|world| world.remove_namespace(namespace));
    }

    /// Turns capture on or off. Connections already open stay as they are.
    pub fn set_capture(&self, namespace: NamespaceId, capture: Option<Capture>) {
        self.engine().with(|world| {
            if let Some(state) = world.namespaces.get_mut(namespace.0 as usize) {
                state.capture = capture;
            }
        });
    }

    /// The capture of a namespace.
    pub fn capture(&self, namespace: NamespaceId) -> Option<Capture> {
        self.engine().with(|world| world.capture(namespace))
    }

    /// Sets the links between places by distance. Applies to packets sent from now on.
    pub fn set_links(&self, table: LinkTable) {
        self.engine().with(|world| world.change_links(|paths, topology| paths.set_table(table, topology)));
    }

    /// Sets or (with `None`) removes an override of one direction. The more precise override wins.
    pub fn set_link(&self, from: LinkEnd, to: LinkEnd, link: Option<Link>) {
        self.engine().with(|world| world.change_links(|paths, topology| paths.set_override(from, to, link, topology)));
    }

    /// TCP settings of connections opened from now on; `mss` is always taken from the path.
    pub fn set_tcp_config(&self, config: TcpConfig) {
        self.engine().with(|world| world.set_tcp_config(config));
    }

    /// Replaces the table of virtual service addresses: what leaves a namespace uncaptured towards one of them goes to
    /// one of its backends, drawn per connection; no backends means refused. This is node-level address translation as
    /// Kubernetes does it, for TCP and UDP alike.
    pub fn set_virtual_services(&self, services: BTreeMap<SocketAddr, Vec<SocketAddr>>) {
        self.engine().with(|world| world.virtuals = services);
    }

    /// Sets a node's wall clock.
    pub fn set_clock(&self, node: NodeId, clock: ClockModel) {
        self.engine().with(|world| {
            if let Some(present) = world.clocks.get_mut(node.0 as usize) {
                *present = clock;
            }
        });
    }

    /// Starts a process in a namespace.
    pub fn process(&self, namespace: NamespaceId, name: &str) -> SimHost {
        let full = self.engine().with(|world| format!("{}/{name}", world.topology.name(namespace)));
        let id = self.engine().executor.process(full.clone());
        self.engine().with(|world| world.add_process(id, &full));
        SimHost::new(Arc::clone(self.engine()), id, namespace)
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.engine().now()
    }

    /// Runs up to and including `at`; then it is `at`.
    ///
    /// # Errors
    /// When a task spins, time is stuck or the event limit is reached.
    pub fn run_until(&self, at: Instant) -> Result<(), StallReport> {
        self.engine().run(Goal::Until(at))
    }

    /// Runs for `duration` of virtual time.
    ///
    /// # Errors
    /// As [`Sim::run_until`].
    pub fn run_for(&self, duration: Duration) -> Result<(), StallReport> {
        self.run_until(self.now() + duration)
    }

    /// Runs until nothing is left to happen. Tasks may still wait for something that never comes, as servers do.
    ///
    /// # Errors
    /// As [`Sim::run_until`]; and a deadlock when a task that must finish is among them.
    pub fn run_until_idle(&self) -> Result<(), StallReport> {
        self.engine().run(Goal::Idle(Instant::FAR_FUTURE))
    }

    /// As [`Sim::run_until_idle`], giving up at `limit`.
    ///
    /// # Errors
    /// As [`Sim::run_until_idle`]; and when something was still to happen after `limit`.
    pub fn run_until_idle_within(&self, limit: Instant) -> Result<(), StallReport> {
        self.engine().run(Goal::Idle(limit))
    }

    /// Runs until `done` says so, asking whenever every task waits.
    ///
    /// # Errors
    /// As [`Sim::run_until`]; a deadlock when nothing is left to happen first, or late when `limit` comes first.
    pub fn run_until_done(&self, limit: Instant, mut done: impl FnMut() -> bool) -> Result<(), StallReport> {
        self.engine().run(Goal::When(&mut done, limit))
    }

    /// Runs `work` as a task of `host` and the simulation with it, until the work is done; gives up after an hour of
    /// virtual time.
    ///
    /// # Errors
    /// As [`Sim::run_until_done`]. A panic of the work is in [`Sim::crashes`] and here a deadlock or lateness.
    pub fn block_on<T: Send + 'static>(
        &self,
        host: &SimHost,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StallReport> {
        let result = Arc::new(Mutex::new(None));
        let place = Arc::clone(&result);
        host.spawn(name, async move {
            let outcome = work.await;
            *place.lock() = Some(outcome);
        });
        let limit = self.now() + Duration::from_secs(3600);
        let mut outcome = None;
        self.run_until_done(limit, || {
            outcome = result.lock().take();
            outcome.is_some()
        })?;
        outcome.ok_or_else(|| self.stalled(StallKind::Deadlock))
    }

    /// The fingerprint of everything so far.
    pub fn digest(&self) -> Fingerprint {
        let (.., drawn) = self.engine().executor.totals();
        self.engine().with(|world| {
            let mut digest = world.digest.clone();
            digest.record(&drawn.to_le_bytes());
            digest.record(&world.now.as_nanos().to_le_bytes());
            digest.value()
        })
    }

    /// Exact counts of what happened so far, by name.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let (polls, spawned, _) = self.engine().executor.totals();
        let mut counters = self.engine().with(|world| {
            let mut counters = world.counters.listing();
            let open: u64 = world.sockets.iter().map(|(_, socket)| u64::from(socket.tcb.resent_packets())).sum();
            *counters.entry("packets_resent".to_owned()).or_default() += open;
            counters.insert("connections_open".to_owned(), world.flows.len() as u64);
            counters.insert("draws".to_owned(), world.digest.draws());
            counters.insert("events_pending".to_owned(), world.queue.len() as u64);
            counters
        });
        counters.insert("polls".to_owned(), polls);
        counters.insert("tasks_spawned".to_owned(), spawned);
        counters.insert("tasks_live".to_owned(), self.engine().executor.live());
        counters
    }

    /// Has `tap` see every packet from now on.
    pub fn add_tap(&self, tap: Arc<dyn Tap>) {
        self.engine().with(|world| world.taps.push(tap));
    }

    /// A stream of chance of the run, for whoever builds it.
    pub fn rng(&self, stream: &str) -> Rng {
        self.engine().with(|world| world.seed).stream(stream)
    }

    /// Tasks that panicked so far.
    pub fn crashes(&self) -> Vec<Crash> {
        self.engine().executor.crashes()
    }

    /// A report that the run cannot go on, with every live task; for whoever drives it.
    pub fn stalled(&self, kind: StallKind) -> StallReport {
        self.engine().report(kind)
    }

    /// Every live task.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        self.engine().executor.listing()
    }
}
