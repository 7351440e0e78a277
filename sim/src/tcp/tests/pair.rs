//! [`Pair`]: two connections and the network between them, driven by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::{Instant, Rng};

use crate::tcp::{Changes, Output, Tcb, TcpConfig, reset_for, split};
use crate::wire::{Flags, Segment, Seq};

/// What the network does to one wire packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    pub(super) drop: bool,
    pub(super) duplicate: bool,
    pub(super) extra_delay: Duration,
}

type Network = Box<dyn FnMut(&mut Rng, &Segment) -> Fate>;

/// One end: its connection, what its application still wants to write, and what it has read.
pub(super) struct End {
    pub(super) tcb: Tcb,
    pub(super) to_write: Vec<u8>,
    pub(super) written: usize,
    /// FIN after everything is written.
    pub(super) finish: bool,
    pub(super) reads: bool,
    pub(super) read: Vec<u8>,
    pub(super) changes: Changes,
    pub(super) sent_segments: u32,
}

pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) ends: Vec<End>,
    server_config: Arc<TcpConfig>,
    server_initial: Seq,
    wire: BTreeMap<(Instant, u64), (usize, Segment)>,
    sent: u64,
    pub(super) delay: Duration,
    pub(super) network: Network,
    rng: Rng,
    out: Output,
}

impl Pair {
    pub(super) fn new(client: TcpConfig, server: TcpConfig) -> Pair {
        Pair::numbered(client, server, 1_000, 9_000)
    }

    /// With chosen initial sequence numbers. The client's SYN is on its way.
    pub(super) fn numbered(client: TcpConfig, server: TcpConfig, client_initial: u32, server_initial: u32) -> Pair {
        let mut pair = Pair {
            now: Instant::START + Duration::from_secs(1),
            ends: Vec::new(),
            server_config: Arc::new(server),
            server_initial: Seq(server_initial),
            wire: BTreeMap::new(),
            sent: 0,
            delay: Duration::from_millis(5),
            network: Box::new(|_, _| Fate::default()),
            rng: Rng::from_number(7),
            out: Output::default(),
        };
        let tcb = Tcb::open_active(Arc::new(client), pair.now, Seq(client_initial), &mut pair.out);
        pair.add(tcb);
        pair.flush(CLIENT);
        pair
    }

    /// Established, with nothing in flight.
    pub(super) fn connected(client: TcpConfig, server: TcpConfig) -> Pair {
        let mut pair = Pair::new(client, server);
        pair.run();
        pair
    }

    pub(super) fn seeded(mut self, seed: u64, network: impl FnMut(&mut Rng, &Segment) -> Fate + 'static) -> Pair {
        self.rng = Rng::from_number(seed);
        self.network = Box::new(network);
        self
    }

    pub(super) fn add(&mut self, tcb: Tcb) {
        self.ends.push(End {
            tcb,
            to_write: Vec::new(),
            written: 0,
            finish: false,
            reads: true,
            read: Vec::new(),
            changes: Changes::NONE,
            sent_segments: 0,
        });
    }

    /// Puts what `end` left on the wire.
    fn flush(&mut self, end: usize) {
        let segments = std::mem::take(&mut self.out.segments);
        self.ends[end].changes.insert(self.out.changes);
        self.ends[end].sent_segments += segments.len() as u32;
        self.out.clear();
        for segment in segments {
            self.send(1 - end, segment);
        }
    }

    fn send(&mut self, to: usize, segment: Segment) {
        for packet in split(segment) {
            let fate = (self.network)(&mut self.rng, &packet);
            for _ in 0..1 + usize::from(fate.duplicate) {
                if !fate.drop {
                    self.sent += 1;
                    self.wire.insert((self.now + self.delay + fate.extra_delay, self.sent), (to, packet.clone()));
                }
            }
        }
    }

    /// Calls `work` on an end and sends what it leaves.
    pub(super) fn on<R>(&mut self, end: usize, work: impl FnOnce(&mut Tcb, Instant, &mut Output) -> R) -> R {
        let result = work(&mut self.ends[end].tcb, self.now, &mut self.out);
        self.flush(end);
        result
    }

    /// Lets both applications write, finish and read what they can.
    pub(super) fn applications(&mut self) {
        for end in 0..self.ends.len() {
            let now = self.now;
            let this = &mut self.ends[end];
            if this.written < this.to_write.len() {
                this.written += this.tcb.write(now, &this.to_write[this.written..], &mut self.out);
            }
            if this.finish && this.written == this.to_write.len() {
                this.tcb.shutdown_write(now, &mut self.out);
            }
            if this.reads {
                this.tcb.read(&mut this.read, &mut self.out);
            }
            self.flush(end);
        }
    }

    fn deliver(&mut self, to: usize, segment: Segment) {
        if to == self.ends.len() && segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK) {
            let (config, initial) = (self.server_config.clone(), self.server_initial);
            let tcb = Tcb::open_passive(config, self.now, initial, &segment, &mut self.out);
            self.add(tcb);
        } else if to == self.ends.len() {
            self.out.segments.extend(reset_for(&segment));
        } else {
            self.ends[to].tcb.on_segment(self.now, segment, &mut self.out);
        }
        if to < self.ends.len() {
            self.flush(to);
        }
    }

    /// The next thing to happen, if any happens by `until`; returns whether one did.
    pub(super) fn step(&mut self, until: Instant) -> bool {
        self.applications();
        let arrival = self.wire.keys().next().map(|key| key.0);
        let timer = self.ends.iter().filter_map(|end| end.tcb.next_deadline()).min();
        let Some(next) = arrival.into_iter().chain(timer).min().filter(|&next| next <= until) else {
            return false;
        };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            if let Some((_, (to, segment))) = self.wire.pop_first() {
                self.deliver(to, segment);
            }
            return true;
        }
        for end in 0..self.ends.len() {
            if self.ends[end].tcb.next_deadline().is_some_and(|at| at <= self.now) {
                self.on(end, Tcb::on_timer);
                let next = self.ends[end].tcb.next_deadline();
                assert!(next.is_none_or(|at| at > self.now), "a deadline that is not in the future spins its host");
            }
        }
        true
    }

    /// Until nothing is pending, at most an hour.
    pub(super) fn run(&mut self) {
        self.run_until(self.now + Duration::from_secs(3600));
    }

    pub(super) fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        self.run_until(until);
        self.now = until;
    }

    fn run_until(&mut self, until: Instant) {
        let mut steps = 0;
        while self.step(until) {
            steps += 1;
            assert!(steps < 2_000_000, "the pair spins");
        }
        self.applications();
    }
}

/// Bytes that differ from place to place.
pub(super) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index ^ (index >> 8) ^ (index >> 16).wrapping_mul(31)) as u8).collect()
}
