//! [`MeshConfig`]: what a mesh is before anything runs.

use std::time::Duration;

use proxy_core::ztunnel::ZtunnelConfig;

use crate::cluster::ClusterConfig;
use crate::control::wire::WireConfig;
use crate::control::{AuthorityConfig, PushConfig};
use crate::fabric::LinkTable;
use crate::node::{KillMode, SimConfig};

/// What a mesh is before anything runs. Defaults: seed 1, one node, clean links of 30 us on a node, 250 us between nodes,
/// 1 ms between zones.
#[derive(Clone, Debug, Default)]
pub struct MeshConfig {
    /// Seed, task order, epoch and limits of the engine.
    pub sim: SimConfig,
    /// Links by distance.
    pub links: LinkTable,
    /// Nodes, domains, address blocks, delays of pods' lives.
    pub cluster: ClusterConfig,
    /// Debounce and delay of configuration.
    pub push: PushConfig,
    /// The certificate authority.
    pub authority: AuthorityConfig,
    /// Whether proxies answer the DNS of the pods they serve.
    pub dns: DnsCapture,
    /// How configuration and certificates travel.
    pub control_plane: ControlPlaneConfig,
    /// Every node's proxy; its node name, network and DNS are filled in.
    pub ztunnel: ZtunnelConfig,
    /// Whether the proxy of a pod also takes SOCKS5 in the pod, at port 15080. Default false.
    pub socks5: bool,
    /// Every node's enrollment agent.
    pub agent: AgentConfig,
    /// How the connections of a pod's processes end when it is gone. Default: closed, as by the kernel when a container
    /// runtime kills them. Silent is what a lost node looks like: the network vanishes and peers hear nothing.
    pub removal: KillMode,
    /// From a change of services or endpoints to the node-level address translation that captured pods bypass.
    pub virtual_services: VirtualServiceConfig,
}

/// Whether proxies answer the DNS of the pods they serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DnsCapture {
    /// They do, but for pods whose annotation says no.
    #[default]
    On,
    /// Pods ask the cluster's DNS themselves.
    Off,
}

/// How configuration and certificates travel to the proxies.
#[derive(Clone, Debug, Default)]
pub struct ControlPlaneConfig {
    /// Default [`Delivery::Modelled`].
    pub delivery: Delivery,
    /// How it is served on the wire.
    pub wire: WireConfig,
}

/// How configuration and certificates travel to the proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// They arrive after a drawn delay. Nothing of it is on the network.
    #[default]
    Modelled,
    /// Delta discovery and signing requests over gRPC and TLS, between each proxy and a control plane process on a node
    /// of its own. The drawn delays are not added: the network has its own.
    Wire,
}

/// How fast node-level address translation (kube-proxy's job) follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualServiceConfig {
    /// Changes within this time are followed at once, at its end. Default 50 ms.
    pub delay: Duration,
}

impl Default for VirtualServiceConfig {
    fn default() -> Self {
        VirtualServiceConfig { delay: Duration::from_millis(50) }
    }
}

/// Delays of the enrollment agent. Each pod draws its own, uniformly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// From a pod's creation or a change of labels to redirect rules and proxy; least. Default 1 ms.
    pub act_least: Duration,
    /// The same; most. Default 10 ms.
    pub act_most: Duration,
    /// From there to the annotation; least. Default 1 ms.
    pub annotate_least: Duration,
    /// The same; most. Default 5 ms.
    pub annotate_most: Duration,
    /// First wait after the proxy refused a pod; doubles up to `retry_most`. Default 5 ms.
    pub retry_least: Duration,
    /// Longest wait between tries. Default 5 s.
    pub retry_most: Duration,
}

impl Default for AgentConfig {
    fn default() -> Self {
        AgentConfig {
            act_least: Duration::from_millis(1),
            act_most: Duration::from_millis(10),
            annotate_least: Duration::from_millis(1),
            annotate_most: Duration::from_millis(5),
            retry_least: Duration::from_millis(5),
            retry_most: Duration::from_secs(5),
        }
    }
}
