//! [`Flights`]: packets under way.

use super::arena::Key;
use crate::wire::{Body, NamespaceId, Packet, Segment};

/// A packet under way.
pub(super) struct InFlight {
    pub(super) packet: Packet,
    pub(super) from: NamespaceId,
    pub(super) to: NamespaceId,
    /// The socket that sent it, and the one it believes it talks to.
    pub(super) sender: Key,
    pub(super) receiver: Key,
    pub(super) mark: u32,
    /// The proxy port capture sent it to when it left; 0 for none.
    pub(super) redirect: u16,
    /// Wire packets it stands for.
    pub(super) packets: u32,
}

/// Packets under way, in slots that are written once and read in place: the slot freed last is used first, so the
/// packets of a quiet network share a few cache lines.
#[derive(Default)]
pub(super) struct Flights {
    slots: Vec<InFlight>,
    free: Vec<u32>,
}

impl Flights {
    #[inline]
    pub(super) fn insert(&mut self, in_flight: InFlight) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = in_flight;
            return slot;
        }
        self.slots.push(in_flight);
        self.slots.len() as u32 - 1
    }

    /// The packet in a slot in use.
    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&InFlight> {
        self.slots.get(slot as usize)
    }

    /// Takes the segment out of a slot and frees it; an empty one if it holds no segment.
    #[inline]
    pub(super) fn take_segment(&mut self, slot: u32) -> Segment {
        self.free.push(slot);
        match self.slots.get_mut(slot as usize).map(|in_flight| &mut in_flight.packet.body) {
            Some(Body::Tcp(segment)) => std::mem::take(segment),
            _ => Segment::default(),
        }
    }

    /// Takes everything out of a slot and frees it.
    pub(super) fn take(&mut self, slot: u32) -> Option<InFlight> {
        let in_flight = self.slots.get_mut(slot as usize)?;
        let (source, destination) = (in_flight.packet.source, in_flight.packet.destination);
        let empty = Packet { source, destination, body: Body::Tcp(Segment::default()) };
        let packet = std::mem::replace(&mut in_flight.packet, empty);
        let taken = InFlight { packet, ..*in_flight };
        self.free.push(slot);
        Some(taken)
    }
}
