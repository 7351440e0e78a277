//! [`Network`]: namespaces and what is known of them: where a connection goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use proxy_core::host::{Dial, Rng};

use super::block::Block;
use super::listener::Inbox;
use super::told::Meant;
use crate::node::redirect::{self, Facts, HBONE_PORT, INBOUND_PORT, MARK_MASK, Protocol};
use crate::node::{Capture, ClockModel, PROXY_MARK};
use crate::wire::{NamespaceId, NodeId};

/// Namespaces, and where they are on this machine.
pub(super) struct Network {
    /// Until the mesh is over.
    block: Option<Block>,
    nodes: Vec<Node>,
    /// By id; what was removed stays, empty.
    namespaces: Vec<Namespace>,
    by_address: BTreeMap<IpAddr, NamespaceId>,
    by_place: BTreeMap<Ipv4Addr, NamespaceId>,
    /// Node-level address translation.
    pub(super) virtuals: BTreeMap<SocketAddr, Vec<SocketAddr>>,
    /// Ports that are elsewhere on this machine than in the mesh.
    moved: BTreeMap<Door, u16>,
    /// Ports that something other than a proxy listens on.
    taken: BTreeSet<Door>,
}

/// A port of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Door {
    pub(super) namespace: NamespaceId,
    pub(super) udp: bool,
    /// Of the namespace's IPv6 addresses: on this machine there are none.
    pub(super) v6: bool,
    pub(super) port: u16,
}

struct Node {
    namespace: NamespaceId,
    pub(super) clock: ClockModel,
}

struct Namespace {
    node: NodeId,
    addresses: Vec<IpAddr>,
    /// `None` once it is removed, or if the block is full.
    place: Option<Ipv4Addr>,
    capture: Option<Capture>,
    /// Where connections from outside wait for the proxy's listener for plaintext.
    inbox: Arc<Inbox>,
}

/// Where a connection goes from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Departure {
    /// Own address on this machine.
    pub(super) from: Ipv4Addr,
    /// Where to on this machine.
    pub(super) to: SocketAddr,
    /// What the other end is told; the port of `source` is not known yet.
    pub(super) meant: Meant,
    /// What this end sees as its peer.
    pub(super) peer: SocketAddr,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) namespace: NamespaceId,
    pub(super) mark: u32,
}

impl Caller {
    /// Whether its sockets are a proxy's.
    pub(super) fn is_proxy(self) -> bool {
        self.mark & MARK_MASK == PROXY_MARK
    }
}

impl Network {
    pub(super) fn new(block: Block) -> Self {
        Network {
            block: Some(block),
            nodes: Vec::new(),
            namespaces: Vec::new(),
            by_address: BTreeMap::new(),
            by_place: BTreeMap::new(),
            virtuals: BTreeMap::new(),
            moved: BTreeMap::new(),
            taken: BTreeSet::new(),
        }
    }

    /// Lets somebody else have the addresses.
    pub(super) fn give_up(&mut self) {
        self.block = None;
    }

