//! [`Mesh`]: engine, cluster, control plane and proxies, moved forward together.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::host::Instant;
use proxy_core::tls::TlsError;

use super::apps::AppFactory;
use super::config::{Delivery, MeshConfig};
use super::faults::Faults;
use super::istiod::Istiod;
use super::keys::KeyFetches;
use super::name_server::NameServer;
use super::node::{MeshZtunnel, NodeRuntime};
use super::observer::PushJournal;
use super::pod::PodRuntime;
use super::work::{Agenda, Work};
use crate::cluster::{Applied, ApplyOptions, Cluster, Diagnostic, ObjectName, Pod, yaml};
use crate::control::{Availability, ControlPlane, MeshAuthority, PolicyNotice, Revision, Translation, translate};
use crate::exec::{StallKind, StallReport};
use crate::fabric::NodeSpec;
use crate::ground::Ground;
use crate::node::Sim;
use crate::record::{AppPod, Journal, ObservationKind};
use crate::seed::Seed;
use crate::wire::NodeId;

/// Where the control plane lives: a node of its own, with this address.
const CONTROL_PLANE: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 127, 255, 254));

/// How often a mesh that settles is looked at.
const SETTLE_STEP: Duration = Duration::from_millis(1);

/// So often the mesh may have something to do at one time before time counts as stuck.
const ROUNDS_PER_INSTANT: u64 = 1_000_000;

/// A whole mesh, in virtual time or on another ground.
///
/// Owns the cluster (the truth) and everything that runs because of it. Time moves only in [`Mesh::run_until`] and
/// [`Mesh::settle`]; what a person does to the cluster happens at the current time. Proxies learn of the truth only
/// through pushes, and applications through whatever their factory gives them.
///
/// Deterministic because the cluster, the agenda and the engine are, and they take turns in a fixed order: at equal times
/// the engine first, then the cluster, the agenda, the control plane.
pub struct Mesh<G: Ground = Sim> {
    pub(super) config: MeshConfig,
    pub(super) seed: Seed,
    pub(super) ground: G,
    pub(super) cluster: Cluster,
    pub(super) control: ControlPlane<G::Host>,
    pub(super) authority: MeshAuthority<G::Host>,
    /// The control plane as a process, if it serves on the wire.
    pub(super) istiod: Option<Istiod<G::Host>>,
    pub(super) nodes: BTreeMap<Arc<str>, NodeRuntime<G::Host>>,
    /// By uid.
    pub(super) pods: BTreeMap<Arc<str>, PodRuntime<G::Host>>,
    pub(super) apps: Box<dyn AppFactory<G::Host>>,
    pub(super) agenda: Agenda,
    pub(super) journal: Journal,
    pub(super) faults: Faults,
    /// Where control plane and authority run.
    pub(super) home: NodeId,
    /// Where the cluster's DNS runs, and its process while there is one.
    names: Option<NodeId>,
    pub(super) name_server: Option<G::Host>,
    pub(super) keys: KeyFetches<G::Host>,
    view: ClusterView,
    /// The truth changed and nobody has been told yet.
    changed: bool,
    /// Node-level address translation will follow.
    translation_planned: bool,
    notices: Vec<PolicyNotice>,
}

/// The cluster as it is at any time: for whoever must look names up while the mesh runs. Never given to a proxy.
#[derive(Clone, Debug)]
pub struct ClusterView(Arc<Mutex<Arc<Cluster>>>);

impl ClusterView {
    /// The cluster now.
    pub fn get(&self) -> Arc<Cluster> {
        self.0.lock().clone()
    }
}

/// Why a mesh could not be made or did not settle.
#[derive(Debug)]
pub enum MeshError {
    /// The manifests are wrong.
    Manifests(Vec<Diagnostic>),
    /// The certificate authority could not be made.
    Authority(TlsError),
    /// The control plane's process could not be started.
    ControlPlane(std::io::Error),
    /// The engine stopped.
    Stalled(StallReport),
    /// Something still changes after so long.
    Unsettled {
        /// How long it was given.
        waited: Duration,
        /// What it waits for, in words.
        waiting_for: Vec<String>,
    },
}

