//! What every run is held to.
//!
//! One checker per invariant, all on by default. A checker sees observations ([`crate::record`]) and the truth: the cluster as
//! its YAML says, which no proxy can see. What should have happened is decided by [`mod@reference`], which shares no code with the
//! proxies, with the translation to their configuration or with their policy evaluation.
//!
//! | id | checker |
//! |---|---|
//! | I1 | [`policy`] |
//! | I2 | [`transition`] |
//! | I3 | [`plaintext`] |
//! | I4 | [`traversal`] |
//! | I5 | [`identity`] |
//! | I6 | [`delivery`] |
//! | I7 | [`streams`] |
//! | I8 | [`progress`] |
//! | I9 | [`graceful`] |
//! | I10 | [`freshness`] |
//! | I11 | [`convergence`] |
//! | I12 | [`liveness`] |
//! | I13 | [`resources`] |
//! | I14 | [`certificates`] |
//! | I15 | [`loops`], [`names`] |

mod certificates;
mod convergence;
mod delivery;
mod disturbances;
mod finding;
mod flows;
mod freshness;
mod graceful;
mod identity;
mod liveness;
mod loops;
mod names;
mod plaintext;
mod policy;
mod progress;
mod reference;
mod resources;
mod streams;
mod transition;
mod traversal;
mod truth;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;

use crate::cluster::Cluster;
use crate::record::{Observation, Violation};

pub use finding::{Finding, InvariantId};
pub use truth::Truth;
pub use watch::WireWatch;

/// How long after a cause its consequence must have come, in virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deltas {
    /// Δ_policy: from the last acknowledgement of a configuration to its enforcement on open connections. 100 ms.
    pub policy: Duration,
    /// Δ_enrol: from the agent's word that both pods are in the mesh to no plaintext between them. 1 s: that word reaches
    /// callers' proxies by way of the control plane.
    pub enrollment: Duration,
    /// Δ_bind: from a change of who stands before a service to every new connection's following it. 2 s.
    pub binding: Duration,
    /// Δ_ep: how long ago an endpoint may have ceased to be one and still be chosen. 2 s.
    pub endpoint: Duration,
    /// Δ_stale: from the last acknowledgement of a change of endpoints to nobody dialling those that are gone. 1 s.
    pub stale: Duration,
    /// Δ_prog: from an open connection to a server's reading its first byte. 10 s: longer than a proxy may wait for its own
    /// workload or for a policy.
    pub progress: Duration,
    /// Δ_conv: from the end of changes and faults to everything being as it follows from the truth. 40 s: a proxy that
    /// refused a pod is asked again after 5 s, a certificate after 15 s.
    pub convergence: Duration,
    /// Δ_cert: how long a certificate is good for at least. 12 h: proxies ask for a day and renew after half of it.
    pub certificate: Duration,
    /// How long a certificate is good for at most: a day, or what the scenario says.
    pub certificate_validity: Duration,
    /// How long after that it may still be taken: 2 s, for a handshake under way.
    pub expiry: Duration,
    /// From the end of a fault to everybody's knowing whose peer is gone. 1 h: nine probes at three minutes, and then some.
    pub keepalive: Duration,
    /// From one end's finishing its direction to the other's seeing it, once it has read all. 2 s.
    pub half_close: Duration,
    /// How long anyone may wait for anything (a dial, an answer to it), from its beginning or from the end of the last
    /// fault. 60 s.
    pub wait: Duration,
}

impl Deltas {
    /// With certificates that are good for so long. Nine tenths of it count as certain: a certificate is as old as the
    /// request for it.
    pub fn with_certificates_of(self, validity: Duration) -> Self {
        Deltas { certificate: self.certificate.min(validity / 10 * 9), certificate_validity: validity, ..self }
    }
}

impl Default for Deltas {
    fn default() -> Self {
        Deltas {
            policy: Duration::from_millis(100),
            enrollment: Duration::from_secs(1),
            binding: Duration::from_secs(2),
            endpoint: Duration::from_secs(2),
            stale: Duration::from_secs(1),
            progress: Duration::from_secs(10),
            convergence: Duration::from_secs(40),
            certificate: Duration::from_secs(12 * 3600),
            certificate_validity: Duration::from_secs(24 * 3600),
            expiry: Duration::from_secs(2),
            keepalive: Duration::from_secs(3600),
            half_close: Duration::from_secs(2),
            wait: Duration::from_secs(60),
        }
    }
}

/// What the engine says at the end of a run, after everything was given time to come to rest.
#[derive(Clone, Debug, Default)]
pub struct Quiescence {
    /// Tasks that panicked: name and message.
    pub panics: Vec<String>,
    /// A stall or spin report, if the engine gave one.
    pub stall: Option<String>,
    /// What does not follow from the truth though it was given Δ_conv to, in words.
    pub diverged: Vec<String>,
    /// Whether everything was given time to come to rest: without, resource checks have nothing to say.
    pub at_rest: bool,
}

/// One invariant's checker.
trait Checker: Send {
    /// Time has come this far. What is seen at `at` itself is not part of the world yet.
    fn advance(&mut self, _world: &World, _at: Instant, _findings: &mut Vec<Finding>) {}

