//! Running a [`Plan`]: the mesh is made, steps happen when they are due, everything is observed, and what came of it is
//! judged and written down.

mod answer;
mod doing;
mod entry;
mod handlers;
mod live;
mod outcome;
mod oversight;
mod patience;
mod tuning;
mod watch;
mod whole;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::host::Instant;

use self::doing::Doing;
pub use self::entry::{Entries, Forward, Tell, pod_owner};
pub use self::handlers::Handlers;
pub use self::live::{LiveOptions, Settled, SettledPod, run_live};
use self::oversight::Oversight;
use self::tuning::tune;
use self::world::{Clients, EchoEverywhere, LateView, LoadTraffic, Pods};
use super::conditions::conditions_of;
use super::path::{Paths, Wanted};
use super::plan::{Action, ParsedManifest, Plan, PlannedLoad, PlannedStep};
use super::replay::Logger;
use super::schema::{ClosingWay, LinkForm, NetworkSection};
use super::sightings::Sightings;
use super::timeline::Timeline;
use crate::app::{Load, LoadSpec, Order, Resolver, Schedule, StreamHandle, Tries};
use crate::cluster::{Diagnostic, Problem};
use crate::exec::{StallKind, StallReport, TaskOrder};
use crate::fabric::{Latency, Link, LinkTable, NodeSpec};
use crate::ground::Ground;
use crate::invariant::WireWatch;
use crate::mesh::{Delivery, Mesh, MeshConfig, MeshError, simulation};
use crate::pcap::Capture;
use crate::record::RunRecord;

/// How often the observations are read while time passes, and progress is told.
const SLICE: Duration = Duration::from_millis(50);
/// How seldom at most, while there are none.
const SLICE_MOST: Duration = Duration::from_secs(10);
/// How long the mesh runs on once everything is over, so that what was closed is seen to be gone.
const QUIET: Duration = Duration::from_secs(2);
/// How long the paths of connections that are over are kept, if nobody is known to ask for them.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Events of a run at most, if [`RunOptions`] do not say.
const EVENTS_MAX: u64 = 2_000_000_000;
/// How much later than an answer reached its client a proxy may tell of it, where several threads carry a mesh.
const LAG: Duration = Duration::from_millis(500);

/// How a plan is run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Instead of the scenario's own.
    pub seed: Option<u64>,
    /// How configuration travels, instead of the scenario's own way.
    pub delivery: Option<Delivery>,
    /// Stop here; later steps do not happen.
    pub until: Option<Duration>,
    /// Order of tasks ready at the same instant.
    pub task_order: TaskOrder,
    /// After so many events the run is ended as one that crashed; 2,000,000,000 if not given.
    pub events_max: Option<u64>,
    /// Who writes down what goes over the wires.
    pub captures: Vec<Capture>,
    /// Where what happens is drawn, for Perfetto.
    pub timeline: Option<Timeline>,
    /// Where what happens is logged, to find where two runs part.
    pub log: Option<Logger>,
    /// Where states a sweep wants to see are counted.
    pub sightings: Option<Sightings>,
    /// The record tells of every request who decided what at each hop, not only where the scenario asks for it.
    pub explain: bool,
    /// Where the run tells how far it has come, in virtual nanoseconds, for whoever shows progress.
    pub reached: Option<Arc<AtomicU64>>,
}

