//! Running a [`Plan`] on real sockets, in real time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::TokioHost;

use super::entry::{Entries, Tell, Who};
use super::{Handlers, RunError, RunOptions, Runner};
use crate::cluster::Cluster;
use crate::loopback::{Block, Loopback, LoopbackHost, Stop};
use crate::mesh::Mesh;
use crate::record::RunRecord;
use crate::scenario::Plan;

/// How long a mesh that is asked to end lets connections end by themselves.
const DRAIN: Duration = Duration::from_secs(5);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(10);
/// How long a mesh has to settle before it is said to be there all the same.
const SETTLING: Duration = Duration::from_secs(20);

/// How a plan is run on real sockets.
#[derive(Default)]
pub struct LiveOptions {
    /// Who may ask for an early end.
    pub stop: Stop,
    /// How long the mesh stays after its steps; `None` ends it with them.
    pub stay: Option<Duration>,
    /// How clients outside the mesh get into it.
    pub entries: Entries,
    /// Hears what goes wrong with them.
    pub tell: Option<Tell>,
    /// Told once the mesh has settled.
    pub settled: Option<Box<dyn FnOnce(&Settled)>>,
}

/// A mesh that has settled, for whoever is outside.
pub struct Settled {
    /// Pods, in order of name.
    pub pods: Vec<SettledPod>,
    /// Whether everything has followed from the manifests.
    pub whole: bool,
    /// The entries, each with the port it listens on where the system chose it.
    pub entries: Entries,
}

/// A pod of a mesh on real sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledPod {
    /// `namespace/name`.
    pub name: String,
    /// Its address in the mesh.
    pub address: IpAddr,
    /// Where it is on this machine.
    pub place: Ipv4Addr,
    /// Whether its node's proxy carries its connections.
    pub captured: bool,
    /// Ports it declares, each with where it is on this machine.
    pub ports: Vec<(u16, u16)>,
}

/// Runs a plan on real sockets, with addresses of `block`. Within [`proxy_core::host::TokioRuntime::drive`], on its thread.
///
/// Everything is as [`run`](super::run) has it, but time is real, nothing repeats bit for bit, and invariants are not
/// judged: they need to know what happened in which order. Faults that hold up packets, processes or nodes fail as steps.
///
/// # Errors
/// As [`run`](super::run).
pub fn run_live(
    plan: &Plan,
    options: &RunOptions,
    mut live: LiveOptions,
    host: TokioHost,
    block: Block,
) -> Result<RunRecord, RunError> {
    let open = live.entries.open(&host).map_err(RunError::Entry)?;
    open.settle(&mut live.entries);
    let ground = Loopback::new(host.clone(), block, live.stop.clone());
    let address_of = ground.addresses();
    let mut runner = Runner::new(plan, options, Handlers::<LoopbackHost>::default(), |config| {
        config.socks5 = true;
        ground
    })?;
    live.entries.check(runner.mesh.cluster()).map_err(RunError::Entry)?;
    let who = Who {
        clients: runner.clients.clone(),
        otherwise: live.entries.otherwise.clone(),
        address_of,
        tell: live.tell.clone().unwrap_or_else(|| Arc::new(|_| {})),
    };
    open.serve(&host, &who);
    let stall = runner.live(&mut live).err();
    Ok(runner.record(stall))
}

impl Runner<'_, Loopback> {
    fn live(&mut self, live: &mut LiveOptions) -> Result<(), crate::exec::StallReport> {
        if let Some(tell) = live.settled.take() {
            let limit = self.mesh.now() + SETTLING;
            while self.settled.is_none() && !self.interrupted && self.mesh.now() < limit {
                self.advance(self.mesh.now() + LOOK)?;
            }
            tell(&settled(&self.mesh, live.entries.clone()));
        }
        self.play()?;
        if let Some(stay) = live.stay.filter(|_| !self.interrupted) {
            self.advance(self.mesh.now() + stay)?;
        }
        let draining = self.mesh.drain(DRAIN);
        let limit = self.mesh.now() + DRAIN * 2;
        // Asked again, it does not wait.
        let early = std::mem::take(&mut self.interrupted);
        while draining.left() > 0 && self.mesh.now() < limit && !self.interrupted {
            self.advance(self.mesh.now() + LOOK)?;
        }
        self.interrupted = early;
        Ok(())
    }
}

fn settled(mesh: &Mesh<Loopback>, entries: Entries) -> Settled {
    let cluster: &Cluster = mesh.cluster();
    let ground = mesh.ground();
    let pod = |pod: &Arc<crate::cluster::Pod>| {
        let address = *pod.addresses.first()?;
        let port = |port: u16| (port, ground.port_of(address, port));
        Some(SettledPod {
            name: pod.meta.key.to_string(),
            address,
            place: ground.place_of(address)?,
            captured: mesh.is_captured(&pod.meta.key),
            ports: pod.ports().map(|declared| port(declared.number)).collect(),
        })
    };
    Settled { pods: cluster.pods().filter_map(pod).collect(), whole: mesh.is_settled(), entries }
}
