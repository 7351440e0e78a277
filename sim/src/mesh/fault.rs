//! [`Fault`]: what may go wrong, as plain data. What each does to streams that are already open stands with it.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::ObjectReference;
use crate::control::{Availability, Disorder, RotationStep};
use crate::fabric::{Effect, Scope};
use crate::node::{KillMode, WhilePaused};
use crate::record::FaultKind;

/// A place in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A node with all its pods.
    Node(Arc<str>),
    /// Every node of a zone.
    Zone(Arc<str>),
    /// The pods of an object, those that come later too.
    Pods(ObjectReference),
}

/// Which packets a fault of the network concerns; as [`Scope`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Between {
    /// One side; `None` is everywhere.
    pub from: Option<Place>,
    /// The other side; `None` is everywhere else.
    pub to: Option<Place>,
    /// From the first side to the second only.
    pub one_way: bool,
    /// From or to this port only.
    pub port: Option<u16>,
}

/// How a wall clock goes wrong. Monotonic time is not affected: no timer fires early or late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockChange {
    /// Nanoseconds ahead of where it was.
    pub step_ns: i64,
    /// Nanoseconds gained per second.
    pub drift_ns_per_s: i64,
    /// Nanoseconds it swings to both sides.
    pub swing_ns: i64,
    /// In this period.
    pub swing_period_ns: u64,
}

/// What is wrong with the path of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigTrouble {
    /// Pushes are late, in pieces or doubled.
    Disorder(Disorder),
    /// The stream is cut. At the end it is resumed with what the proxy last acknowledged, removals included.
    Cut,
}

/// What is wrong with the certificate authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityTrouble {
    /// It refuses connections, or does not answer.
    Down(Availability),
    /// Every answer takes this long.
    Slow(Duration),
    /// One step of changing its root. Has no end.
    Rotate(RotationStep),
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Of the network. Open streams stall while nothing passes, and go on when it does, unless a deadline (connection
    /// retries, keepalive, the application's own patience) came first. A cut around a whole node, both ways and on every
    /// port, also cuts its configuration stream and its way to the authority.
    Network {
        /// Which packets.
        between: Between,
        /// What happens to them.
        effect: Effect,
    },
    /// Applications read so many bytes a second from each connection, 0 for none. Nothing breaks; what they do not read
    /// fills windows all the way to the sender.
    SlowReader {
        /// Whose pods.
        pods: ObjectReference,
        /// Bytes a second.
        rate: u64,
    },
    /// The process of each pod dies, and starts anew when the fault ends, with the same address. Open streams end as `how`
    /// says; silently means the peer learns of it only when it sends.
    Crash {
        /// Whose pods.
        pods: ObjectReference,
        /// How their connections end.
        how: KillMode,
    },
    /// Each pod vanishes with its network namespace, without a word to anyone, and is deleted: its controller makes
    /// another. Peers of open streams hear nothing but silence.
    Lose {
        /// Whose pods.
        pods: ObjectReference,
    },
    /// Each pod is told to stop and has its grace period, or this one; its controller makes another.
    Evict {
        /// Whose pods.
        pods: ObjectReference,
        /// Instead of the pods' own.
        grace: Option<Duration>,
    },
    /// The node loses power: all it runs is gone without a word, and what reaches it is lost. At the end it boots: same
    /// pods, same addresses, new processes; peers of old streams are reset when they next send.
    NodeCrash {
        /// The node.
        node: Arc<str>,
        /// After how long its pods are unready for everyone else.
        noticed: Duration,
    },
    /// A node, or the processes of pods, stand still. Clocks go on. Open streams stall, and what was due meanwhile happens
    /// on going on.
    Pause {
        /// What. Pods' kernels go on.
        place: Place,
        /// What becomes of packets that reach a node that stands still.
        packets: WhilePaused,
    },
    /// The node's proxy dies as a killed process does, and another takes its place at the end. Streams through it are
    /// closed; captured pods are cut off meanwhile, never around it.
    ProxyCrash {
        /// The node.
        node: Arc<str>,
    },
    /// A second proxy starts beside the first, both listening; once it is ready, the first drains for so long. Streams go
    /// on until they end by themselves or the time is over. Has no end of its own.
    ProxyUpgrade {
        /// The node.
        node: Arc<str>,
        /// How long the first drains.
        drain: Duration,
    },
    /// A wall clock goes wrong, and is set right at the end. Open streams do not notice; certificates do.
    Clock {
        /// The node; `None` is the control plane's.
        node: Option<Arc<str>>,
        /// How.
        change: ClockChange,
    },
    /// Configuration comes late or wrong. Open streams go on under what the proxies know.
    Config {
        /// Whose; `None` is every proxy's.
        node: Option<Arc<str>>,
        /// What is wrong.
        trouble: ConfigTrouble,
    },
    /// The control plane is gone, with its authority; at the end it is back, and resumes every stream. Proxies go on with
    /// what they know.
    ControlPlane,
    /// The cluster's DNS is gone, and back at the end. What proxies know themselves they go on answering; other names do
    /// not resolve. Open streams do not notice.
    NameServer,
    /// The certificate authority has trouble. Open streams and valid certificates go on.
    Authority(AuthorityTrouble),
}

