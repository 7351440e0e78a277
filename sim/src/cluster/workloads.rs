//! [`Controller`]: Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs, defaults filled in.

use std::sync::Arc;

use super::object::{Kind, Meta};
use super::pod::PodTemplate;
use super::selector::Selector;

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
    /// Makes pods once and does not replace them. Pods of a job stay running as servers: containers have no code, so
    /// nothing ends them.
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
