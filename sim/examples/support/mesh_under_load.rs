//! [`MeshUnderLoad`]: an enrolled mesh whose pods call each other's services, for measuring. Shared by an example and a
//! benchmark.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::host::Instant;
use sim::app::{
    Client, EchoPort, HttpRequest, Load, LoadSpec, LoadTally, PortProtocol, RequestKind, Resolver, Schedule, Target,
    Traffic, Tries, serve,
};
use sim::cluster::{ClusterConfig, yaml};
use sim::fabric::NodeSpec;
use sim::invariant::{Checkers, Deltas, Quiescence, WireWatch};
use sim::mesh::{App, AppFactory, AppStart, Mesh, MeshConfig};
use sim::node::SimHost;
use sim::record::{Observation, ObservationKind};

#[path = "manifests.rs"]
mod manifests;

use manifests::{manifests, namespace};

/// Nodes of the mesh everything is measured on.
pub(crate) const NODES: usize = 200;
/// Its pods.
pub(crate) const PODS: usize = 2_000;

/// Pods of one Deployment, all behind one Service.
const REPLICAS: usize = 20;
/// How often what was observed is looked at.
const SLICE: Duration = Duration::from_millis(100);

/// How requests find a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    /// Every pod calls the service of the next Deployment and keeps its connection.
    Kept,
    /// The first pod of every Deployment calls that service, each request on a connection of its own, so that over
    /// time it has a tunnel to each of the service's pods: as many tunnels in all as when connections are kept.
    New,
}

/// What is built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Nodes.
    pub(crate) nodes: usize,
    /// Pods.
    pub(crate) pods: usize,
    /// Requests a second, however slow the answers.
    pub(crate) rate: u64,
    /// Connections.
    pub(crate) connections: Connections,
    /// Whether every invariant is checked.
    pub(crate) checked: bool,
}

/// A settled mesh under load. Time moves in [`MeshUnderLoad::run`].
pub(crate) struct MeshUnderLoad {
    /// The mesh.
    pub(crate) mesh: Mesh,
    load: Arc<Load<SimHost>>,
    oversight: Option<Oversight>,
    observations: u64,
}

impl MeshUnderLoad {
    /// Builds it and lets it settle; the load begins when time moves on.
    ///
    /// # Errors
    /// As [`Mesh::new`] and [`Mesh::settle`].
    pub(crate) fn new(shape: Shape) -> Result<Self, Box<dyn Error>> {
        let (mut mesh, started) = built(shape.nodes, shape.pods)?;
        let mut oversight = shape.checked.then(Oversight::default);
        if shape.checked {
            mesh.sim().add_tap(Arc::new(WireWatch::new(mesh.journal().clone())));
        }
        mesh.settle(Duration::from_secs(600))?;
        let observations = watch(&mesh, oversight.as_mut());
        let cluster = mesh.cluster().config();
        let server = cluster.dns_addresses().first().map(|address| SocketAddr::new(*address, 53));
        let resolver = server.map(|server| Resolver::of_cluster(server, &cluster.cluster_domain)).unwrap_or_default();
        let resolver = Arc::new(resolver);
        let services = shape.pods.div_ceil(REPLICAS);
        let callers_each = if shape.connections == Connections::Kept { REPLICAS } else { 1 };
        let mut callers = Vec::new();
        for (deployment, clients) in std::mem::take(&mut *started.0.lock()) {
            let request = Arc::new(request((deployment + 1) % services));
            let clients = clients.into_iter().take(callers_each);
            callers.extend(clients.map(|client| (Client { resolver: resolver.clone(), ..client }, request.clone())));
        }
        let node = mesh.sim().add_node(NodeSpec { name: "load".to_owned(), ..NodeSpec::default() });
        let driver = mesh.sim().process(mesh.sim().node_namespace(node), "load");
        let schedule = Schedule {
            start: mesh.now(),
            end: Instant::FAR_FUTURE,
            count: shape.rate,
            per: Duration::from_secs(1),
            random: false,
        };
        let keep_alive = shape.connections == Connections::Kept;
        let spec = LoadSpec { schedule, concurrency: 10_000, keep_alive, good: Vec::new() };
        let load = Load::start(&driver, spec, Arc::new(Callers(callers)));
        Ok(MeshUnderLoad { mesh, load, oversight, observations })
    }

    /// Runs for so long.
    ///
    /// # Errors
    /// The engine stopped.
    pub(crate) fn run(&mut self, span: Duration) -> Result<(), Box<dyn Error>> {
        let until = self.mesh.now() + span;
        while self.mesh.now() < until {
            self.mesh.run_until((self.mesh.now() + SLICE).min(until))?;
            self.observations += watch(&self.mesh, self.oversight.as_mut());
        }
        Ok(())
    }

