//! Nodes and the proxy on each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proxy_core::dns::{DnsConfig, Names};
use proxy_core::ztunnel::{Ztunnel, ZtunnelConfig};

use super::Mesh;
use super::config::DnsCapture;
use super::istiod::MeshCertificates;
use super::observer::ProxySink;
use crate::cluster::Node;
use crate::fabric::{NamespaceSpec, NodeSpec};
use crate::node::SimHost;
use crate::wire::{NamespaceId, NodeId};

/// A node's proxy in a simulated mesh.
pub type MeshZtunnel = Ztunnel<SimHost, MeshCertificates>;

/// Proxies have addresses of their own: the n-th node's is the n-th after this.
const PROXY_BLOCK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);

/// A node that runs.
pub(super) struct NodeRuntime {
    pub(super) id: NodeId,
    /// The node's own namespace, which host-network pods share.
    pub(super) namespace: NamespaceId,
    /// The proxy's process, in the proxy's own namespace.
    pub(super) host: SimHost,
    pub(super) ztunnel: MeshZtunnel,
}

impl Mesh {
    /// Brings up nodes that are new and takes down those that are gone.
    pub(super) fn sync_nodes(&mut self) {
        let missing: Vec<Arc<Node>> =
            self.cluster.nodes().filter(|node| !self.nodes.contains_key(node.meta.name())).cloned().collect();
        for node in missing {
            self.add_node(&node);
        }
        let gone: Vec<Arc<str>> = self.nodes.keys().filter(|name| self.cluster.node(name).is_none()).cloned().collect();
        for name in gone {
            if let Some(node) = self.nodes.remove(&name) {
                node.host.kill(self.config.removal);
            }
        }
    }

    fn add_node(&mut self, node: &Node) {
        let name = node.meta.key.name.clone();
        let locality = node.locality();
        let id = self.sim.add_node(NodeSpec {
            name: name.to_string(),
            zone: locality.zone.to_string(),
            region: locality.region.to_string(),
            addresses: node.addresses.clone(),
        });
        let address = Ipv4Addr::from(u32::from(PROXY_BLOCK) + 1 + node.index);
        let own = self.sim.add_namespace(NamespaceSpec {
            node: id,
            name: format!("ztunnel/{name}"),
            addresses: vec![IpAddr::V4(address)],
        });
        let host = self.sim.process(own, "ztunnel");
        let cluster = self.cluster.config();
        let dns = DnsConfig {
            names: Names { cluster_domain: cluster.cluster_domain.clone(), ..Names::default() },
            upstream: cluster.dns_addresses().into_iter().map(|address| SocketAddr::new(address, 53)).collect(),
            ..self.config.ztunnel.dns.clone().unwrap_or_default()
        };
        let config = ZtunnelConfig {
            node: name.clone(),
            network: cluster.network.clone(),
            dns: (self.config.dns == DnsCapture::On).then_some(dns),
            ..self.config.ztunnel.clone()
        };
        let sink = Arc::new(ProxySink { node: name.clone(), host: host.clone(), journal: self.journal.clone() });
        let (source, certificates) = self.supply(&name, &host, IpAddr::V4(address));
        let ztunnel = Ztunnel::start(host.clone(), config, source, certificates, sink);
        let namespace = self.sim.node_namespace(id);
        self.nodes.insert(name, NodeRuntime { id, namespace, host, ztunnel });
    }
}