impl From<StallReport> for MeshError {
    fn from(report: StallReport) -> Self {
        MeshError::Stalled(report)
    }
}

impl fmt::Display for MeshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MeshError::Manifests(diagnostics) => {
                for (index, diagnostic) in diagnostics.iter().enumerate() {
                    write!(f, "{}{diagnostic}", if index == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
            MeshError::Authority(error) => write!(f, "cannot make the certificate authority: {error}"),
            MeshError::ControlPlane(error) => write!(f, "cannot start the control plane: {error}"),
            MeshError::Stalled(report) => report.fmt(f),
            MeshError::Unsettled { waited, waiting_for } => {
                write!(f, "the mesh has not settled after {waited:?}; it waits for: {}", waiting_for.join("; "))
            }
        }
    }
}

impl std::error::Error for MeshError {}

impl Mesh {
    /// A simulated mesh of these manifests at time zero: nothing has run yet. Continue with [`Mesh::settle`].
    ///
    /// # Errors
    /// [`MeshError::Manifests`] or [`MeshError::Authority`].
    pub fn new(
        config: MeshConfig,
        manifests: &[yaml::Document],
        apps: impl AppFactory + 'static,
    ) -> Result<(Mesh, Applied), MeshError> {
        Mesh::on(simulation(&config), config, manifests, apps)
    }

    /// The engine.
    pub fn sim(&self) -> &Sim {
        &self.ground
    }
}

/// The simulation that a mesh of this configuration stands on.
pub fn simulation(config: &MeshConfig) -> Sim {
    let sim = Sim::new(config.sim.clone());
    sim.set_links(config.links);
    sim
}

impl<G: Ground> Mesh<G> {
    /// A mesh of these manifests on a ground on which nothing is yet.
    ///
    /// # Errors
    /// [`MeshError::Manifests`], [`MeshError::Authority`] or [`MeshError::ControlPlane`].
    pub fn on(
        ground: G,
        mut config: MeshConfig,
        manifests: &[yaml::Document],
        apps: impl AppFactory<G::Host> + 'static,
    ) -> Result<(Mesh<G>, Applied), MeshError> {
        let home = ground.add_node(NodeSpec {
            name: "control-plane".to_owned(),
            addresses: vec![CONTROL_PLANE],
            ..NodeSpec::default()
        });
        let host = ground.process(ground.node_namespace(home), "control-plane");
        let journal = Journal::new();
        let observer = Arc::new(PushJournal(journal.clone()));
        let wire = config.control_plane.delivery == Delivery::Wire;
        if wire {
            (config.push.delay_least, config.push.delay_most) = Default::default();
            (config.authority.delay_least, config.authority.delay_most) = Default::default();
        }
        let control = ControlPlane::new(host.clone(), config.push, observer);
        let keys = KeyFetches::new(host.clone());
        let authority = MeshAuthority::new(host, config.authority.clone()).map_err(MeshError::Authority)?;
        let cluster = Cluster::new(config.cluster.clone());
        let mut mesh = Mesh {
            seed: Seed(config.sim.seed),
            view: ClusterView(Arc::new(Mutex::new(Arc::new(cluster.clone())))),
            cluster,
            control,
            authority,
            istiod: wire.then(|| Istiod::new(&ground, home)),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            apps: Box::new(apps),
            agenda: Agenda::default(),
            journal,
            faults: Faults::default(),
            home,
            names: None,
            name_server: None,
            keys,
            changed: true,
            translation_planned: false,
            notices: Vec::new(),
            config,
            ground,
        };
        mesh.translate_addresses();
        mesh.start_control_plane().map_err(MeshError::ControlPlane)?;
        mesh.sync_nodes();
        mesh.serve_names();
        let applied = mesh.apply(manifests, &ApplyOptions::default()).map_err(MeshError::Manifests)?;
        Ok((mesh, applied))
    }