    /// One more observation. The truth and the flows already include it.
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>);

    /// The truth changed or was acknowledged; see [`Truth`].
    fn truth_changed(&mut self, _world: &World, _at: Instant, _findings: &mut Vec<Finding>) {}

    /// The run is over.
    fn finish(&mut self, _world: &World, _at: Instant, _end: &Quiescence, _findings: &mut Vec<Finding>) {}
}

/// What all checkers may look at.
struct World {
    truth: Truth,
    flows: flows::Flows,
    disturbances: disturbances::Disturbances,
    deltas: Deltas,
}

impl World {
    fn new(deltas: Deltas) -> Self {
        let (truth, flows) = (Truth::default(), flows::Flows::default());
        World { truth, flows, disturbances: disturbances::Disturbances::default(), deltas }
    }
}

/// All checkers, and what they share.
///
/// Feed it in order of time: [`Checkers::cluster`], [`Checkers::settled`] and [`Checkers::observe`]; end with
/// [`Checkers::finish`]. At most [`FINDINGS_MAX`] violations per invariant are kept: one is enough to fail a run.
pub struct Checkers {
    world: World,
    checkers: Vec<(InvariantId, Box<dyn Checker>)>,
    violations: Vec<(InvariantId, Violation)>,
}

/// Violations kept per invariant.
pub const FINDINGS_MAX: usize = 8;

impl Checkers {
    /// All checkers but those in `off`.
    pub fn new(deltas: Deltas, off: &BTreeSet<InvariantId>) -> Self {
        let mut checkers: Vec<(InvariantId, Box<dyn Checker>)> = vec![
            (InvariantId::Policy, Box::new(policy::PolicySettled::default())),
            (InvariantId::Transition, Box::new(transition::PolicyInTransition)),
            (InvariantId::Plaintext, Box::new(plaintext::NoPlaintext)),
            (InvariantId::Traversal, Box::new(traversal::WaypointTraversal)),
            (InvariantId::Identity, Box::new(identity::IdentityTruth::default())),
            (InvariantId::Delivery, Box::new(delivery::RightDelivery::default())),
            (InvariantId::Streams, Box::new(streams::ByteExact::default())),
            (InvariantId::Progress, Box::new(progress::Progress::default())),
            (InvariantId::Graceful, Box::new(graceful::GracefulChange::default())),
            (InvariantId::Freshness, Box::new(freshness::FreshEndpoints::default())),
            (InvariantId::Convergence, Box::new(convergence::Convergence)),
            (InvariantId::Liveness, Box::new(liveness::Liveness)),
            (InvariantId::Resources, Box::new(resources::Bounded::default())),
            (InvariantId::Certificates, Box::new(certificates::CertificateContinuity::default())),
            (InvariantId::Loops, Box::new(loops::NoLoops::default())),
            (InvariantId::Loops, Box::new(names::TrueNames::default())),
        ];
        checkers.retain(|(id, _)| !off.contains(id));
        Checkers { world: World::new(deltas), checkers, violations: Vec::new() }
    }

    /// The times it judges by.
    pub fn deltas(&self) -> &Deltas {
        &self.world.deltas
    }

    /// The cluster is now this. Call at each change, the first time before anything else.
    pub fn cluster(&mut self, at: Instant, cluster: Arc<Cluster>) {
        self.world.truth.cluster(at, cluster);
        self.tell_truth(at);
    }

    /// Every proxy has acknowledged the configuration of the cluster as it is now.
    pub fn settled(&mut self, at: Instant) {
        self.world.truth.settled(at);
        self.tell_truth(at);
    }

    /// One more observation.
    pub fn observe(&mut self, observation: &Observation) {
        let mut findings = Vec::new();
        for (id, checker) in &mut self.checkers {
            checker.advance(&self.world, observation.at, &mut findings);
            keep(&mut self.violations, *id, observation.at, &mut findings);
        }
        self.world.truth.observe(observation);
        self.world.disturbances.observe(observation);
        self.world.flows.observe(observation, &self.world.truth);
        for (id, checker) in &mut self.checkers {
            checker.observe(&self.world, observation, &mut findings);
            keep(&mut self.violations, *id, observation.at, &mut findings);
        }
        self.world.flows.forget(observation);
    }

    /// The run is over. Violations, in order of time.
    pub fn finish(mut self, at: Instant, end: &Quiescence) -> Vec<Violation> {
        let mut findings = Vec::new();
        for (id, checker) in &mut self.checkers {
            checker.finish(&self.world, at, end, &mut findings);
            keep(&mut self.violations, *id, at, &mut findings);
        }
        self.violations.sort_by_key(|(id, violation)| (violation.at_ns, *id));
        self.violations.into_iter().map(|(_, violation)| violation).collect()
    }

    fn tell_truth(&mut self, at: Instant) {
        let mut findings = Vec::new();
        for (id, checker) in &mut self.checkers {
            checker.truth_changed(&self.world, at, &mut findings);
            keep(&mut self.violations, *id, at, &mut findings);
        }
    }
}

#[inline]
fn keep(kept: &mut Vec<(InvariantId, Violation)>, id: InvariantId, at: Instant, findings: &mut Vec<Finding>) {
    if findings.is_empty() {
        return;
    }
    for finding in findings.drain(..) {
        if kept.iter().filter(|(other, _)| *other == id).count() < FINDINGS_MAX {
            kept.push((id, finding.into_violation(id, at)));
        }
    }
}
