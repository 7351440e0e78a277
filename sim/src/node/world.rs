//! [`World`]: everything that happens is a change of this.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proxy_core::host::{Instant, Rng, WallTime};

use super::arena::{Arena, Key};
use super::clock::ClockModel;
use super::flights::{Flights, InFlight};
use super::impaired::Troubles;
use super::sockets::{FlowKey, ListenSocket, Namespace, TcpSocket, UdpSocket};
use crate::draws::RunDigest;
use crate::event::{Event, NEAR, Queue, Timers};
use crate::exec::{Executor, Parked, ProcessId};
use crate::fabric::{Counters, FixedIndex, Impairments, LinkTable, Paths, Topology, fixed_hash};
use crate::seed::Seed;
use crate::tcp::{Output, TcpConfig};
use crate::wire::{Body, DropReason, NamespaceId, Sight, SightKind, Tap};

/// While fewer events than this wait, what they are about fits the processor's caches, and reading ahead costs more than
/// it saves.
const WORTHWHILE: usize = 6_000;

/// A process: its streams of chance. Its tasks are the executor's.
pub(super) struct Process {
    pub(super) alive: bool,
    /// Prefix of its streams' names.
    key: String,
    streams: BTreeMap<&'static str, Rng>,
}

/// What [`World::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Something happened, and somebody must be woken.
    Woke,
    /// Nothing is left to happen by the limit.
    Nothing,
    /// Too many events without time moving.
    Stuck,
    /// The run's event limit was reached.
    EventLimit,
}

/// The whole state of a run except its tasks. Single-threaded; never calls foreign code other than taps: wakers to be
/// woken are left in `wakes`.
pub(super) struct World {
    pub(super) now: Instant,
    clock: Arc<AtomicU64>,
    pub(super) seed: Seed,
    pub(super) epoch: WallTime,
    pub(super) digest: RunDigest,
    pub(super) queue: Queue<Event>,
    pub(super) executor: Arc<Executor>,
    pub(super) timers: Timers<Parked>,
    pub(super) topology: Topology,
    pub(super) paths: Paths,
    pub(super) impairments: Impairments,
    pub(super) troubles: Troubles,
    pub(super) flights: Flights,
    pub(super) sockets: Arena<TcpSocket>,
    pub(super) flows: FixedIndex<FlowKey, Key>,
    pub(super) listeners: Arena<ListenSocket>,
    pub(super) datagrams: Arena<UdpSocket>,
    pub(super) namespaces: Vec<Namespace>,
    pub(super) processes: Vec<Process>,
    incarnations: BTreeMap<String, u32>,
    pub(super) clocks: Vec<ClockModel>,
    /// Virtual service addresses and what is behind them, as node-level address translation knows it.
    pub(super) virtuals: BTreeMap<SocketAddr, Vec<SocketAddr>>,
    pub(super) virtual_choice: Option<Rng>,
    configs: BTreeMap<u16, Arc<TcpConfig>>,
    pub(super) tcp_config: TcpConfig,
    pub(super) taps: Vec<Arc<dyn Tap>>,
    /// Foreign wakers to be woken where nothing is borrowed. Tasks of our own are made ready at once.
    pub(super) wakes: Vec<Parked>,
    /// Somebody was woken since the last step began.
    woke: bool,
    /// Wakers nobody needs any more, to be dropped where nothing is borrowed: a waker may own anything.
    pub(super) discarded: Vec<Parked>,
    pub(super) output: Output,
    pub(super) counters: Counters,
    events_this_instant: u64,
    pub(super) limits: crate::exec::Limits,
}

impl World {
    pub(super) fn new(
        seed: Seed,
        epoch: WallTime,
        limits: crate::exec::Limits,
        clock: Arc<AtomicU64>,
        executor: Arc<Executor>,
    ) -> Self {
        World {
            executor,
            now: Instant::START,
            clock,
            seed,
            epoch,
            digest: RunDigest::new(),
            queue: Queue::new(),
            timers: Timers::default(),
            topology: Topology::default(),
            paths: Paths::new(seed, LinkTable::default()),
            impairments: Impairments::default(),
            troubles: Troubles::default(),
            flights: Flights::default(),
            sockets: Arena::new(),
            flows: FixedIndex::default(),
            listeners: Arena::new(),
            datagrams: Arena::new(),
            namespaces: Vec::new(),
            processes: Vec::new(),
            incarnations: BTreeMap::new(),
            clocks: Vec::new(),
            virtuals: BTreeMap::new(),
            virtual_choice: None,
            configs: BTreeMap::new(),
            tcp_config: TcpConfig::default(),
            taps: Vec::new(),
            wakes: Vec::new(),
            woke: false,
            discarded: Vec::new(),
            output: Output::default(),
            counters: Counters::default(),
            events_this_instant: 0,
            limits,
        }
    }