    /// Starts the cluster's DNS, if it does not run. It has a node of its own, in the first node's zone.
    pub(super) fn serve_names(&mut self) {
        if self.name_server.is_some() {
            return;
        }
        let addresses = self.cluster.config().dns_addresses();
        let node = *self.names.get_or_insert_with(|| {
            let locality = self.cluster.nodes().next().map(|node| node.locality()).unwrap_or_default();
            self.ground.add_node(NodeSpec {
                name: "cluster-dns".to_owned(),
                zone: locality.zone.to_string(),
                region: locality.region.to_string(),
                addresses: addresses.clone(),
            })
        });
        let host = self.ground.process(self.ground.node_namespace(node), "name server");
        NameServer::start(host.clone(), &addresses, self.view.clone(), self.journal.clone());
        self.name_server = Some(host);
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.ground.now()
    }

    /// Moves everything forward to `until`, and does what is due then; not so far if the ground is interrupted.
    ///
    /// # Errors
    /// The engine stopped: see [`StallReport`].
    pub fn run_until(&mut self, until: Instant) -> Result<(), StallReport> {
        let (mut instant, mut rounds) = (self.now(), 0);
        loop {
            if self.now() != instant {
                (instant, rounds) = (self.now(), 0);
            }
            self.turn(&mut rounds)?;
            let next = self.next_deadline().map_or(until, |next| next.min(until));
            let last = next >= until;
            self.ground.run_until(next)?;
            if self.ground.is_interrupted() {
                return Ok(());
            }
            if last && self.next_deadline().is_none_or(|next| next > until) {
                return Ok(());
            }
        }
    }

    /// Runs until nothing changes any more: pods are as their controllers want them, enrollment has followed the labels,
    /// every proxy has acknowledged the configuration.
    ///
    /// # Errors
    /// [`MeshError::Unsettled`] after `limit`; [`MeshError::Stalled`].
    pub fn settle(&mut self, limit: Duration) -> Result<(), MeshError> {
        let start = self.now();
        loop {
            self.turn(&mut 0)?;
            if self.is_settled() {
                return Ok(());
            }
            if self.now() >= start + limit {
                return Err(MeshError::Unsettled { waited: limit, waiting_for: self.waiting_for() });
            }
            self.run_until((self.now() + SETTLE_STEP).min(start + limit))?;
        }
    }

    /// Whether nothing is left to follow from what has been done so far. Certificates count unless the authority is down.
    pub fn is_settled(&self) -> bool {
        !self.changed
            && self.cluster.next_deadline().is_none()
            && self.agenda.due().is_none()
            && self.is_delivered()
            && (self.authority.is_idle() || self.authority.availability() != Availability::Answering)
            && self.nodes.values().all(|node| node.ztunnel.is_ready())
    }

    fn waiting_for(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        if let Some(at) = self.cluster.next_deadline() {
            waiting.push(format!("the cluster's controllers, next at {at}"));
        }
        if let Some(at) = self.agenda.due() {
            waiting.push(format!("the enrollment agents or a waypoint to become ready, next at {at}"));
        }
        if !self.authority.is_idle() {
            waiting.push("certificates".to_owned());
        }
        let newest = self.control.newest();
        let proxies = self.nodes.values().flat_map(NodeRuntime::proxy_names);
        let behind = proxies.filter(|proxy| self.control.acked(proxy) < Some(newest));
        waiting.extend(behind.map(|node| format!("the proxy of {node} to acknowledge configuration {newest}")));
        waiting
    }

    /// When the mesh itself, as opposed to the engine, next has something to do.
    fn next_deadline(&self) -> Option<Instant> {
        let keys = self.keys.refresh_due();
        [self.cluster.next_deadline(), self.agenda.due(), self.control.commit_due(), keys].into_iter().flatten().min()
    }

