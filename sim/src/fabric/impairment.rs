//! [`Impairment`]: something wrong with the network for a while, and what becomes of packets meanwhile.

use std::collections::BTreeMap;

use proxy_core::host::{Instant, Rng};

use super::link::Latency;
use super::topology::{LinkEnd, Topology};
use crate::draws::RunDigest;
use crate::seed::Seed;
use crate::wire::{DropReason, NamespaceId};

/// Which packets an impairment concerns. Packets that stay within a namespace never are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// One side; `None` is every place.
    pub from: Option<Vec<LinkEnd>>,
    /// The other side; `None` is every place that is not on the first side.
    pub to: Option<Vec<LinkEnd>>,
    /// Packets of the first side to the second only, not the other way.
    pub one_way: bool,
    /// Packets from or to this port only.
    pub port: Option<u16>,
}

/// What an impairment does. Probabilities are in `0..=1` and per wire packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Nothing passes.
    Cut,
    /// Nothing passes for `down` nanoseconds, everything for `up`, and so on; down first.
    Flap {
        /// Nanoseconds without a link.
        down: u64,
        /// Nanoseconds with one.
        up: u64,
    },
    /// Packets are lost, each for itself.
    Loss(f64),
    /// Packets are lost in bursts (Gilbert-Elliott): a good and a bad state, with a chance of leaving each at every packet.
    Bursts {
        /// From good to bad.
        begin: f64,
        /// From bad to good.
        end: f64,
        /// Chance of losing a packet in the good state.
        good: f64,
        /// The same in the bad state.
        bad: f64,
    },
    /// Packets come later, in order.
    Delay(Latency),
    /// The scope shares so many bits a second in each direction.
    Bandwidth {
        /// Bits a second.
        rate: u64,
        /// Bytes that may wait; more is dropped.
        queue: u32,
    },
    /// Some packets are held back, and others overtake them.
    Reorder {
        /// How many.
        share: f64,
        /// Nanoseconds they are held back.
        by: u64,
    },
    /// Some packets arrive twice.
    Duplicate(f64),
    /// A byte of some packets' TCP payload is changed, unseen by TCP's checksum.
    Corrupt(f64),
}

/// Names one impairment in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImpairmentId(pub u64);

struct Impairment {
    scope: Scope,
    effect: Effect,
    since: u64,
    stream: u64,
    rng: Rng,
    /// By direction: the queue is empty then; in the bad state.
    busy_until: [u64; 2],
    bad: [bool; 2],
}

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// It does not arrive, and why.
    pub(crate) dropped: Option<DropReason>,
    /// Nanoseconds it comes later.
    pub(crate) later: u64,
    /// Others may overtake it.
    pub(crate) overtaken: bool,
    /// It arrives twice.
    pub(crate) twice: bool,
    /// Which byte is changed, and how: a draw.
    pub(crate) corrupt: Option<u64>,
}

/// Everything wrong with the network now.
#[derive(Default)]
pub(crate) struct Impairments {
    /// By number, so in order of coming.
    active: BTreeMap<u64, Impairment>,
    next: u64,
    /// Latest arrival of a packet that keeps its place, by sender and receiver. Emptied when nothing is wrong any more.
    arrivals: BTreeMap<(NamespaceId, NamespaceId), u64>,
}

impl Impairments {
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Starts one. Its chance is the stream `name`.
    pub(crate) fn add(&mut self, seed: Seed, name: &str, scope: Scope, effect: Effect, now: Instant) -> ImpairmentId {
        self.next += 1;
        let impairment = Impairment {
            scope,
            effect,
            since: now.as_nanos(),
            stream: self.next | 3 << 62,
            rng: seed.stream(&format!("fault/{name}")),
            busy_until: [0; 2],
            bad: [false; 2],
        };
        self.active.insert(self.next, impairment);
        ImpairmentId(self.next)
    }

    /// Changes whom it concerns.
    pub(crate) fn rescope(&mut self, id: ImpairmentId, scope: Scope) {
        if let Some(impairment) = self.active.get_mut(&id.0) {
            impairment.scope = scope;
        }
    }

    pub(crate) fn remove(&mut self, id: ImpairmentId) {
        self.active.remove(&id.0);
        if self.active.is_empty() {
            self.arrivals.clear();
        }
    }