    pub(super) fn add_node(&mut self, addresses: Vec<IpAddr>) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { namespace: NamespaceId(0), clock: ClockModel::default() });
        let namespace = self.add_namespace(id, addresses);
        if let Some(node) = self.nodes.last_mut() {
            node.namespace = namespace;
        }
        id
    }

    pub(super) fn node_namespace(&self, node: NodeId) -> NamespaceId {
        self.nodes.get(node.0 as usize).map_or(NamespaceId(u32::MAX), |node| node.namespace)
    }

    pub(super) fn add_namespace(&mut self, node: NodeId, addresses: Vec<IpAddr>) -> NamespaceId {
        let id = NamespaceId(u32::try_from(self.namespaces.len()).unwrap_or(u32::MAX));
        let place = self.free_place(node);
        for address in &addresses {
            self.by_address.insert(*address, id);
        }
        if let Some(place) = place {
            self.by_place.insert(place, id);
        }
        self.namespaces.push(Namespace { node, addresses, place, capture: None, inbox: Arc::default() });
        id
    }

    /// The n-th node's namespaces are in the n-th /24, and wherever there is room once that is full.
    fn free_place(&self, node: NodeId) -> Option<Ipv4Addr> {
        let block = self.block.as_ref()?;
        let first = u8::try_from(node.0 % 250).unwrap_or(0);
        (0..250u8).find_map(|step| {
            let third = ((u16::from(first) + u16::from(step)) % 250) as u8;
            (1..=254).map(|fourth| block.address(third, fourth)).find(|place| !self.by_place.contains_key(place))
        })
    }

    pub(super) fn remove_namespace(&mut self, id: NamespaceId) {
        let Some(namespace) = self.namespaces.get_mut(id.0 as usize) else { return };
        let (addresses, place) = (std::mem::take(&mut namespace.addresses), namespace.place.take());
        namespace.capture = None;
        for address in addresses {
            if self.by_address.get(&address) == Some(&id) {
                self.by_address.remove(&address);
            }
        }
        if let Some(place) = place {
            self.by_place.remove(&place);
        }
        self.moved.retain(|door, _| door.namespace != id);
        self.taken.retain(|door| door.namespace != id);
    }

    fn namespace(&self, id: NamespaceId) -> Option<&Namespace> {
        self.namespaces.get(id.0 as usize)
    }

    pub(super) fn set_capture(&mut self, id: NamespaceId, capture: Option<Capture>) {
        if let Some(namespace) = self.namespaces.get_mut(id.0 as usize) {
            namespace.capture = capture;
        }
    }

    pub(super) fn clock(&self, node: NodeId) -> ClockModel {
        self.nodes.get(node.0 as usize).map(|node| node.clock).unwrap_or_default()
    }

    pub(super) fn set_clock(&mut self, node: NodeId, clock: ClockModel) {
        if let Some(node) = self.nodes.get_mut(node.0 as usize) {
            node.clock = clock;
        }
    }

    /// The clock of the node a namespace is on.
    pub(super) fn clock_in(&self, id: NamespaceId) -> ClockModel {
        self.namespace(id).map(|namespace| self.clock(namespace.node)).unwrap_or_default()
    }

    pub(super) fn place_of(&self, address: IpAddr) -> Option<Ipv4Addr> {
        self.namespace(*self.by_address.get(&address)?)?.place
    }

    pub(super) fn port_of(&self, address: IpAddr, port: u16) -> u16 {
        let Some(namespace) = self.by_address.get(&address) else { return port };
        self.real_port(Door { namespace: *namespace, udp: false, v6: address.is_ipv6(), port })
    }

    /// Who is at an address of this machine.
    pub(super) fn who_is_at(&self, place: Ipv4Addr) -> Option<NamespaceId> {
        self.by_place.get(&place).copied()
    }

    /// The namespace's place on this machine.
    ///
    /// # Errors
    /// It was removed, or the block is full.
    pub(super) fn place(&self, id: NamespaceId) -> io::Result<Ipv4Addr> {
        let gone = || io::Error::new(io::ErrorKind::AddrNotAvailable, "this network namespace was removed");
        self.namespace(id).and_then(|namespace| namespace.place).ok_or_else(gone)
    }

    pub(super) fn inbox(&self, id: NamespaceId) -> Option<Arc<Inbox>> {
        self.namespace(id).map(|namespace| namespace.inbox.clone())
    }

    /// Whether what comes from outside the mesh to this port, where no proxy listens, is the proxy's.
    pub(super) fn redirects_outsiders(&self, id: NamespaceId, at: SocketAddr, source: SocketAddr) -> bool {
        let Some(namespace) = self.namespace(id) else { return false };
        let facts = Facts { protocol: Protocol::Tcp, source, destination: at, mark: 0, own: false };
        redirect::inbound(namespace.capture, &facts).port() == Some(INBOUND_PORT)
    }

    /// The address of a namespace in the family of `like`, else the loopback address.
    pub(super) fn address(&self, id: NamespaceId, like: IpAddr) -> Option<IpAddr> {
        let addresses = self.namespace(id).map(|namespace| namespace.addresses.as_slice()).unwrap_or_default();
        addresses.iter().find(|address| address.is_ipv4() == like.is_ipv4()).copied()
    }

    /// Whether `address` stays within the namespace.
    fn owns(&self, id: NamespaceId, address: IpAddr) -> bool {
        address.is_loopback() || self.namespace(id).is_some_and(|namespace| namespace.addresses.contains(&address))
    }

    /// Where sockets of a namespace may listen.
    ///
    /// # Errors
    /// The address is not the namespace's.
    pub(super) fn check_own(&self, id: NamespaceId, address: IpAddr) -> io::Result<()> {
        if address.is_unspecified() || self.owns(id, address) {
            return Ok(());
        }
        let text = format!("{address} is no address of this network namespace");
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text))
    }

    pub(super) fn real_port(&self, door: Door) -> u16 {
        self.moved.get(&door).copied().unwrap_or(door.port)
    }

    pub(super) fn move_port(&mut self, door: Door, real: u16) {
        self.moved.insert(door, real);
    }

    pub(super) fn forget_port(&mut self, door: Door, real: u16) {
        if self.moved.get(&door) == Some(&real) {
            self.moved.remove(&door);
        }
    }

    /// Takes a port for something other than a proxy. False if something has it.
    pub(super) fn take(&mut self, door: Door) -> bool {
        self.taken.insert(door)
    }

    pub(super) fn give_back(&mut self, door: Door) {
        self.taken.remove(&door);
    }

    /// What node-level address translation makes of a destination.
    ///
    /// # Errors
    /// A service without endpoints refuses.
    pub(super) fn translate(&self, to: SocketAddr, rng: &mut Rng) -> io::Result<SocketAddr> {
        let Some(backends) = self.virtuals.get(&to) else { return Ok(to) };
        let count = backends.len() as u64;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, format!("service {to} has no endpoints")));
        }
        Ok(backends.get(rng.below(count) as usize).copied().unwrap_or(to))
    }

    /// Where a packet that leaves goes: the namespace, and its address and port in the mesh; with it, whether it was
    /// redirected on leaving.
    ///
    /// # Errors
    /// There is nobody, or a service without endpoints.
    pub(super) fn route(
        &self,
        caller: Caller,
        facts: &Facts,
        rng: &mut Rng,
    ) -> io::Result<(NamespaceId, SocketAddr, bool)> {
        let capture = self.namespace(caller.namespace).and_then(|namespace| namespace.capture);
        if let Some(port) = redirect::outbound(capture, facts).port() {
            // The proxy answers DNS at the loopback address of either family; elsewhere it listens on every address.
            return Ok((caller.namespace, SocketAddr::new(facts.destination.ip(), port), true));
        }
        let to = if facts.own { facts.destination } else { self.translate(facts.destination, rng)? };
        if facts.own {
            return Ok((caller.namespace, to, false));
        }
        let nobody = || io::Error::new(io::ErrorKind::HostUnreachable, format!("no route to {to}: nobody has it"));
        let namespace = self.by_address.get(&to.ip()).copied().ok_or_else(nobody)?;
        Ok((namespace, to, false))
    }

    /// Where a connection goes.
    ///
    /// # Errors
    /// `HostUnreachable`, `ConnectionRefused`, `AddrNotAvailable`, each with what is wrong.
    pub(super) fn depart(&self, caller: Caller, dial: Dial, rng: &mut Rng) -> io::Result<Departure> {
        let place = self.place(caller.namespace)?;
        let mut peer = SocketAddr::new(dial.to.ip().to_canonical(), dial.to.port());
        if peer.ip().is_unspecified() {
            peer.set_ip(loopback(peer.ip()));
        }
        let source = match dial.from {
            Some(from) => from.to_canonical(),
            None if peer.ip().is_loopback() => loopback(peer.ip()),
            None => self.address(caller.namespace, peer.ip()).ok_or_else(|| {
                let text = format!("cannot reach {peer}: this network namespace has no address of that family");
                io::Error::new(io::ErrorKind::AddrNotAvailable, text)
            })?,
        };
        if source.is_ipv4() != peer.is_ipv4() {
            let text = format!("cannot reach {peer} from {source}: another address family");
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
        }
        let facts = Facts {
            protocol: Protocol::Tcp,
            source: SocketAddr::new(source, 0),
            destination: peer,
            mark: caller.mark,
            own: self.owns(caller.namespace, peer.ip()),
        };
        let (namespace, to, redirected) = self.route(caller, &facts, rng)?;
        let local = match redirected {
            true => to,
            false => {
                let own = namespace == caller.namespace && facts.own;
                let arriving = Facts { destination: to, own, ..facts };
                let capture = self.namespace(namespace).and_then(|namespace| namespace.capture);
                let port = redirect::inbound(capture, &arriving).port().unwrap_or(to.port());
                SocketAddr::new(to.ip(), port)
            }
        };
        let destination = if redirected { peer } else { to };
        let door = Door { namespace, udp: false, v6: local.is_ipv6(), port: local.port() };
        Ok(Departure {
            // A preserved source is seen on this machine too, as long as there is such a pod.
            from: self.place_of(source).unwrap_or(place),
            to: SocketAddr::from((self.place(namespace)?, self.real_port(door))),
            meant: Meant { source: SocketAddr::new(source, 0), destination, local },
            peer,
        })
    }
}

/// The loopback address of the same family.
pub(super) fn loopback(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) }
}

/// Whether this port is a proxy's own in a pod: nobody from outside is redirected there.
pub(super) fn is_proxys(port: u16) -> bool {
    [redirect::OUTBOUND_PORT, INBOUND_PORT, HBONE_PORT].contains(&port)
}
