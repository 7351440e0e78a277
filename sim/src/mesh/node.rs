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
use crate::ground::{Ground, Process};
use crate::node::SimHost;
use crate::wire::{NamespaceId, NodeId};

/// A node's proxy in a simulated mesh.
pub type MeshZtunnel<H = SimHost> = Ztunnel<H, MeshCertificates<H>>;

/// Proxies have addresses of their own: the n-th node's is the n-th after this.
const PROXY_BLOCK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);

/// A node that runs.
pub(super) struct NodeRuntime<H: Process> {
    pub(super) id: NodeId,
    /// The node's own namespace, which host-network pods share.
    pub(super) namespace: NamespaceId,
    /// The namespace of its proxies.
    pub(super) proxies: NamespaceId,
    /// The proxy's process, in the proxy's own namespace.
    pub(super) host: H,
    pub(super) ztunnel: MeshZtunnel<H>,
    /// The name it tells and acknowledges under: the node's, with a number from the second proxy on.
    pub(super) proxy: Arc<str>,
    /// Proxies there were, this one included.
    pub(super) incarnation: u32,
    /// Older ones that still drain.
    pub(super) draining: Vec<DrainingProxy<H>>,
}

/// A proxy that takes nothing new.
pub(super) struct DrainingProxy<H: Process> {
    pub(super) host: H,
    pub(super) ztunnel: MeshZtunnel<H>,
    pub(super) proxy: Arc<str>,
}

impl<H: Process> NodeRuntime<H> {
    /// Has every proxy of the node let go of a pod.
    pub(super) fn remove_workload(&self, uid: &str) {
        self.ztunnel.remove_workload(uid);
        for old in &self.draining {
            old.ztunnel.remove_workload(uid);
        }
    }

    /// Every proxy process.
    pub(super) fn proxy_hosts(&self) -> impl Iterator<Item = &H> {
        self.draining.iter().map(|old| &old.host).chain([&self.host])
    }

    /// Every name its proxies acknowledge under.
    pub(super) fn proxy_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.draining.iter().map(|old| &old.proxy).chain([&self.proxy])
    }
}

impl<G: Ground> Mesh<G> {
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
                node.proxy_hosts().for_each(|host| host.kill(self.config.removal));
            }
        }
    }

    fn add_node(&mut self, node: &Node) {
        let name = node.meta.key.name.clone();
        let locality = node.locality();
        let id = self.ground.add_node(NodeSpec {
            name: name.to_string(),
            zone: locality.zone.to_string(),
            region: locality.region.to_string(),
            addresses: node.addresses.clone(),
        });
        let own = self.ground.add_namespace(NamespaceSpec {
            node: id,
            name: format!("ztunnel/{name}"),
            addresses: vec![proxy_address(node)],
        });
        let (host, ztunnel) = self.launch(&name, &name, own);
        let namespace = self.ground.node_namespace(id);
        let proxy = name.clone();
        let draining = Vec::new();
        let node = NodeRuntime { id, namespace, proxies: own, host, ztunnel, proxy, incarnation: 1, draining };
        self.nodes.insert(name, node);
    }

    /// Starts a proxy process for a node, which tells and acknowledges under the name `proxy`.
    pub(super) fn launch(
        &self,
        node: &Arc<str>,
        proxy: &Arc<str>,
        own: NamespaceId,
    ) -> (G::Host, MeshZtunnel<G::Host>) {
        let host = self.ground.process(own, "ztunnel");
        let cluster = self.cluster.config();
        let dns = DnsConfig {
            names: Names { cluster_domain: cluster.cluster_domain.clone(), ..Names::default() },
            upstream: cluster.dns_addresses().into_iter().map(|address| SocketAddr::new(address, 53)).collect(),
            ..self.config.ztunnel.dns.clone().unwrap_or_default()
        };
        let mut config = ZtunnelConfig {
            node: node.clone(),
            network: cluster.network.clone(),
            dns: (self.config.dns == DnsCapture::On).then_some(dns),
            ..self.config.ztunnel.clone()
        };
        config.pool.tls.crypto = G::CRYPTO;
        config.acceptor.tls.crypto = G::CRYPTO;
        let sink = Arc::new(ProxySink { node: proxy.clone(), host: host.clone(), journal: self.journal.clone() });
        let (source, certificates) = self.supply(node, proxy, &host);
        let ztunnel = Ztunnel::start(host.clone(), config, source, certificates, sink);
        (host, ztunnel)
    }
}

/// The address of a node's proxies.
pub(super) fn proxy_address(node: &Node) -> IpAddr {
    Ipv4Addr::from(u32::from(PROXY_BLOCK) + 1 + node.index).into()
}
