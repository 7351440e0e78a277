//! [`WireWatch`]: what checkers need to know of the wire, one observation a connection and not one a packet.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use parking_lot::Mutex;
use proxy_core::host::Instant;

use crate::record::{Journal, ObservationKind, WireFact};
use crate::wire::{Alteration, Body, Flags, Segment, Sight, SightKind, Tap};

/// First byte of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// The mark a node proxy puts on its sockets.
const PROXY_MARK: u32 = 0x539;

/// A [`Tap`] that writes [`WireFact`]s to the journal.
pub struct WireWatch {
    journal: Journal,
    /// Connections whose first bytes have not left yet: when they were opened.
    opening: Mutex<BTreeMap<(SocketAddr, SocketAddr), Instant>>,
}

impl WireWatch {
    /// Writes to this journal.
    pub fn new(journal: Journal) -> Self {
        WireWatch { journal, opening: Mutex::default() }
    }
}

impl Tap for WireWatch {
    fn packet(&self, sight: &Sight<'_>) {
        if sight.what == SightKind::Impaired(Alteration::Corrupted) {
            let (source, destination) = (sight.packet.source, sight.packet.destination);
            self.write(sight.at, WireFact::Corrupted { source, destination });
            return;
        }
        if sight.what != SightKind::Sent {
            return;
        }
        let Body::Tcp(segment) = &sight.packet.body else { return };
        let (source, destination) = (sight.packet.source, sight.packet.destination);
        if sight.mark == PROXY_MARK
            && opens(segment)
            && let Some(port) = sight.redirect
        {
            self.write(sight.at, WireFact::Recaptured { source, destination, port });
        }
        if sight.local {
            return;
        }
        if opens(segment) {
            // Either side may speak first: both directions are of interest.
            let mut opening = self.opening.lock();
            opening.insert((source, destination), sight.at);
            opening.insert((destination, source), sight.at);
        } else if !segment.payload.is_empty() {
            let Some(opened) = self.opening.lock().remove(&(source, destination)) else { return };
            let tls = segment.payload.first() == Some(&TLS_HANDSHAKE);
            self.write(sight.at, WireFact::FirstBytes { source, destination, opened, tls });
        } else if segment.flags.contains(Flags::RST) || segment.flags.contains(Flags::FIN) {
            self.opening.lock().remove(&(source, destination));
        }
    }
}

impl WireWatch {
    fn write(&self, at: Instant, fact: WireFact) {
        self.journal.record(at, ObservationKind::Wire(fact));
    }
}

fn opens(segment: &Segment) -> bool {
    segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK)
}
