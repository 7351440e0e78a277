//! [`Paths`]: the state of links in use, made when first used.

use std::collections::BTreeMap;

use proxy_core::host::{Instant, Rng};

use super::index::FixedIndex;
use super::link::{Distance, Link, LinkTable};
use super::topology::{LinkEnd, Topology};
use crate::draws::RunDigest;
use crate::seed::Seed;
use crate::wire::{DropReason, NamespaceId};

/// Which traffic shares a path: its queue, its order and its stream of chance.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Loopback(NamespaceId),
    WithinNode(u32),
    Nodes(u32, u32),
    /// The pair has an override of its own.
    Pair(NamespaceId, NamespaceId),
}

struct Path {
    /// The latency when nothing else about the link matters: constant, clean, unlimited. `u64::MAX` otherwise.
    plain: u64,
    last_arrival: u64,
    busy_until: u64,
    link: Link,
    stream: u64,
    name: Box<str>,
    rng: Option<Box<Rng>>,
}

/// What becomes of a packet that enters a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It arrives then.
    Arrives(Instant),
    /// It does not.
    Dropped(DropReason),
}

/// Every path that was ever used, and the links they are made from.
pub(crate) struct Paths {
    seed: Seed,
    table: LinkTable,
    overrides: BTreeMap<(LinkEnd, LinkEnd), Link>,
    paths: Vec<Path>,
    index: FixedIndex<Key, u32>,
}

impl Paths {
    pub(crate) fn new(seed: Seed, table: LinkTable) -> Self {
        Paths { seed, table, overrides: BTreeMap::new(), paths: Vec::new(), index: FixedIndex::default() }
    }

    /// Changes the table; paths in use take their new link at once and keep their streams.
    pub(crate) fn set_table(&mut self, table: LinkTable, topology: &mut Topology) {
        self.table = table;
        self.refresh(topology);
    }

    /// Sets or removes the override for one direction.
    pub(crate) fn set_override(&mut self, from: LinkEnd, to: LinkEnd, link: Option<Link>, topology: &mut Topology) {
        match link {
            Some(link) => self.overrides.insert((from, to), link),
            None => self.overrides.remove(&(from, to)),
        };
        self.refresh(topology);
    }

    fn refresh(&mut self, topology: &mut Topology) {
        topology.invalidate();
        for index in 0..self.index.len() {
            let Some((&key, &path)) = self.index.get_index(index) else { continue };
            let link = match key {
                Key::Loopback(namespace) => self.link_between(namespace, namespace, topology),
                Key::Pair(from, to) => self.link_between(from, to, topology),
                Key::WithinNode(node) => self
                    .overridden(LinkEnd::Node(crate::wire::NodeId(node)), LinkEnd::Node(crate::wire::NodeId(node)))
                    .unwrap_or(self.table.same_node),
                Key::Nodes(from, to) => {
                    let ends =
                        [from, to].map(|node| topology.node(crate::wire::NodeId(node)).map(|node| node.namespace));
                    let [Some(from), Some(to)] = ends else { continue };
                    self.link_between(from, to, topology)
                }
            };
            self.paths[path as usize].set_link(link);
        }
    }

    fn overridden(&self, from: LinkEnd, to: LinkEnd) -> Option<Link> {
        self.overrides.get(&(from, to)).copied()
    }

    /// The override by namespace on at least one side, if there is one.
    fn pair_override(&self, from: NamespaceId, to: NamespaceId, topology: &Topology) -> Option<Link> {
        if self.overrides.is_empty() {
            return None;
        }
        let (from_node, to_node) = (LinkEnd::Node(topology.node_of(from)), LinkEnd::Node(topology.node_of(to)));
        let (from, to) = (LinkEnd::Namespace(from), LinkEnd::Namespace(to));
        self.overridden(from, to).or_else(|| self.overridden(from, to_node)).or_else(|| self.overridden(from_node, to))
    }

    fn link_between(&self, from: NamespaceId, to: NamespaceId, topology: &Topology) -> Link {
        let distance = topology.distance(from, to);
        self.pair_override(from, to, topology)
            .or_else(|| {
                let ends = (LinkEnd::Node(topology.node_of(from)), LinkEnd::Node(topology.node_of(to)));
                (distance != Distance::Namespace).then(|| self.overridden(ends.0, ends.1)).flatten()
            })
            .unwrap_or_else(|| self.table.of(distance))
    }