    /// Registers the process the executor just numbered. Streams are named by namespace, process and how many of that
    /// name came before, so that adding another process shifts nobody's chance.
    pub(super) fn add_process(&mut self, id: ProcessId, name: &str) {
        let incarnation = self.incarnations.entry(name.to_owned()).or_insert(0);
        *incarnation += 1;
        debug_assert_eq!(id.0 as usize, self.processes.len(), "processes are numbered in step");
        let key = format!("process/{name}#{incarnation}/");
        self.processes.push(Process { alive: true, key, streams: BTreeMap::new() });
    }

    pub(super) fn is_process_alive(&self, process: ProcessId) -> bool {
        self.processes.get(process.0 as usize).is_some_and(|process| process.alive)
    }

    /// Draws from a stream of a process.
    pub(super) fn fill_random(&mut self, process: ProcessId, stream: &'static str, dest: &mut [u8]) {
        let Some(state) = self.processes.get_mut(process.0 as usize) else { return };
        let (seed, key) = (self.seed, &state.key);
        let rng = state.streams.entry(stream).or_insert_with(|| seed.stream(&format!("{key}{stream}")));
        rng.fill(dest);
        self.digest.draw(fixed_hash(u64::from(process.0), &stream), dest);
    }

    pub(super) fn wall_time(&self, namespace: NamespaceId) -> WallTime {
        let node = self.topology.node_of(namespace);
        self.clocks.get(node.0 as usize).copied().unwrap_or_default().at(self.epoch, self.now)
    }

    /// Lets things happen, up to `limit`, until somebody must be woken. With `whole_instant`, first finishes the
    /// instant.
    pub(super) fn step(&mut self, limit: Instant, whole_instant: bool) -> Step {
        let mut limit = limit;
        self.woke = false;
        loop {
            self.look_ahead(limit);
            let Some((at, event)) = self.queue.pop_until(limit) else {
                return if self.woke { Step::Woke } else { Step::Nothing };
            };
            if at != self.now {
                self.now = at;
                self.clock.store(at.as_nanos(), Ordering::Relaxed);
                self.events_this_instant = 0;
            }
            self.events_this_instant += 1;
            self.counters.events += 1;
            if self.events_this_instant > self.limits.events_per_instant {
                return Step::Stuck;
            }
            if self.counters.events > self.limits.events {
                return Step::EventLimit;
            }
            let event = match self.troubles.hold_nodes() {
                false => event,
                true => match self.hold_back(event) {
                    Some(event) => event,
                    None => continue,
                },
            };
            match event {
                Event::Arrive(slot) => self.arrive(slot),
                Event::Timer(timer) => {
                    if let Some(waker) = self.timers.fire(timer) {
                        self.counters.timers_fired += 1;
                        self.digest.time(at.as_nanos());
                        self.wake(waker);
                    }
                }
                Event::Socket { slot, generation } => self.socket_timer(Key { slot, generation }),
            }
            if self.woke {
                if !whole_instant {
                    return Step::Woke;
                }
                limit = self.now;
            }
        }
    }

