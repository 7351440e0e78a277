//! [`ClusterConfig`]: what a cluster is before anything is applied to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::object::Labels;
use super::service::IpFamily;

/// What a cluster is before anything is applied to it. Every field has the default named in its comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Cluster id in workload uids; `Kubernetes`.
    pub cluster_id: Arc<str>,
    /// DNS suffix; `cluster.local`.
    pub cluster_domain: Arc<str>,
    /// SPIFFE trust domain; `cluster.local`.
    pub trust_domain: Arc<str>,
    /// Namespace of mesh-wide policy; `istio-system`.
    pub root_namespace: Arc<str>,
    /// Network id; empty.
    pub network: Arc<str>,
    /// Nodes that exist from the start; one, named `node-1`.
    pub nodes: Vec<NodeConfig>,
    /// Families of pods and services, primary first; IPv4 only.
    pub ip_families: Vec<IpFamily>,
    /// Pods of the n-th node get the n-th /24 of this block; `10.244.0.0/14`, room for 1,024 nodes.
    pub pod_block_v4: Ipv4Addr,
    /// Pods of the n-th node get the n-th /64 of this block; `fd00:10:244::/48`.
    pub pod_block_v6: Ipv6Addr,
    /// Services get addresses of this /12; `10.96.0.0`.
    pub service_block_v4: Ipv4Addr,
    /// Services get addresses of this /112; `fd00:10:96::`.
    pub service_block_v6: Ipv6Addr,
    /// The n-th node has the n-th address after this, counting from 2; `172.18.0.0`.
    pub node_block_v4: Ipv4Addr,
    /// As `node_block_v4`; `fc00:f853:ccd:e793::`.
    pub node_block_v6: Ipv6Addr,
    /// Which freed pod address is given out first; the one freed longest ago.
    pub address_reuse: AddressReuse,
    /// From scheduled to started; 200 ms.
    pub start_delay: Duration,
    /// From started to ready, if the pod's readiness probe asks for no longer initial delay; 300 ms.
    pub readiness_delay: Duration,
    /// From the stop signal to the end of the containers, cut at the grace period; `None`: the whole grace period.
    pub stop_delay: Option<Duration>,
    /// Namespaces the enrollment agent leaves alone; `kube-system`.
    pub excluded_namespaces: Vec<Arc<str>>,
    /// Mixed into generated names and uids; 0.
    pub seed: u64,
}

/// A node that exists from the start.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NodeConfig {
    /// Unique.
    pub name: Arc<str>,
    /// Becomes label `topology.kubernetes.io/region` if not empty.
    pub region: Arc<str>,
    /// Becomes label `topology.kubernetes.io/zone` if not empty.
    pub zone: Arc<str>,
    /// Further labels.
    pub labels: Labels,
}

/// Which freed pod address is given out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressReuse {
    /// Never used ones, then the one freed longest ago: as most network plugins do.
    OldestFreed,
    /// The one freed last, before any never used one: the hardest case for proxies that cache by address.
    Immediate,
}

impl ClusterConfig {
    /// Defaults, with so many nodes named `node-1`, `node-2`, …
    pub fn with_nodes(count: usize) -> Self {
        let nodes = (1..=count)
            .map(|number| NodeConfig { name: format!("node-{number}").into(), ..NodeConfig::default() })
            .collect();
        ClusterConfig { nodes, ..ClusterConfig::default() }
    }

    /// Where the cluster's DNS is: the tenth address of each family's service block, as Kubernetes' installers have it.
    pub fn dns_addresses(&self) -> Vec<IpAddr> {
        const HOST: u32 = 10;
        self.ip_families
            .iter()
            .map(|family| match family {
                IpFamily::V4 => IpAddr::V4(Ipv4Addr::from(u32::from(self.service_block_v4).wrapping_add(HOST))),
                IpFamily::V6 => IpAddr::V6(Ipv6Addr::from(u128::from(self.service_block_v6).wrapping_add(HOST.into()))),
            })
            .collect()
    }

    /// The n-th node's addresses, counting from 0.
    pub(crate) fn node_addresses(&self, index: u32) -> Vec<IpAddr> {
        self.ip_families
            .iter()
            .map(|family| match family {
                IpFamily::V4 => IpAddr::V4(Ipv4Addr::from(u32::from(self.node_block_v4).wrapping_add(index + 2))),
                IpFamily::V6 => {
                    IpAddr::V6(Ipv6Addr::from(u128::from(self.node_block_v6).wrapping_add(u128::from(index) + 2)))
                }
            })
            .collect()
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        ClusterConfig {
            cluster_id: "Kubernetes".into(),
            cluster_domain: "cluster.local".into(),
            trust_domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            network: "".into(),
            nodes: vec![NodeConfig { name: "node-1".into(), ..NodeConfig::default() }],
            ip_families: vec![IpFamily::V4],
            pod_block_v4: Ipv4Addr::new(10, 244, 0, 0),
            pod_block_v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 0),
            service_block_v4: Ipv4Addr::new(10, 96, 0, 0),
            service_block_v6: Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0),
            node_block_v4: Ipv4Addr::new(172, 18, 0, 0),
            node_block_v6: Ipv6Addr::new(0xfc00, 0xf853, 0xccd, 0xe793, 0, 0, 0, 0),
            address_reuse: AddressReuse::OldestFreed,
            start_delay: Duration::from_millis(200),
            readiness_delay: Duration::from_millis(300),
            stop_delay: None,
            excluded_namespaces: vec!["kube-system".into()],
            seed: 0,
        }
    }
}
