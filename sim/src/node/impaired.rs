//! What faults do inside the engine: to packets, to nodes that stand still or are down, to readers.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use proxy_core::host::Instant;

use super::arena::Key;
use super::flights::InFlight;
use super::sockets::Route;
use super::world::World;
use crate::event::Event;
use crate::exec::{Parked, ProcessId};
use crate::fabric::{Admission, ImpairmentId, Scope};
use crate::wire::{Alteration, Body, DropReason, NamespaceId, NodeId, Payload, SightKind};

/// A node that does not take part.
pub(super) enum Standstill {
    /// Nothing runs, not even its kernel; what comes is kept, or lost.
    Paused { keeps: bool, held: Vec<Event> },
    /// It has no power. What comes is lost.
    Down,
}

/// Faults inside the engine, other than the network's own. Consulted only while [`Troubles::is_active`].
#[derive(Default)]
pub(super) struct Troubles {
    standing: BTreeMap<NodeId, Standstill>,
    readers: BTreeMap<ProcessId, SlowReader>,
}

/// A process that reads so many bytes a second from each of its sockets; 0 is none at all.
#[derive(Default)]
struct SlowReader {
    rate: u64,
    /// By socket: when it will read again.
    ready: BTreeMap<Key, Instant>,
    /// Waiting for the fault to end.
    stuck: Vec<Parked>,
}

impl Troubles {
    #[inline]
    pub(super) fn hold_nodes(&self) -> bool {
        !self.standing.is_empty()
    }

    #[inline]
    pub(super) fn slow_readers(&self) -> bool {
        !self.readers.is_empty()
    }
}

impl World {
    /// Changes what is wrong with the network.
    pub(super) fn change_impairments<R>(&mut self, change: impl FnOnce(&mut World) -> R) -> R {
        let result = change(self);
        // Whether packets travel in runs depends on it, and routes remember that.
        self.topology.invalidate();
        result
    }

    pub(super) fn rescope(&mut self, id: ImpairmentId, scope: Scope) {
        self.change_impairments(|world| world.impairments.rescope(id, scope));
    }

    /// Puts a packet on its way through a network with something wrong.
    pub(super) fn send_impaired(&mut self, mut in_flight: InFlight, route: Route, bytes: u64) {
        let (from, to) = (in_flight.from, in_flight.to);
        let ports = (in_flight.packet.source.port(), in_flight.packet.destination.port());
        let fate = self.impairments.judge((from, to), ports, self.now, bytes, &self.topology, &mut self.digest);
        if let Some(reason) = fate.dropped {
            self.drop_packet(reason, &in_flight);
            return;
        }
        let arrival = match self.paths.admit(route.path, self.now, bytes, &mut self.digest) {
            Admission::Arrives(at) => at.as_nanos().saturating_add(fate.later),
            Admission::Dropped(reason) => {
                self.drop_packet(reason, &in_flight);
                return;
            }
        };
        let arrival = if fate.overtaken { arrival } else { self.impairments.in_order(from, to, arrival) };
        if fate.later > 0 {
            let alteration = if fate.overtaken { Alteration::HeldBack } else { Alteration::Delayed };
            self.show_if_watched(alteration(fate.later), &in_flight);
        }
        if let Some(draw) = fate.corrupt
            && let Body::Tcp(segment) = &mut in_flight.packet.body
            && !segment.payload.is_empty()
        {
            segment.payload = corrupted(&segment.payload, draw);
            self.counters.packets_corrupted += 1;
            self.show_if_watched(Alteration::Corrupted, &in_flight);
        }
        let at = Instant::from_nanos(arrival);
        if fate.twice {
            self.counters.packets_duplicated += 1;
            self.show_if_watched(Alteration::Duplicated, &in_flight);
            let twin = InFlight { packet: in_flight.packet.clone(), ..in_flight };
            let slot = self.flights.insert(twin);
            self.queue.push(at, Event::Arrive(slot));
        }
        let slot = self.flights.insert(in_flight);
        self.queue.push(at, Event::Arrive(slot));
    }

    fn show_if_watched(&self, alteration: Alteration, in_flight: &InFlight) {
        if !self.taps.is_empty() {
            self.show(SightKind::Impaired(alteration), in_flight);
        }
    }