/// Why there is no result.
#[derive(Debug)]
pub enum RunError {
    /// The input is wrong after all.
    Input(Vec<Diagnostic>),
    /// The mesh could not be made.
    Mesh(MeshError),
    /// An entry for clients outside cannot be had; in words.
    Entry(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Input(diagnostics) => {
                let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            RunError::Mesh(error) => error.fmt(f),
            RunError::Entry(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs a plan to its end.
///
/// Deterministic: equal plans and options give equal records. Every invariant the plan does not switch off is checked.
///
/// # Errors
/// The input is wrong in a way only running shows, or the mesh could not be made. What goes wrong in the mesh itself is in
/// the record.
pub fn run(plan: &Plan, options: &RunOptions) -> Result<RunRecord, RunError> {
    run_with(plan, options, Handlers::default())
}

/// As [`run`], with applications of the caller's own in some pods.
///
/// # Errors
/// As [`run`].
pub fn run_with(plan: &Plan, options: &RunOptions, handlers: Handlers) -> Result<RunRecord, RunError> {
    let mut runner = Runner::new(plan, options, handlers, |config| simulation(config))?;
    let stall = runner.play().err();
    Ok(runner.record(stall))
}

struct Runner<'p, G: Ground> {
    plan: &'p Plan,
    options: &'p RunOptions,
    seed: u64,
    mesh: Mesh<G>,
    clients: Clients<G::Host>,
    paths: Paths,
    steps: Vec<Taken<'p>>,
    loads: Vec<(&'p PlannedLoad, Arc<Load<G::Host>>)>,
    held: BTreeMap<String, StreamHandle>,
    problems: Arc<Mutex<Vec<String>>>,
    notices: Vec<String>,
    oversight: Option<Oversight>,
    settled: Option<Instant>,
    /// When the paths nobody asks for were last let go.
    forgotten: Instant,
    /// When everything was over and what is held open was let go: what happens later is not the scenario's.
    closing: Option<Instant>,
    /// What had not followed from the truth in time, in words.
    diverged: Vec<String>,
    /// Whoever runs it wanted it to end before it was over.
    interrupted: bool,
}

/// A step that was taken.
struct Taken<'p> {
    step: &'p PlannedStep,
    doing: Doing,
    /// Why it could not be done, if so.
    failure: Option<String>,
}

impl<'p, G: Ground> Runner<'p, G> {
    fn new(
        plan: &'p Plan,
        options: &'p RunOptions,
        handlers: Handlers<G::Host>,
        ground: impl FnOnce(&mut MeshConfig) -> G,
    ) -> Result<Self, RunError> {
        let seed = options.seed.unwrap_or(plan.seed);
        let mut config =
            MeshConfig { links: link_table(&plan.network), cluster: plan.cluster.clone(), ..MeshConfig::default() };
        config.control_plane.delivery = options.delivery.unwrap_or(plan.delivery);
        config.sim.seed = seed;
        config.sim.task_order = options.task_order;
        config.sim.limits.events = options.events_max.unwrap_or(EVENTS_MAX);
        config.cluster.seed = seed;
        tune(&mut config, &plan.tuning);
        if !options.captures.is_empty() {
            config.ztunnel.acceptor.tls.key_log = Some(Arc::new(watch::Secrets(options.captures.clone())));
        }
        let epoch = config.sim.epoch;
        let view: LateView = Arc::new(OnceLock::new());
        let pods = Pods::default();
        let problems = Arc::new(Mutex::new(Vec::new()));
        let apps = EchoEverywhere {
            handlers,
            rules: plan.apps.iter().map(|rule| (rule.clone(), Tries::default())).collect(),
            view: view.clone(),
            pods: pods.clone(),
            problems: problems.clone(),
        };
        let ground = ground(&mut config);
        let (mesh, _) = Mesh::on(ground, config, &[], apps).map_err(|error| match error {
            MeshError::Manifests(diagnostics) => RunError::Input(diagnostics),
            other => RunError::Mesh(other),
        })?;
        let _ = view.set(mesh.view());
        if let Some(sim) = mesh.ground().simulation() {
            sim.add_tap(Arc::new(WireWatch::new(mesh.journal().clone())));
            if let Some(log) = &options.log {
                sim.add_tap(Arc::new(log.clone()));
            }
            options.captures.iter().for_each(|capture| capture.attach(sim, epoch));
        }
        let dns = plan.cluster.dns_addresses().first().map(|address| SocketAddr::new(*address, 53));
        let domain = &plan.cluster.cluster_domain;
        let resolver = Arc::new(dns.map(|server| Resolver::of_cluster(server, domain)).unwrap_or_default());
        let clients = Clients { pods, view, resolver, journal: mesh.journal().clone() };
        // Whoever judges has to know what happened in which order to the nanosecond: only a simulation tells.
        let oversight = mesh
            .ground()
            .simulation()
            .map(|_| Oversight::new(&plan.switched_off, plan.tuning.certificate_lifetime.map(|it| it.0)));
        let lag = if oversight.is_some() { Duration::ZERO } else { LAG };
        let notices = plan.notices.iter().map(ToString::to_string).collect();
        let mut runner = Runner {
            plan,
            options,
            seed,
            mesh,
            clients,
            paths: Paths::lagging(lag),
            steps: Vec::new(),
            loads: Vec::new(),
            held: BTreeMap::new(),
            problems,
            notices,
            oversight,
            settled: None,
            forgotten: Instant::START,
            closing: None,
            diverged: Vec::new(),
            interrupted: false,
        };
        for manifest in &plan.manifests {
            runner.mesh.apply(&manifest.documents, &manifest.options).map_err(RunError::Input)?;
        }
        runner.start_loads();
        Ok(runner)
    }

    fn start_loads(&mut self) {
        if self.plan.loads.is_empty() {
            return;
        }
        // Whoever keeps the time of a load is nobody's pod.
        let ground = self.mesh.ground();
        let node = ground.add_node(NodeSpec { name: "load".to_owned(), ..NodeSpec::default() });
        let driver = ground.process(ground.node_namespace(node), "load");
        for load in &self.plan.loads {
            let schedule = Schedule {
                start: Instant::START + load.during.from,
                end: Instant::START + load.during.to,
                count: load.rate.count,
                per: load.rate.per,
                random: load.arrivals == super::schema::Arrivals::Random,
            };
            let good = load.expect.as_ref().and_then(|expect| expect.form.status.clone());
            let spec = LoadSpec {
                schedule,
                concurrency: load.concurrency,
                keep_alive: load.keep_alive,
                good: good.map(|statuses| statuses.0).unwrap_or_default(),
            };
            let traffic = Arc::new(LoadTraffic::new(self.clients.clone(), load));
            self.loads.push((load, Load::start(&driver, spec, traffic)));
        }
    }

    fn limit(&self) -> Instant {
        self.options.until.map_or(Instant::FAR_FUTURE, |until| Instant::START + until)
    }

    fn play(&mut self) -> Result<(), StallReport> {
        let limit = self.limit();
        for step in &self.plan.steps {
            if step.at > limit {
                break;
            }
            self.advance(step.at)?;
            if self.interrupted {
                return Ok(());
            }
            self.take(step);
        }
        let last_load = self.loads.iter().map(|(load, _)| Instant::START + load.during.to).max();
        let patience = self.patience();
        while self.mesh.now() < limit && !self.is_over(last_load) && !self.interrupted {
            if self.mesh.now() >= patience {
                return Err(self.mesh.ground().stalled(StallKind::Late));
            }
            self.advance((self.mesh.now() + SLICE).min(limit))?;
        }
        if self.interrupted {
            return Ok(());
        }
        if self.options.until.is_some() {
            return self.advance(limit);
        }
        self.closing = Some(self.mesh.now());
        self.converge()?;
        for taken in &self.steps {
            taken.doing.finish();
        }
        if self.oversight.is_none() {
            return Ok(());
        }
        self.advance(self.mesh.now() + QUIET)
    }

    /// Ends every fault, and gives what follows from the truth the time it may take.
    fn converge(&mut self) -> Result<(), StallReport> {
        self.mesh.heal();
        let given = self.oversight.as_ref().map_or(Duration::ZERO, Oversight::convergence);
        let limit = self.mesh.now() + given;
        while !self.mesh.is_settled() && self.mesh.now() < limit {
            self.advance((self.mesh.now() + SLICE).min(limit))?;
        }
        self.diverged = self.mesh.divergences();
        Ok(())
    }

    fn is_over(&self, last_load: Option<Instant>) -> bool {
        let now = self.mesh.now();
        let held = |name: &str| self.held.get(name).cloned();
        self.steps.iter().all(|taken| taken.doing.is_over(now, held))
            && last_load.is_none_or(|last| now >= last)
            && self.loads.iter().all(|(_, load)| load.is_over())
    }

    /// Moves time forward and looks at what happens.
    fn advance(&mut self, to: Instant) -> Result<(), StallReport> {
        let mut slice = SLICE;
        loop {
            let next = (self.mesh.now() + slice).min(to);
            let result = self.mesh.run_until(next);
            let observations = self.mesh.journal().take();
            // While nothing happens there is nothing to look at.
            slice = if observations.is_empty() { (slice * 2).min(SLICE_MOST) } else { SLICE };
            for observation in observations {
                self.paths.observe(&observation);
                if let Some(timeline) = &self.options.timeline {
                    timeline.observe(&observation);
                }
                if let Some(sightings) = &self.options.sightings {
                    sightings.observe(&observation);
                }
                watch::name_addresses(&self.options.captures, &observation);
                if let Some(oversight) = &mut self.oversight {
                    oversight.observe(&observation);
                }
            }
            let now = self.mesh.now();
            if let Some(log) = &self.options.log {
                log.digest(now, self.mesh.ground().digest().unwrap_or_default());
            }
            if let Some(reached) = &self.options.reached {
                reached.store(now.as_nanos(), Ordering::Relaxed);
            }
            self.forget(now);
            if self.settled.is_none() && self.mesh.is_settled() {
                self.settled = Some(now);
            }
            result?;
            if self.mesh.ground().is_interrupted() {
                self.interrupted = true;
                self.mesh.ground().take_note();
            }
            if now >= to || self.interrupted {
                return Ok(());
            }
        }
    }

    /// Keeps the paths of steps and of failures; lets go of what a load leaves behind.
    fn forget(&mut self, now: Instant) {
        let elapsed = now.since_start();
        // A mesh on real sockets may have clients that nobody counts.
        let bounded = self.loads.is_empty() && self.mesh.ground().simulation().is_some();
        if bounded || elapsed < REMEMBERED || self.forgotten + REMEMBERED > now {
            return;
        }
        self.forgotten = now;
        let mut wanted = Wanted::default();
        for taken in &self.steps {
            taken.doing.wants(&mut wanted);
        }
        for (_, load) in &self.loads {
            wanted.locals.extend(load.failed_locals());
        }
        self.paths.forget(Instant::START + (elapsed - REMEMBERED), &wanted);
    }

    fn take(&mut self, step: &'p PlannedStep) {
        let (doing, failure) = match &step.action {
            Action::Request(plan) => (doing::requests(&self.clients, plan, self.mesh.now()), None),
            Action::Connect(plan) => {
                let doing = doing::stream(&self.clients, plan);
                if let (Some(name), Doing::Stream { handle, .. }) = (&plan.name, &doing) {
                    self.held.insert(name.clone(), handle.clone());
                }
                (doing, None)
            }
            Action::Exchange { on, send, timeout } => {
                if let Some(handle) = self.held.get(on) {
                    handle.order(Order::Send(*send));
                }
                (Doing::Exchange { name: on.clone(), deadline: self.mesh.now() + *timeout }, None)
            }
            Action::Close { connection, how } => {
                let order = if *how == ClosingWay::Reset { Order::Reset } else { Order::Finish };
                if let Some(handle) = self.held.get(connection) {
                    handle.order(order);
                }
                (Doing::Done, None)
            }
            Action::Check { connection } => (Doing::Check { name: connection.clone() }, None),
            Action::Inspect { object } => {
                (Doing::Inspect { conditions: conditions_of(self.mesh.cluster(), object) }, None)
            }
            Action::Hbone(plan) => (doing::hbone(&self.clients, plan, &self.mesh), None),
            change => (Doing::Done, self.change(change).err()),
        };
        self.steps.push(Taken { step, doing, failure });
    }

    fn change(&mut self, action: &Action) -> Result<(), String> {
        let in_words = |problem: Problem| problem.to_string();
        match action {
            Action::Apply(manifests) => {
                self.each(manifests, |mesh, manifest| mesh.apply(&manifest.documents, &manifest.options).map(|_| ()))
            }
            Action::Delete { objects, manifests } => {
                for object in objects {
                    self.mesh.delete(object, None).map_err(in_words)?;
                }
                self.each(manifests, |mesh, manifest| {
                    mesh.delete_documents(&manifest.documents, &manifest.options).map(|_| ())
                })
            }
            Action::Label { object, changes } => self.mesh.label(object, changes).map_err(in_words),
            Action::Scale { object, replicas } => self.mesh.scale(object, *replicas).map_err(in_words),
            Action::Restart { object } => self.mesh.restart(object).map_err(in_words),
            Action::Fault(plan) => self.mesh.begin_fault(&plan.name, &plan.what, &plan.fault, plan.lasts).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn each(
        &mut self,
        manifests: &[ParsedManifest],
        act: impl Fn(&mut Mesh<G>, &ParsedManifest) -> Result<(), Vec<Diagnostic>>,
    ) -> Result<(), String> {
        for manifest in manifests {
            act(&mut self.mesh, manifest).map_err(|wrong| {
                let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
                lines.join("\n")
            })?;
        }
        Ok(())
    }
}

/// The links a scenario asks for, defaults where it asks for nothing.
fn link_table(network: &NetworkSection) -> LinkTable {
    let mut table = LinkTable::default();
    let set = |link: &mut Link, form: &Option<LinkForm>| {
        let Some(form) = form else { return };
        let latency = form.latency.0;
        link.latency = match form.more.jitter {
            None => Latency::Constant(latency),
            Some(jitter) => Latency::Uniform { from: latency.saturating_sub(jitter.0), to: latency + jitter.0 },
        };
        link.bandwidth = form.more.bandwidth.map(|bandwidth| bandwidth.0).or(link.bandwidth);
        link.mtu = form.more.mtu.unwrap_or(link.mtu);
    };
    set(&mut table.same_node, &network.same_node);
    set(&mut table.cross_node, &network.cross_node);
    set(&mut table.cross_zone, &network.cross_zone);
    set(&mut table.cross_region, &network.cross_region);
    table
}
