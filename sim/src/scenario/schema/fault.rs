//! What may go wrong in a scenario.
//!
//! Plain data that can be written as well as read, so that faults can be drawn at random, taken out one by one, and what is
//! left be written down as a scenario again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::quantity::{Bandwidth, Share, Size, Time};

/// Something that goes wrong from `at` on: exactly one of the others, `for` so long.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultStep {
    /// How long; default to the end of the run. What happens once and is over (`lose`, `evict`, `proxy_upgrade`, `rotate`)
    /// has none.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Time>,
    /// Names its stream of chance; default made of what it is and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Nothing passes. Open streams stall; they go on if it ends before somebody's patience does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// The link is down, then up, then down again. Down first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flap: Option<Flap>,
    /// Packets are lost, each for itself or in bursts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// Packets come later, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Lateness>,
    /// Packets share a narrow link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Narrowness>,
    /// Some packets are held back and others overtake them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reordering>,
    /// Some packets arrive twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<Duplication>,
    /// A byte of some packets is changed in a way TCP's checksum does not see. TLS does, and ends the connection; plaintext is
    /// damaged, and that is no violation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Corruption>,
    /// Applications read slowly, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_reader: Option<SlowReading>,
    /// Processes of pods die, and start anew at the end with the same address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
    /// Pods vanish without a word to anyone, and are deleted; their controllers make others: `deploy/name.namespace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lose: Option<String>,
    /// Pods are told to stop, and their controllers make others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evict: Option<Eviction>,
    /// A node loses power, and boots at the end: same pods, same addresses, new processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_crash: Option<NodeCrash>,
    /// A node or processes of pods stand still. Clocks go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The proxy of this node dies, and another takes its place at the end: `node/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_crash: Option<String>,
    /// A second proxy starts beside the first; once it is ready the first drains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_upgrade: Option<ProxyUpgrade>,
    /// A wall clock is wrong. Timers are not affected, certificates are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<WrongClock>,
    /// Configuration is late, in pieces, doubled or cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigFault>,
    /// Control plane and authority are `gone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<Gone>,
    /// The cluster's DNS is `gone`: nobody answers for what proxies do not know themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Gone>,
    /// The certificate authority is down or slow, or its root changes by a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<AuthorityFault>,
}

/// Which packets a fault concerns, as written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packets<'a> {
    pub(crate) a: Option<&'a str>,
    pub(crate) b: Option<&'a str>,
    pub(crate) one_way: bool,
    pub(crate) port: Option<u16>,
}

fn is_false(value: &bool) -> bool {
    !value
}

// Every fault of the network says which packets it concerns; flattening would give up on unknown fields.
macro_rules! of_packets {
    ($($(#[$meta:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// One side: `node/name`, `zone/name`, `pod/name.namespace`, `deploy/name.namespace` and other owners of pods.
            /// Default everywhere.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub a: Option<String>,
            /// The other side; default everywhere else.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub b: Option<String>,
            /// From `a` to `b` only.
            #[serde(default, skip_serializing_if = "is_false")]
            pub one_way: bool,
            /// Only packets from or to this port.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub port: Option<u16>,
            $($(#[$of_field])* pub $field: $kind,)*
        }

        impl $name {
            pub(crate) fn packets(&self) -> Packets<'_> {
                Packets { a: self.a.as_deref(), b: self.b.as_deref(), one_way: self.one_way, port: self.port }
            }
        }
    )*};
}

of_packets! {
    /// Nothing passes between two sides. Around whole nodes, both ways and on every port, it cuts their configuration too.
    Partition {}
    /// A link that goes up and down.
    Flap {
        /// How long it is down.
        down: Time,
        /// How long it is up in between.
        up: Time,
    }
    /// Packets are lost: `share` of them each for itself; or in bursts.
    Loss {
        /// How many of all packets, e.g. `5%`. With `burst`, on average.
        share: Share,
        /// Mean length of a burst in packets, all of which are lost (Gilbert-Elliott). Default: no bursts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        burst: Option<u32>,
    }
    /// Packets come later.
    Lateness {
        /// By this much.
        add: Time,
        /// Give or take this much, uniformly, in order all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        jitter: Option<Time>,
    }
    /// A narrow link that all packets concerned share, each direction by itself.
    Narrowness {
        /// How narrow.
        rate: Bandwidth,
        /// How much may wait; more is lost. Default 64KiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        queue: Option<Size>,
    }
    /// Some packets are held back.
    Reordering {
        /// How many.
        share: Share,
        /// For how long.
        by: Time,
    }
    /// Some packets arrive twice.
    Duplication {
        /// How many.
        share: Share,
    }
    /// Some packets are damaged.
    Corruption {
        /// How many.
        share: Share,
    }
}

/// Applications that read slowly.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlowReading {
    /// Whose pods.
    pub pods: String,
    /// Bytes a second from each connection; default 0, none at all.
    #[serde(default)]
    pub rate: Size,
}

/// Processes that die.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Whose pods.
    pub pods: String,
    /// How their connections end.
    #[serde(default)]
    pub how: DeathWay,
}

/// How the connections of a process that dies end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeathWay {
    /// Closed by the kernel: FIN, or RST with data unread.
    #[default]
    Close,
    /// Reset.
    Reset,
    /// Without a word; who sends later is reset.
    Silent,
}

/// Pods that are told to stop.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Eviction {
    /// Whose pods.
    pub pods: String,
    /// Instead of the pods' own grace period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Time>,
}

/// A node that loses power.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeCrash {
    /// `node/name`.
    pub node: String,
    /// After how long its pods count as unready. Default 40s, as Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noticed: Option<Time>,
}

/// What stands still.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// `node/name`, kernel and all, or pods, whose kernels go on.
    pub what: String,
    /// What becomes of packets that reach a node that stands still.
    #[serde(default)]
    pub packets: PausedPackets,
}

/// What becomes of packets that reach a node that stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedPackets {
    /// They wait.
    #[default]
    Queue,
    /// They are lost.
    Drop,
}

/// A proxy that is replaced in good order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyUpgrade {
    /// `node/name`.
    pub node: String,
    /// How long the old one drains. Default 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Time>,
}

/// A wall clock that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrongClock {
    /// `node/name`; default the control plane's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Ahead by this much at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Time>,
    /// Behind by this much at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Time>,
    /// Gains so much every second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gains: Option<Time>,
    /// Loses so much every second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loses: Option<Time>,
    /// Swings so far to both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swing: Option<Time>,
    /// In this time there and back. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Time>,
}

/// What is wrong with the path of configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigFault {
    /// `node/name`; default every proxy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Every push is later by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Time>,
    /// Every resource comes by itself, in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitOrder>,
    /// Everything comes twice.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicate: bool,
    /// Nothing comes; at the end the stream is resumed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
}

/// In which order the resources of a push come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitOrder {
    /// Workloads and services before the policies they name.
    PoliciesLast,
    /// Policies first.
    PoliciesFirst,
    /// Drawn.
    Shuffled,
}

/// Somebody who is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gone {
    /// Not there.
    Gone,
}

/// What is wrong with the certificate authority: one of these.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorityFault {
    /// It does not sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<DownWay>,
    /// Every answer takes this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<Time>,
    /// One step of changing the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<Rotation>,
}

/// How somebody does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DownWay {
    /// Connections are refused.
    Refusing,
    /// Requests arrive and no answer comes.
    Silent,
}

/// A step of changing the root; each follows the other once every certificate has been renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// A new root is published beside the old one, which signs.
    Publish,
    /// The new one signs.
    Switch,
    /// The old one is published no more.
    Retire,
}
