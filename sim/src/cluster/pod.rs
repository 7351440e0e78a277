//! [`Pod`]: one pod and where it is in its life, and [`PodTemplate`], what it is made from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;

use super::enrollment::{BYPASS_INBOUND_ANNOTATION, DNS_CAPTURE_ANNOTATION};
use super::object::{Labels, Meta};

/// The annotation that says what has been done about redirection, as opposed to what labels intend.
pub const REDIRECTION_ANNOTATION: &str = "ambient.istio.io/redirection";

/// The label of pods that a control plane made for a gateway, and its value for waypoints.
pub(crate) const MANAGED_LABEL: &str = "gateway.istio.io/managed";
pub(crate) const MANAGED_VALUE: &str = "istio.io-mesh-controller";

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Labels include `pod-template-hash` and its like; the owner is the ReplicaSet, not the Deployment. The redirection
    /// annotation is here too.
    pub meta: Meta,
    /// What it runs.
    pub spec: Arc<PodSpec>,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// Whether its Ready condition is true: running, readiness delay over, not made unready on purpose. Stays as it was
    /// while terminating; see [`Pod::is_healthy`].
    pub ready: bool,
    /// Node name; `None` until scheduled.
    pub node: Option<Arc<str>>,
    /// Its addresses, primary family first; the node's for host-network pods. Empty until scheduled.
    pub addresses: Vec<IpAddr>,
    /// Times of its life so far and of what comes next.
    pub times: PodTimes,
}

/// What a pod runs: the part of a manifest the simulator acts on, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodSpec {
    /// `default` if none was given.
    pub service_account: Arc<str>,
    /// Regular containers, then init containers that stay (`restartPolicy: Always`).
    pub containers: Vec<Container>,
    /// Shares the node's addresses.
    pub host_network: bool,
    /// Pinned by the manifest.
    pub node_name: Option<Arc<str>>,
    /// Labels its node must have.
    pub node_selector: Labels,
    /// How long it may take to stop.
    pub termination_grace_period: Duration,
    /// The longest `initialDelaySeconds` of its readiness probes.
    pub readiness_delay: Duration,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// Unique in the pod.
    pub name: Arc<str>,
    /// Image reference as written; never pulled.
    pub image: Arc<str>,
    /// Arguments as written (`command` then `args`); never run, but applications may be chosen by them.
    pub arguments: Vec<Arc<str>>,
    /// Environment variables with literal values.
    pub environment: BTreeMap<Arc<str>, Arc<str>>,
    /// Declared ports.
    pub ports: Vec<ContainerPort>,
}

/// A declared container port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerPort {
    /// For named target ports.
    pub name: Option<Arc<str>>,
    /// 1..=65535.
    pub number: u16,
    /// TCP unless said.
    pub protocol: Protocol,
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the protocols' names")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodPhase {
    /// Created; scheduled or not; containers not started.
    Pending,
    /// Containers run.
    Running,
    /// Deleted, still there: containers got their signal, the grace period runs.
    Terminating,
    /// Over: its addresses are free. Seen only in the last event; gone pods leave the store.
    Gone,
}

/// Times of a pod's life. A time not reached yet is when it is due, if it is due by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodTimes {
    /// Got a node and addresses.
    pub scheduled: Option<Instant>,
    /// Containers start(ed).
    pub started: Option<Instant>,
    /// Became (or becomes) ready first.
    pub ready: Option<Instant>,
    /// Was deleted.
    pub terminating: Option<Instant>,
    /// Will be over.
    pub gone: Option<Instant>,
}

/// What the enrollment agent has done for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Redirection {
    /// Redirect rules are in place and the node proxy took the pod.
    Enabled,
    /// Redirect rules are in place, the node proxy has not taken the pod yet.
    Pending,
}

impl Redirection {
    /// The annotation's value.
    pub fn value(self) -> &'static str {
        match self {
            Redirection::Enabled => "enabled",
            Redirection::Pending => "pending",
        }
    }
}

impl Pod {
    /// What the enrollment agent has done, from the annotation.
    pub fn redirection(&self) -> Option<Redirection> {
        match self.meta.annotation(REDIRECTION_ANNOTATION)? {
            "enabled" => Some(Redirection::Enabled),
            "pending" => Some(Redirection::Pending),
            _ => None,
        }
    }

    /// Whether only what it sends is captured, by its annotation.
    pub fn bypasses_inbound_capture(&self) -> bool {
        self.meta.annotation(BYPASS_INBOUND_ANNOTATION) == Some("true")
    }

    /// Whether its DNS is captured when it is in the mesh: unless its annotation says no.
    pub fn captures_dns(&self) -> bool {
        self.meta.annotation(DNS_CAPTURE_ANNOTATION) != Some("false")
    }

    /// Whether it is an instance of a waypoint: it runs that proxy instead of an application, and says itself when it is
    /// ready.
    pub fn is_waypoint(&self) -> bool {
        self.meta.label(MANAGED_LABEL) == Some(MANAGED_VALUE)
    }

    /// Ready and not being deleted: what the control plane reports as healthy.
    pub fn is_healthy(&self) -> bool {
        self.ready && self.phase == PodPhase::Running
    }

    /// All declared ports, regular containers first.
    pub fn ports(&self) -> impl Iterator<Item = &ContainerPort> {
        self.spec.containers.iter().flat_map(|container| &container.ports)
    }

    /// The number of the first declared port of this name and protocol.
    pub fn port_named(&self, name: &str, protocol: Protocol) -> Option<u16> {
        self.ports()
            .find(|port| port.name.as_deref() == Some(name) && port.protocol == protocol)
            .map(|port| port.number)
    }
}

/// What a controller makes pods from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodTemplate {
    /// Labels of the pods, before controllers add theirs.
    pub labels: Labels,
    /// Annotations of the pods.
    pub annotations: Labels,
    /// What they run.
    pub spec: Arc<PodSpec>,
}

/// A step in a pod's life. Carries the pod as it was right after the step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// When.
    pub at: Instant,
    /// Which step.
    pub kind: PodEventKind,
    /// The pod right after it.
    pub pod: Arc<Pod>,
}

/// A step in a pod's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodEventKind {
    /// Got a node and addresses: its network namespace comes into being now.
    Scheduled,
    /// Containers start: applications may listen.
    Started,
    /// Its Ready condition became true.
    Ready,
    /// Its Ready condition became false while running.
    Unready,
    /// Deleted: applications got their signal to stop.
    Terminating,
    /// Over: its namespace vanishes, its addresses are free.
    Gone,
}