    /// Takes an event away from a node that does not take part. `None` if it was taken.
    pub(super) fn hold_back(&mut self, event: Event) -> Option<Event> {
        let namespace = match event {
            Event::Arrive(slot) => self.flights.get(slot)?.to,
            Event::Socket { slot, generation } => self.sockets.get(Key { slot, generation })?.namespace,
            Event::Timer(_) => return Some(event),
        };
        let node = self.topology.node_of(namespace);
        let Some(standstill) = self.troubles.standing.get_mut(&node) else { return Some(event) };
        match (standstill, event) {
            (Standstill::Paused { keeps: true, held }, _) | (Standstill::Paused { held, .. }, Event::Socket { .. }) => {
                held.push(event);
            }
            (_, Event::Arrive(slot)) => {
                if let Some(in_flight) = self.flights.take(slot) {
                    self.drop_packet(DropReason::NodeDown, &in_flight);
                }
            }
            (_, _) => {}
        }
        None
    }

    /// Has a node stand still, or take part again. What a paused node kept happens at once, in order.
    pub(super) fn stand_still(&mut self, node: NodeId, standstill: Option<Standstill>) {
        let before = match standstill {
            Some(standstill) => self.troubles.standing.insert(node, standstill),
            None => self.troubles.standing.remove(&node),
        };
        if let Some(Standstill::Paused { held, .. }) = before {
            held.into_iter().for_each(|event| self.queue.push(self.now, event));
        }
    }

    /// Lets go of every socket of a namespace without a word to anyone; its addresses stay.
    pub(super) fn wipe_namespace(&mut self, namespace: NamespaceId) {
        let connections = self.sockets.keys(|socket| socket.namespace == namespace);
        connections.into_iter().for_each(|key| self.forget_connection(key));
        if let Some(state) = self.namespaces.get_mut(namespace.0 as usize) {
            let listeners = std::mem::take(&mut state.listeners);
            let datagrams = std::mem::take(&mut state.datagrams);
            for key in listeners {
                self.close_listener(key);
            }
            datagrams.into_iter().for_each(|key| self.close_datagram(key));
        }
    }

    /// Has a process read at most so many bytes a second from each socket; `None` as fast as it likes.
    pub(super) fn slow_reads(&mut self, process: ProcessId, rate: Option<u64>) {
        let before = match rate {
            Some(rate) => self.troubles.readers.insert(process, SlowReader { rate, ..SlowReader::default() }),
            None => self.troubles.readers.remove(&process),
        };
        if let Some(before) = before {
            self.wake_all(before.stuck);
        }
    }

    /// Whether the reader of this socket must wait; if so, it is woken when it need not any more.
    pub(super) fn must_wait_to_read(&mut self, key: Key, waker: &Waker) -> bool {
        let Some(process) = self.sockets.get(key).map(|socket| socket.process) else { return false };
        let Some(reader) = self.troubles.readers.get_mut(&process) else { return false };
        if reader.rate == 0 {
            self.executor.park_among(&mut reader.stuck, waker);
            return true;
        }
        let Some(&ready) = reader.ready.get(&key).filter(|ready| **ready > self.now) else { return false };
        let timer = self.timers.arm(self.executor.park(waker));
        self.queue.push(ready, Event::Timer(timer));
        true
    }

    /// A slow reader has read: it will not read again before it may.
    pub(super) fn note_read(&mut self, key: Key, bytes: usize) {
        let Some(process) = self.sockets.get(key).map(|socket| socket.process) else { return };
        let Some(reader) = self.troubles.readers.get_mut(&process).filter(|reader| reader.rate > 0) else { return };
        let nanos = (bytes as u128 * 1_000_000_000 / u128::from(reader.rate)).min(u128::from(u64::MAX)) as u64;
        reader.ready.insert(key, self.now + Duration::from_nanos(nanos));
    }
}

/// The same bytes but one, of which at least one bit is another.
fn corrupted(payload: &Payload, draw: u64) -> Payload {
    let mut bytes = payload.to_vec();
    let index = (draw >> 8) as usize % bytes.len().max(1);
    if let Some(byte) = bytes.get_mut(index) {
        *byte ^= (draw as u8).max(1);
    }
    Payload::copy_from(&bytes)
}