    /// Whether each wire packet between these has a fate of its own.
    pub(crate) fn concern(&self, from: NamespaceId, to: NamespaceId, topology: &Topology) -> bool {
        self.active.values().any(|impairment| impairment.scope.direction(from, to, topology).is_some())
    }

    /// Decides what becomes of a packet of `bytes` sent now between two ports.
    pub(crate) fn judge(
        &mut self,
        (from, to): (NamespaceId, NamespaceId),
        ports: (u16, u16),
        now: Instant,
        bytes: u64,
        topology: &Topology,
        digest: &mut RunDigest,
    ) -> Fate {
        let mut fate = Fate::default();
        for impairment in self.active.values_mut() {
            let Some(direction) = impairment.scope.direction(from, to, topology) else { continue };
            if impairment.scope.port.is_some_and(|port| port != ports.0 && port != ports.1) {
                continue;
            }
            impairment.judge(direction, now.as_nanos(), bytes, digest, &mut fate);
            if fate.dropped.is_some() {
                break;
            }
        }
        fate
    }

    /// When a packet that would arrive at `arrival` does so, keeping its place behind those sent before it.
    pub(crate) fn in_order(&mut self, from: NamespaceId, to: NamespaceId, arrival: u64) -> u64 {
        let last = self.arrivals.entry((from, to)).or_default();
        *last = arrival.max(*last);
        *last
    }
}

impl Scope {
    /// 0 for packets of the first side to the second, 1 for those the other way.
    fn direction(&self, from: NamespaceId, to: NamespaceId, topology: &Topology) -> Option<usize> {
        if from == to {
            return None;
        }
        if self.covers(from, to, topology) {
            return Some(0);
        }
        (!self.one_way && self.covers(to, from, topology)).then_some(1)
    }

    fn covers(&self, first: NamespaceId, second: NamespaceId, topology: &Topology) -> bool {
        let within = |ends: &Vec<LinkEnd>, place: NamespaceId| {
            ends.iter().any(|end| match *end {
                LinkEnd::Namespace(namespace) => namespace == place,
                LinkEnd::Node(node) => node == topology.node_of(place),
            })
        };
        match (&self.from, &self.to) {
            (None, None) => true,
            (Some(one), Some(other)) => within(one, first) && within(other, second),
            (Some(one), None) => within(one, first) && !within(one, second),
            (None, Some(other)) => within(other, second) && !within(other, first),
        }
    }
}

impl Impairment {
    fn chance(&mut self, probability: f64, digest: &mut RunDigest) -> bool {
        if probability <= 0.0 {
            return false;
        }
        let hit = self.rng.unit() < probability;
        digest.draw(self.stream, &[u8::from(hit)]);
        hit
    }