impl Fault {
    /// What it may do to those it touches.
    pub fn kind(&self) -> FaultKind {
        match self {
            Fault::Network { effect: Effect::Reorder { .. } | Effect::Duplicate(_) | Effect::Delay(_), .. }
            | Fault::SlowReader { .. }
            | Fault::NameServer => FaultKind::Nuisance,
            Fault::Network { .. } => FaultKind::Network,
            Fault::Crash { .. }
            | Fault::Lose { .. }
            | Fault::NodeCrash { .. }
            | Fault::Pause { .. }
            | Fault::ProxyCrash { .. } => FaultKind::Process,
            Fault::Evict { .. } | Fault::ProxyUpgrade { .. } => FaultKind::Graceful,
            Fault::Clock { .. } => FaultKind::Clock,
            Fault::Config { .. } | Fault::ControlPlane => FaultKind::Configuration,
            Fault::Authority(_) => FaultKind::Authority,
        }
    }

    /// Whether packets, whole processes or whole nodes are held up, or vanish without a word: what only a ground can that is a
    /// kernel itself.
    pub fn holds_up(&self) -> bool {
        matches!(
            self,
            Fault::Network { .. }
                | Fault::SlowReader { .. }
                | Fault::Pause { .. }
                | Fault::NodeCrash { .. }
                | Fault::Lose { .. }
                | Fault::Crash { how: KillMode::Silent, .. }
        )
    }

    /// Whether it happens and is over, so that a length of time means nothing.
    pub fn is_momentary(&self) -> bool {
        matches!(
            self,
            Fault::Lose { .. }
                | Fault::Evict { .. }
                | Fault::ProxyUpgrade { .. }
                | Fault::Authority(AuthorityTrouble::Rotate(_))
        )
    }

    /// Whether it parts whole nodes from everything, both ways.
    pub(super) fn isolated(&self) -> Option<&Place> {
        let Fault::Network { between, effect: Effect::Cut } = self else { return None };
        let Between { from: Some(place), to: None, one_way: false, port: None } = between else { return None };
        (!matches!(place, Place::Pods(_))).then_some(place)
    }

    /// The object whose pods it concerns, where it concerns processes of pods.
    pub(super) fn pods(&self) -> Option<&ObjectReference> {
        match self {
            Fault::SlowReader { pods, .. }
            | Fault::Crash { pods, .. }
            | Fault::Lose { pods }
            | Fault::Evict { pods, .. } => Some(pods),
            Fault::Pause { place: Place::Pods(pods), .. } => Some(pods),
            _ => None,
        }
    }
}

impl Between {
    /// As the fabric knows it.
    pub(super) fn scope(&self, ends: impl Fn(&Place) -> Vec<crate::fabric::LinkEnd>) -> Scope {
        Scope {
            from: self.from.as_ref().map(&ends),
            to: self.to.as_ref().map(&ends),
            one_way: self.one_way,
            port: self.port,
        }
    }
}