    /// Reads ahead what the next few events will work on. Each event alone would wait for memory many times in a row;
    /// reading for many at once lets memory fetch in parallel. Changes nothing.
    #[inline]
    fn look_ahead(&mut self, limit: Instant) {
        let World { queue, flights, sockets, timers, executor, .. } = self;
        if queue.len() < WORTHWHILE {
            return;
        }
        let events = queue.look_ahead(limit);
        if events.clone().next().is_none() {
            return;
        }
        let mut seen = 0;
        for event in events.clone() {
            seen ^= match event {
                Event::Arrive(slot) => flights.get(slot).map_or(0, |in_flight| {
                    let payload = match &in_flight.packet.body {
                        Body::Tcp(segment) => segment.payload.touch(),
                        _ => 0,
                    };
                    payload ^ sockets.at(in_flight.receiver.slot).map_or(0, TcpSocket::touch)
                }),
                Event::Socket { slot, .. } => sockets.at(slot).map_or(0, TcpSocket::touch),
                Event::Timer(_) => 0,
            };
        }
        let mut notes = [u32::MAX; NEAR];
        let woken = events.map(|event| match event {
            Event::Arrive(slot) => {
                let receiver = flights.get(slot).map_or(u32::MAX, |in_flight| in_flight.receiver.slot);
                let socket = sockets.at(receiver)?;
                seen ^= socket.tcb.touch_sent();
                socket.reader.as_ref()
            }
            Event::Timer(timer) => timers.peek(timer),
            Event::Socket { .. } => None,
        });
        executor.notes(woken, &mut notes);
        for note in notes {
            seen ^= sockets.at(note).map_or(0, TcpSocket::touch);
        }
        std::hint::black_box(seen);
    }

    /// Wakes somebody: a task of ours at once, anybody else when the world is no longer borrowed.
    #[inline]
    pub(super) fn wake(&mut self, parked: Parked) {
        self.woke = true;
        if let Some(foreign) = self.executor.wake_own(parked) {
            self.wakes.push(foreign);
        }
    }

    /// Wakes everyone in a list.
    pub(super) fn wake_all(&mut self, list: Vec<Parked>) {
        list.into_iter().for_each(|parked| self.wake(parked));
    }

    /// Moves the clock to `at` when nothing is left to happen before.
    pub(super) fn advance_to(&mut self, at: Instant) {
        if at > self.now {
            self.now = at;
            self.clock.store(at.as_nanos(), Ordering::Relaxed);
            self.events_this_instant = 0;
        }
    }

    /// Changes links. What is under way keeps its arrival, and nothing sent later overtakes it.
    pub(super) fn change_links(&mut self, change: impl FnOnce(&mut Paths, &mut Topology)) {
        for (at, event) in self.queue.iter() {
            let Event::Arrive(slot) = event else { continue };
            let Some(in_flight) = self.flights.get(slot) else { continue };
            let path = self.paths.between(in_flight.from, in_flight.to, &self.topology);
            self.paths.note_arrival(path, at);
        }
        change(&mut self.paths, &mut self.topology);
    }

    /// Drops cancelled timers' events once they are too many.
    pub(super) fn sweep_if_worthwhile(&mut self) {
        if self.timers.should_sweep(self.queue.len()) {
            let timers = &self.timers;
            self.queue.sweep(|event| match event {
                Event::Timer(timer) => timers.is_live(*timer),
                _ => true,
            });
            self.timers.swept();
        }
    }

    /// TCP settings for paths of this MTU and address family.
    pub(super) fn tcp_config_for(&mut self, mtu: u16, ipv4: bool) -> Arc<TcpConfig> {
        let mss = mtu.saturating_sub(if ipv4 { 40 } else { 60 }).max(64);
        let template = &self.tcp_config;
        let config = self.configs.entry(mss).or_insert_with(|| Arc::new(TcpConfig { mss, ..template.clone() }));
        Arc::clone(config)
    }

    pub(super) fn set_tcp_config(&mut self, config: TcpConfig) {
        self.tcp_config = config;
        self.configs.clear();
    }

    /// Shows a packet to every tap.
    pub(super) fn show(&self, what: SightKind, in_flight: &InFlight) {
        for tap in &self.taps {
            // What is lost where it should have arrived is seen there.
            let there = matches!(
                what,
                SightKind::Delivered
                    | SightKind::Dropped(
                        DropReason::NodeDown
                            | DropReason::NamespaceGone
                            | DropReason::NoSocket
                            | DropReason::BacklogFull
                            | DropReason::ReceiveBufferFull
                    )
            );
            let namespace = if there { in_flight.to } else { in_flight.from };
            tap.packet(&Sight {
                at: self.now,
                what,
                namespace,
                place: self.topology.name(namespace),
                node: self.topology.node(self.topology.node_of(namespace)).map_or("", |node| &node.name),
                mark: in_flight.mark,
                redirect: (in_flight.redirect != 0).then_some(in_flight.redirect),
                local: in_flight.from == in_flight.to,
                packet: &in_flight.packet,
            });
        }
    }
}
