//! [`Controller`]: Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs, defaults filled in.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use proxy_core::host::Instant;
use xxhash_rust::xxh3::Xxh3;

use super::object::{Kind, Meta};
use super::pod::PodTemplate;
use super::selector::Selector;

/// Most pods one controller may want.
pub const REPLICAS_MAX: u32 = 100_000;

/// Whatever keeps pods alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Name, labels, annotations.
    pub meta: Meta,
    /// Which of the five, and what only that one has.
    pub spec: ControllerSpec,
    /// Which pods are its own.
    pub selector: Selector,
    /// What its pods are made from.
    pub template: Arc<PodTemplate>,
    /// Changes when the template does: `pod-template-hash`, or `controller-revision-hash` of stateful and daemon sets.
    pub template_hash: Arc<str>,
    /// When its pods were last told to be replaced (`kubectl rollout restart`); counts as part of the template.
    pub restarted: Option<Instant>,
}

/// Which controller, and what only that one has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControllerSpec {
    /// Keeps a ReplicaSet for each template and moves between them.
    Deployment {
        /// How many pods.
        replicas: u32,
        /// How it moves to a new template.
        strategy: Strategy,
    },
    /// Keeps a number of equal pods.
    ReplicaSet {
        /// How many pods.
        replicas: u32,
    },
    /// Keeps numbered pods, in order unless parallel.
    StatefulSet {
        /// How many pods.
        replicas: u32,
        /// Governing service, for pod host names.
        service_name: Arc<str>,
        /// `podManagementPolicy: Parallel`: does not wait for the one before.
        parallel: bool,
        /// Number of the first pod.
        first_ordinal: u32,
    },
    /// Keeps a pod on each node that fits.
    DaemonSet,
    /// Keeps a number of pods. They stay running as servers: containers have no code, so nothing ends them.
    Job {
        /// `min(parallelism, completions)`.
        pods: u32,
    },
}

/// How a Deployment moves to a new template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Old pods go before new ones come.
    Recreate,
    /// New pods come as old ones go.
    RollingUpdate {
        /// How many more than `replicas` may exist.
        max_surge: Amount,
        /// How many fewer than `replicas` may be available.
        max_unavailable: Amount,
    },
}

/// A number of pods, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// That many.
    Count(u32),
    /// That many in a hundred.
    Percent(u32),
}

impl Amount {
    /// Of so many, rounded up.
    pub fn of_rounded_up(self, replicas: u32) -> u32 {
        match self {
            Amount::Count(count) => count,
            Amount::Percent(percent) => replicas.saturating_mul(percent).div_ceil(100),
        }
    }

    /// Of so many, rounded down.
    pub fn of_rounded_down(self, replicas: u32) -> u32 {
        match self {
            Amount::Count(count) => count,
            Amount::Percent(percent) => replicas.saturating_mul(percent) / 100,
        }
    }
}

impl Controller {
    /// One that was never restarted.
    pub(super) fn new(meta: Meta, spec: ControllerSpec, selector: Selector, template: Arc<PodTemplate>) -> Self {
        let template_hash = template_hash(&template, None);
        Controller { meta, spec, selector, template, template_hash, restarted: None }
    }

    /// Tells its pods to be replaced.
    pub(super) fn restart(&mut self, at: Option<Instant>) {
        self.restarted = at;
        self.template_hash = template_hash(&self.template, at);
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self.spec {
            ControllerSpec::Deployment { .. } => Kind::Deployment,
            ControllerSpec::ReplicaSet { .. } => Kind::ReplicaSet,
            ControllerSpec::StatefulSet { .. } => Kind::StatefulSet,
            ControllerSpec::DaemonSet => Kind::DaemonSet,
            ControllerSpec::Job { .. } => Kind::Job,
        }
    }

    /// How many pods it wants; `None` for a DaemonSet, which counts nodes.
    pub fn replicas(&self) -> Option<u32> {
        match self.spec {
            ControllerSpec::Deployment { replicas, .. }
            | ControllerSpec::ReplicaSet { replicas }
            | ControllerSpec::StatefulSet { replicas, .. } => Some(replicas),
            ControllerSpec::Job { pods } => Some(pods),
            ControllerSpec::DaemonSet => None,
        }
    }
}

/// As Kubernetes writes such hashes: the decimal digits of 32 bits, each as a letter or digit that cannot spell words.
fn template_hash(template: &PodTemplate, restarted: Option<Instant>) -> Arc<str> {
    let mut hasher = Xxh3::new();
    template.hash(&mut hasher);
    restarted.hash(&mut hasher);
    safe_text(&(hasher.finish() as u32).to_string()).into()
}

/// Vowels, and digits that look like them, are left out.
const SAFE_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

fn safe_text(text: &str) -> String {
    text.bytes().map(|byte| char::from(SAFE_LETTERS[usize::from(byte) % SAFE_LETTERS.len()])).collect()
}

/// The name of the `serial`-th pod a controller makes: the controller's name, cut to leave room, and five letters.
pub(super) fn pod_name(seed: u64, namespace: &str, controller: &str, serial: u64) -> String {
    const LONGEST: usize = 63;
    const LETTERS: usize = 5;
    let mut hasher = Xxh3::with_seed(seed);
    (namespace, controller, serial).hash(&mut hasher);
    let mut bits = hasher.finish();
    let letters = SAFE_LETTERS.len() as u64;
    let suffix: String = (0..LETTERS)
        .map(|_| {
            let letter = SAFE_LETTERS[(bits % letters) as usize];
            bits /= letters;
            char::from(letter)
        })
        .collect();
    // Names are ASCII.
    let base = controller.get(..LONGEST - LETTERS - 1).unwrap_or(controller);
    format!("{base}-{suffix}")
}