    fn judge(&mut self, direction: usize, now: u64, bytes: u64, digest: &mut RunDigest, fate: &mut Fate) {
        match self.effect {
            Effect::Cut => fate.dropped = Some(DropReason::Partition),
            Effect::Flap { down, up } => {
                let phase = (now - self.since) % down.saturating_add(up).max(1);
                if phase < down {
                    fate.dropped = Some(DropReason::LinkDown);
                }
            }
            Effect::Loss(share) => {
                if self.chance(share, digest) {
                    fate.dropped = Some(DropReason::InjectedLoss);
                }
            }
            Effect::Bursts { begin, end, good, bad } => {
                let leave = if self.bad[direction] { end } else { begin };
                if self.chance(leave, digest) {
                    self.bad[direction] = !self.bad[direction];
                }
                let share = if self.bad[direction] { bad } else { good };
                if self.chance(share, digest) {
                    fate.dropped = Some(DropReason::InjectedLoss);
                }
            }
            Effect::Delay(latency) => {
                let drawn = latency.sample(&mut self.rng);
                if latency.constant().is_none() {
                    digest.draw(self.stream, &drawn.to_le_bytes());
                }
                fate.later = fate.later.saturating_add(drawn);
            }
            Effect::Bandwidth { rate, queue } => {
                let rate = u128::from(rate.max(1));
                let waiting = self.busy_until[direction].saturating_sub(now);
                let backlog = u128::from(waiting) * rate / 8_000_000_000;
                if waiting > 0 && backlog + u128::from(bytes) > u128::from(queue) {
                    fate.dropped = Some(DropReason::InjectedQueueFull);
                    return;
                }
                let takes = u64::try_from(u128::from(bytes) * 8_000_000_000 / rate).unwrap_or(u64::MAX);
                let departs = self.busy_until[direction].max(now).saturating_add(takes);
                self.busy_until[direction] = departs;
                fate.later = fate.later.saturating_add(departs - now);
            }
            Effect::Reorder { share, by } => {
                if self.chance(share, digest) {
                    fate.overtaken = true;
                    fate.later = fate.later.saturating_add(by);
                }
            }
            Effect::Duplicate(share) => fate.twice |= self.chance(share, digest),
            Effect::Corrupt(share) => {
                if self.chance(share, digest) {
                    fate.corrupt = Some(digest.draw_from(self.stream, &mut self.rng));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{NamespaceSpec, NodeSpec};
    use super::*;

    fn two_nodes() -> (Topology, [NamespaceId; 3]) {
        let mut topology = Topology::default();
        let nodes = ["a", "b"].map(|name| topology.add_node(NodeSpec { name: name.to_owned(), ..NodeSpec::default() }));
        let mut pod = |node: usize, name: &str| {
            let spec = NamespaceSpec { node: nodes[node], name: name.to_owned(), addresses: Vec::new() };
            topology.add_namespace(spec)
        };
        let pods = [pod(0, "one"), pod(0, "two"), pod(1, "three")];
        (topology, pods)
    }

    fn losses(effect: Effect, packets: u32) -> Vec<bool> {
        let (topology, [one, _, three]) = two_nodes();
        let mut impairments = Impairments::default();
        impairments.add(Seed(1), "test", Scope::default(), effect, Instant::START);
        let mut digest = RunDigest::new();
        (0..packets)
            .map(|number| {
                let now = Instant::START + Duration::from_millis(number.into());
                impairments.judge((one, three), (1, 2), now, 1500, &topology, &mut digest).dropped.is_some()
            })
            .collect()
    }

    #[test]
    fn a_side_alone_means_its_border() {
        let (topology, [one, two, three]) = two_nodes();
        let node = LinkEnd::Node(topology.node_of(one));
        let border = Scope { from: Some(vec![node]), ..Scope::default() };
        assert_eq!(border.direction(one, three, &topology), Some(0));
        assert_eq!(border.direction(three, two, &topology), Some(1));
        assert_eq!(border.direction(one, two, &topology), None, "they are on the same side");
        assert_eq!(border.direction(one, one, &topology), None, "it never leaves");
        let one_way = Scope { one_way: true, ..border };
        assert_eq!(one_way.direction(three, two, &topology), None);
        let pods = Scope { from: Some(vec![LinkEnd::Namespace(one)]), to: Some(vec![node]), ..Scope::default() };
        assert_eq!(pods.direction(one, two, &topology), Some(0));
        assert_eq!(pods.direction(one, three, &topology), None);
    }

    #[test]
    fn a_flapping_link_is_down_first_then_up() {
        let flap = Effect::Flap { down: 2_000_000, up: 3_000_000 };
        let expected = [true, true, false, false, false, true, true, false];
        assert_eq!(losses(flap, 8), expected);
    }

    #[test]
    fn bursts_lose_as_much_as_their_formula_says_and_in_runs() {
        let lost = losses(Effect::Bursts { begin: 0.02, end: 0.2, good: 0.0, bad: 1.0 }, 20_000);
        let share = lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64;
        let stationary = 0.02 / (0.02 + 0.2);
        assert!((share - stationary).abs() < 0.02, "{share} lost, {stationary} expected");
        let runs = lost.windows(2).filter(|pair| pair[0] && !pair[1]).count() as f64;
        let mean_run = share * lost.len() as f64 / runs;
        assert!((4.0..6.0).contains(&mean_run), "a burst has {mean_run} packets, 5 expected");
    }

    #[test]
    fn a_narrow_scope_drops_what_its_queue_does_not_hold() {
        let (topology, [one, _, three]) = two_nodes();
        let mut impairments = Impairments::default();
        let narrow = Effect::Bandwidth { rate: 12_000, queue: 3_000 };
        impairments.add(Seed(1), "test", Scope::default(), narrow, Instant::START);
        let mut judge =
            || impairments.judge((one, three), (1, 2), Instant::START, 1500, &topology, &mut RunDigest::new());
        assert_eq!(judge().later, 1_000_000_000, "1,500 bytes take a second at 12 kbps");
        assert_eq!(judge().later, 2_000_000_000);
        assert_eq!(judge().dropped, Some(DropReason::InjectedQueueFull));
    }
}
