//! Nodes, zones, regions, and the namespaces on them.

use std::net::IpAddr;

use super::index::FixedIndex;
use super::link::Distance;
use crate::wire::{NamespaceId, NodeId};

/// A node to add. Its own (host) network namespace comes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSpec {
    /// Name; names streams of chance, so keep it stable.
    pub name: String,
    /// Zone; nodes of different zones are further apart.
    pub zone: String,
    /// Region.
    pub region: String,
    /// Addresses of the node's own namespace.
    pub addresses: Vec<IpAddr>,
}

/// A network namespace to add: a pod's, usually.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceSpec {
    /// The node it is on.
    pub node: NodeId,
    /// Name; names streams of chance, so keep it stable.
    pub name: String,
    /// Its addresses, the preferred one of each family first.
    pub addresses: Vec<IpAddr>,
}

/// One end of a link whose properties are overridden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkEnd {
    /// One namespace.
    Namespace(NamespaceId),
    /// Every namespace of a node.
    Node(NodeId),
}

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) zone: String,
    pub(crate) region: String,
    pub(crate) namespace: NamespaceId,
}

struct Place {
    node: NodeId,
    name: String,
    addresses: Vec<IpAddr>,
    alive: bool,
}

/// Who is where, and which namespace has an address.
#[derive(Default)]
pub(crate) struct Topology {
    nodes: Vec<Node>,
    places: Vec<Place>,
    owners: FixedIndex<IpAddr, NamespaceId>,
    /// Moves whenever a cached route may have become wrong.
    epoch: u32,
}

impl Topology {
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Has every cached route looked up again.
    pub(crate) fn invalidate(&mut self) {
        self.epoch += 1;
    }

    pub(crate) fn add_node(&mut self, spec: NodeSpec) -> NodeId {
        let node = NodeId(self.nodes.len() as u32);
        let namespace = NamespaceId(self.places.len() as u32);
        let name = format!("node/{}", spec.name);
        self.nodes.push(Node { name: spec.name, zone: spec.zone, region: spec.region, namespace });
        self.add_namespace(NamespaceSpec { node, name, addresses: spec.addresses });
        node
    }

    /// An address that another namespace has moves to the new one: the last to claim it wins, as with ARP.
    pub(crate) fn add_namespace(&mut self, spec: NamespaceSpec) -> NamespaceId {
        let id = NamespaceId(self.places.len() as u32);
        let mut addresses: Vec<IpAddr> = Vec::with_capacity(spec.addresses.len());
        for address in spec.addresses {
            let address = address.to_canonical();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        for &address in &addresses {
            if let Some(previous) = self.owners.insert(address, id) {
                self.places[previous.0 as usize].addresses.retain(|&other| other != address);
            }
        }
        self.places.push(Place { node: spec.node, name: spec.name, addresses, alive: true });
        self.invalidate();
        id
    }

    pub(crate) fn remove_namespace(&mut self, id: NamespaceId) {
        if let Some(place) = self.places.get_mut(id.0 as usize) {
            place.alive = false;
            for address in std::mem::take(&mut place.addresses) {
                self.owners.swap_remove(&address);
            }
            self.invalidate();
        }
    }

    pub(crate) fn node(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(node.0 as usize)
    }

    pub(crate) fn node_of(&self, namespace: NamespaceId) -> NodeId {
        self.places.get(namespace.0 as usize).map_or(NodeId(u32::MAX), |place| place.node)
    }

    #[inline]
    pub(crate) fn is_alive(&self, namespace: NamespaceId) -> bool {
        self.places.get(namespace.0 as usize).is_some_and(|place| place.alive)
    }

    pub(crate) fn name(&self, namespace: NamespaceId) -> &str {
        self.places.get(namespace.0 as usize).map_or("", |place| &place.name)
    }

    pub(crate) fn addresses(&self, namespace: NamespaceId) -> &[IpAddr] {
        self.places.get(namespace.0 as usize).map_or(&[], |place| &place.addresses)
    }

    /// Whether the namespace itself has the address; loopback is everyone's own.
    pub(crate) fn owns(&self, namespace: NamespaceId, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses(namespace).contains(&address)
    }

    /// The namespace a packet sent in `from` to `address` goes to.
    pub(crate) fn owner(&self, from: NamespaceId, address: IpAddr) -> Option<NamespaceId> {
        if address.is_loopback() { Some(from) } else { self.owners.get(&address).copied() }
    }

    pub(crate) fn distance(&self, from: NamespaceId, to: NamespaceId) -> Distance {
        let (a, b) = (self.node_of(from), self.node_of(to));
        if from == to {
            return Distance::Namespace;
        }
        if a == b {
            return Distance::Node;
        }
        match (self.node(a), self.node(b)) {
            (Some(a), Some(b)) if a.region == b.region && a.zone == b.zone => Distance::Zone,
            (Some(a), Some(b)) if a.region == b.region => Distance::Region,
            _ => Distance::World,
        }
    }
}