    /// The path packets take from one namespace to another.
    pub(crate) fn between(&mut self, from: NamespaceId, to: NamespaceId, topology: &Topology) -> u32 {
        let (a, b) = (topology.node_of(from), topology.node_of(to));
        let key = if from == to {
            Key::Loopback(from)
        } else if self.pair_override(from, to, topology).is_some() {
            Key::Pair(from, to)
        } else if a == b {
            Key::WithinNode(a.0)
        } else {
            Key::Nodes(a.0, b.0)
        };
        if let Some(&path) = self.index.get(&key) {
            return path;
        }
        let node_name = |id| topology.node(id).map_or("", |node| node.name.as_str());
        let name = match key {
            Key::Loopback(namespace) => format!("link/lo/{}", topology.name(namespace)),
            Key::Pair(from, to) => format!("link/{}-{}", topology.name(from), topology.name(to)),
            Key::WithinNode(_) => format!("link/{0}-{0}", node_name(a)),
            Key::Nodes(..) => format!("link/{}-{}", node_name(a), node_name(b)),
        };
        let path = self.paths.len() as u32;
        let link = self.link_between(from, to, topology);
        let mut state = Path {
            plain: u64::MAX,
            last_arrival: 0,
            busy_until: 0,
            link,
            stream: u64::from(path) | 1 << 63,
            name: name.into_boxed_str(),
            rng: None,
        };
        state.set_link(link);
        self.paths.push(state);
        self.index.insert(key, path);
        path
    }

    /// The path by which a node answers for addresses nobody has.
    pub(crate) fn router_path(&mut self, from: NamespaceId, topology: &Topology) -> u32 {
        let node = topology.node(topology.node_of(from)).map_or(from, |node| node.namespace);
        self.between(node, from, topology)
    }

    /// Learns of a packet that did not ask on its way in: nothing sent later may arrive before `at`. To be told of
    /// every packet under way before a link changes.
    pub(crate) fn note_arrival(&mut self, path: u32, at: Instant) {
        let path = &mut self.paths[path as usize];
        if !path.link.reorder {
            path.last_arrival = path.last_arrival.max(at.as_nanos());
        }
    }

    /// The latency of a path that does nothing else to packets, for senders to use without asking again until the
    /// topology's epoch moves; `u64::MAX` if it does more, or if packets of a slower past are still under way.
    pub(crate) fn plain_latency(&self, path: u32, now: Instant) -> u64 {
        let path = &self.paths[path as usize];
        let overtakes = now.as_nanos().saturating_add(path.plain) < path.last_arrival;
        if overtakes { u64::MAX } else { path.plain }
    }

    /// The path's MTU.
    pub(crate) fn mtu(&self, path: u32) -> u16 {
        self.paths[path as usize].link.mtu
    }

    /// Whether runs of packets must be taken apart, because each has its own fate here.
    pub(crate) fn is_lossy(&self, path: u32) -> bool {
        self.paths[path as usize].link.loss > 0.0
    }

    /// Lets a packet of `bytes` on the wire in.
    #[inline]
    pub(crate) fn admit(&mut self, path: u32, now: Instant, bytes: u64, digest: &mut RunDigest) -> Admission {
        let path = &mut self.paths[path as usize];
        if path.plain != u64::MAX {
            let arrival = now.as_nanos().saturating_add(path.plain).max(path.last_arrival);
            path.last_arrival = arrival;
            return Admission::Arrives(Instant::from_nanos(arrival));
        }
        path.admit_slowly(now.as_nanos(), bytes, self.seed, digest)
    }
}

impl Path {
    fn set_link(&mut self, link: Link) {
        self.link = link;
        let clean = link.bandwidth.is_none() && link.loss <= 0.0 && !link.cut;
        self.plain = link.latency.constant().filter(|_| clean).unwrap_or(u64::MAX);
    }

    fn admit_slowly(&mut self, now: u64, bytes: u64, seed: Seed, digest: &mut RunDigest) -> Admission {
        let link = self.link;
        if link.cut {
            return Admission::Dropped(DropReason::Cut);
        }
        let mut departs = now;
        if let Some(rate) = link.bandwidth {
            let rate = rate.max(1);
            let waiting = self.busy_until.saturating_sub(now);
            let backlog = u128::from(waiting) * u128::from(rate) / 8_000_000_000;
            // An idle link takes anything; one that is busy takes what fits its queue.
            if waiting > 0 && backlog + u128::from(bytes) > u128::from(link.queue) {
                return Admission::Dropped(DropReason::QueueFull);
            }
            let takes = u64::try_from(u128::from(bytes) * 8_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX);
            departs = self.busy_until.max(now).saturating_add(takes);
            self.busy_until = departs;
        }
        let draws = link.loss > 0.0 || link.latency.constant().is_none();
        let latency = if draws {
            let rng = self.rng.get_or_insert_with(|| Box::new(seed.stream(&self.name)));
            if link.loss > 0.0 {
                let lost = rng.unit() < link.loss;
                digest.draw(self.stream, &[u8::from(lost)]);
                if lost {
                    return Admission::Dropped(DropReason::Loss);
                }
            }
            let latency = link.latency.sample(rng);
            digest.draw(self.stream, &latency.to_le_bytes());
            latency
        } else {
            link.latency.constant().unwrap_or(0)
        };
        let mut arrival = departs.saturating_add(latency);
        if !link.reorder {
            arrival = arrival.max(self.last_arrival);
        }
        self.last_arrival = self.last_arrival.max(arrival);
        Admission::Arrives(Instant::from_nanos(arrival))
    }
}