    /// Does everything that is due by now. `rounds` counts how often there was something since time last moved.
    fn turn(&mut self, rounds: &mut u64) -> Result<(), StallReport> {
        loop {
            let now = self.now();
            let mut idle = true;
            *rounds += 1;
            if *rounds > ROUNDS_PER_INSTANT {
                return Err(self.ground.stalled(StallKind::Stuck));
            }
            if self.cluster.next_deadline().is_some_and(|due| due <= now) {
                idle = false;
                self.changed = true;
                for event in self.cluster.step(now) {
                    self.pod_event(event)?;
                }
            }
            while let Some(work) = self.agenda.take(now) {
                idle = false;
                *rounds += 1;
                if *rounds > ROUNDS_PER_INSTANT {
                    return Err(self.ground.stalled(StallKind::Stuck));
                }
                match work {
                    Work::Enroll(uid) => self.enroll(&uid),
                    Work::Announce(uid) => self.announce(&uid),
                    Work::Release(uid) => self.release(&uid),
                    Work::Withdraw(uid) => self.withdraw(&uid),
                    Work::Serve(uid) => self.serve(&uid),
                    Work::Ready(uid) => self.pass_probe(&uid),
                    Work::Missing(node) => self.node_missing(&node),
                    Work::HandOver(node, drain) => self.hand_over(&node, drain),
                    Work::Retire(node, proxy) => self.retire(&node, &proxy),
                    Work::EndFault(number) => self.end_fault(number),
                    Work::Probe(uid) => self.probe_waypoint(&uid),
                    Work::Drained(uid) => self.end_drained_waypoint(&uid),
                    Work::FetchKeys(from) => self.fetch_keys(from),
                    Work::CollectKeys => self.collect_keys(),
                    Work::TranslateAddresses => {
                        self.translation_planned = false;
                        self.translate_addresses();
                    }
                }
            }
            if self.keys.refresh_due().is_some_and(|due| due <= now) {
                idle = false;
                self.refresh_keys();
            }
            if idle {
                break;
            }
        }
        if std::mem::take(&mut self.changed) {
            let cluster = Arc::new(self.cluster.clone());
            *self.view.0.lock() = cluster.clone();
            if !std::mem::replace(&mut self.translation_planned, true) {
                self.agenda.add(self.now() + self.config.virtual_services.delay, Work::TranslateAddresses);
            }
            // The n-th cluster told is version n, which proxies will acknowledge.
            self.control.changed();
            self.plan_key_fetches();
            self.journal.record(self.now(), ObservationKind::Cluster(cluster));
        }
        if self.control.commit_due().is_some_and(|due| due <= self.now()) {
            let Translation { resources, notices } = translate(&self.cluster);
            self.notices = notices;
            self.control.commit(resources);
        }
        Ok(())
    }

    /// Has everybody told of a change by the end of this turn.
    pub(super) fn note_change(&mut self) {
        self.changed = true;
    }

    /// The truth, as it is now.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A handle on the truth for code that runs inside the simulation.
    pub fn view(&self) -> ClusterView {
        self.view.clone()
    }

    /// What it stands on.
    pub fn ground(&self) -> &G {
        &self.ground
    }

    /// Everything that was observed.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The configuration path: to break it, or to ask how far it has come.
    pub fn control_plane(&self) -> &ControlPlane<G::Host> {
        &self.control
    }

    /// The certificate authority: to break it, or to ask what it signed.
    pub fn authority(&self) -> &MeshAuthority<G::Host> {
        &self.authority
    }

    /// The newest change of the truth; see [`ControlPlane::acked`].
    pub fn revision(&self) -> Revision {
        self.control.newest()
    }

    /// A node's proxy.
    pub fn ztunnel(&self, node: &str) -> Option<&MeshZtunnel<G::Host>> {
        Some(&self.nodes.get(node)?.ztunnel)
    }

    /// Policies that ztunnels enforce otherwise than written, as of the last push.
    pub fn policy_notices(&self) -> &[PolicyNotice] {
        &self.notices
    }

    /// A pod that has its network: its object, what applications call it, and the process of its containers. Clients may
    /// be spawned there; they end with the pod.
    pub fn pod(&self, name: &ObjectName) -> Option<(&Arc<Pod>, &Arc<AppPod>, &G::Host)> {
        let uid = &self.cluster.pod(name)?.meta.uid;
        let runtime = self.pods.get(uid)?;
        Some((&runtime.pod, &runtime.app_pod, &runtime.host))
    }

    /// Whether redirect rules and proxy are in place for a pod.
    pub fn is_captured(&self, name: &ObjectName) -> bool {
        let uid = self.cluster.pod(name).map(|pod| &pod.meta.uid);
        uid.and_then(|uid| self.pods.get(uid)).is_some_and(|runtime| runtime.membership.is_captured())
    }
}