    /// What came of the load so far.
    pub(crate) fn tally(&self) -> LoadTally {
        self.load.tally()
    }

    /// How much was observed so far.
    pub(crate) fn observations(&self) -> u64 {
        self.observations
    }

    /// What the invariants found; `None` if they were not asked.
    pub(crate) fn findings(self) -> Option<Vec<String>> {
        let violations = self.oversight?.checkers.finish(self.mesh.now(), &Quiescence::default());
        Some(violations.iter().map(|violation| format!("{violation:?}")).collect())
    }
}

/// A settled mesh with an echo server in every pod and no load.
///
/// # Errors
/// As [`Mesh::new`] and [`Mesh::settle`].
pub(crate) fn settled(nodes: usize, pods: usize) -> Result<Mesh, Box<dyn Error>> {
    let (mut mesh, _) = built(nodes, pods)?;
    mesh.settle(Duration::from_secs(600))?;
    Ok(mesh)
}

fn built(nodes: usize, pods: usize) -> Result<(Mesh, Started), Box<dyn Error>> {
    let documents = yaml::parse("mesh.yaml", &manifests(pods, REPLICAS)).map_err(|errors| format!("{errors:?}"))?;
    let config = MeshConfig { cluster: ClusterConfig::with_nodes(nodes), ..MeshConfig::default() };
    let started = Started::default();
    let (mesh, _) = Mesh::new(config, &documents, started.clone())?;
    Ok((mesh, started))
}

/// Takes what was observed, and has it checked if anyone checks.
fn watch(mesh: &Mesh, mut oversight: Option<&mut Oversight>) -> u64 {
    let observations = mesh.journal().take();
    if let Some(oversight) = &mut oversight {
        observations.iter().for_each(|observation| oversight.observe(observation));
    }
    observations.len() as u64
}

/// The invariants, told of the truth and of its arrival as in a scenario.
struct Oversight {
    checkers: Checkers,
    version: u64,
    nodes: usize,
    acknowledged: BTreeMap<Arc<str>, u64>,
}

impl Default for Oversight {
    fn default() -> Self {
        let checkers = Checkers::new(Deltas::default(), &BTreeSet::new());
        Oversight { checkers, version: 0, nodes: 0, acknowledged: BTreeMap::new() }
    }
}

impl Oversight {
    fn observe(&mut self, observation: &Observation) {
        let mut arrived = false;
        match &observation.kind {
            ObservationKind::Cluster(cluster) => {
                self.version += 1;
                self.nodes = cluster.nodes().count();
                self.checkers.cluster(observation.at, cluster.clone());
            }
            ObservationKind::ConfigAcked { node, version } => {
                self.acknowledged.insert(node.clone(), *version);
                let current = self.acknowledged.values().filter(|version| **version >= self.version).count();
                arrived = *version == self.version && current == self.nodes;
            }
            _ => {}
        }
        self.checkers.observe(observation);
        if arrived {
            self.checkers.settled(observation.at);
        }
    }
}

/// Clients that started, by the number of their Deployment.
#[derive(Clone, Default)]
struct Started(Arc<Mutex<BTreeMap<usize, Vec<Client<SimHost>>>>>);

impl AppFactory for Started {
    fn start(&mut self, start: AppStart<'_>) -> Option<Box<dyn App>> {
        let port =
            EchoPort { port: 8080, protocol: PortProtocol::Http, behaviour: Arc::default(), tries: Tries::default() };
        serve(start.host, start.app_pod, &[port], start.journal).ok()?;
        let deployment = start.pod.meta.label("app")?.strip_prefix("app-")?.parse().ok()?;
        let (host, pod, journal) = (start.host.clone(), start.app_pod.clone(), start.journal.clone());
        let client = Client { host, pod, resolver: Arc::default(), journal };
        self.0.lock().entry(deployment).or_default().push(client);
        None
    }
}

/// Who calls what, in turns.
struct Callers(Vec<(Client<SimHost>, Arc<HttpRequest>)>);

impl Traffic<SimHost> for Callers {
    fn request(&self, number: u64) -> Option<(Client<SimHost>, Arc<HttpRequest>)> {
        let index = number.checked_rem(self.0.len() as u64)?;
        self.0.get(usize::try_from(index).ok()?).cloned()
    }
}

fn request(deployment: usize) -> HttpRequest {
    let host = format!("app-{deployment}.{}", namespace(deployment));
    let target = Target { scheme: sim::app::Scheme::Http, host: host.into(), port: 80, path: "/".into() };
    HttpRequest {
        target,
        method: "GET".into(),
        headers: vec![("user-agent".to_owned(), "meshsim".to_owned())],
        body: Default::default(),
        http2: false,
        kind: RequestKind::Plain,
        timeout: Duration::from_secs(10),
    }
}
