//! [`WireWatch`]: what checkers need to know of the wire, one observation a connection and not one a packet.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use parking_lot::Mutex;
use proxy_core::host::Instant;

use crate::record::{Journal, ObservationKind, WireFact};
use crate::wire::{Alteration, Body, Flags, Payload, Segment, Seq, Sight, SightKind, Tap};

/// First byte of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// First byte of a TLS alert record.
const TLS_ALERT: u8 = 0x15;
/// The mark a node proxy puts on its sockets.
const PROXY_MARK: u32 = 0x539;

/// A [`Tap`] that writes [`WireFact`]s to the journal.
pub struct WireWatch {
    journal: Journal,
    /// Connections whose first bytes have not left yet: when they were opened, and the number they begin with. A SYN that
    /// is sent again opens nothing: who dialled did so before.
    opening: Mutex<BTreeMap<(SocketAddr, SocketAddr), (Instant, Seq)>>,
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
            if opening.get(&(source, destination)).is_none_or(|(_, first)| *first != segment.seq) {
                opening.insert((source, destination), (sight.at, segment.seq));
                opening.insert((destination, source), (sight.at, segment.seq));
            }
        } else if is_alert(&segment.payload) {
            // A server that cannot read its client's first words says so in the clear: no application's byte. What it
            // says next is looked at instead.
        } else if !segment.payload.is_empty() {
            let Some((opened, _)) = self.opening.lock().remove(&(source, destination)) else { return };
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

/// Whether this is one TLS alert in the clear and nothing else (RFC 8446 §6).
fn is_alert(payload: &Payload) -> bool {
    payload.len() == 7 && matches!(payload.to_vec()[..], [TLS_ALERT, 3, _, 0, 2, 1 | 2, _])
}

fn opens(segment: &Segment) -> bool {
    segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{NamespaceId, Options, Packet};

    const CLIENT: &str = "10.0.0.1:40000";
    const SERVER: &str = "10.0.0.2:15008";

    fn sent(watch: &WireWatch, ends: (&str, &str), flags: Flags, payload: &[u8]) {
        sent_at(watch, Instant::START, Seq(1), ends, flags, payload);
    }

    fn sent_at(watch: &WireWatch, at: Instant, seq: Seq, (from, to): (&str, &str), flags: Flags, payload: &[u8]) {
        let address = |text: &str| text.parse().expect("an address");
        let segment = Segment {
            seq,
            ack: Seq(1),
            flags,
            window: 1,
            packet_payload: 1460,
            options: Options::default(),
            payload: Payload::copy_from(payload),
        };
        let packet = Packet { source: address(from), destination: address(to), body: Body::Tcp(segment) };
        watch.packet(&Sight {
            at,
            what: SightKind::Sent,
            namespace: NamespaceId(0),
            place: "",
            node: "",
            mark: 0,
            redirect: None,
            local: false,
            packet: &packet,
        });
    }

    /// What is said of the server's first bytes, if these are they.
    fn told(words: &[&[u8]]) -> Vec<bool> {
        let journal = Journal::new();
        let watch = WireWatch::new(journal.clone());
        sent(&watch, (CLIENT, SERVER), Flags::SYN, b"");
        words.iter().for_each(|words| sent(&watch, (SERVER, CLIENT), Flags::ACK, words));
        let told = journal.take().into_iter().filter_map(|observation| match observation.kind {
            ObservationKind::Wire(WireFact::FirstBytes { tls, .. }) => Some(tls),
            _ => None,
        });
        told.collect()
    }

    #[test]
    fn an_alert_in_the_clear_is_no_application_byte_and_hides_none() {
        let alert = [TLS_ALERT, 3, 3, 0, 2, 2, 50];
        assert!(told(&[&alert]).is_empty());
        assert_eq!(told(&[&alert, b"secret"]), [false]);
        assert_eq!(told(&[&[TLS_ALERT, 3, 3, 0, 3, 2, 50]]), [false], "that is none");
        assert_eq!(told(&[&[TLS_HANDSHAKE, 3, 3]]), [true]);
        assert_eq!(told(&[b"GET / HTTP/1.1"]), [false]);
    }

    #[test]
    fn a_connection_is_as_old_as_its_first_syn() {
        let opened = |second: u32| {
            let journal = Journal::new();
            let watch = WireWatch::new(journal.clone());
            let at = Instant::from_nanos;
            sent_at(&watch, at(1), Seq(7), (CLIENT, SERVER), Flags::SYN, b"");
            sent_at(&watch, at(2), Seq(second), (CLIENT, SERVER), Flags::SYN, b"");
            sent_at(&watch, at(3), Seq(8), (CLIENT, SERVER), Flags::ACK, b"x");
            journal.take().into_iter().find_map(|observation| match observation.kind {
                ObservationKind::Wire(WireFact::FirstBytes { opened, .. }) => Some(opened.as_nanos()),
                _ => None,
            })
        };
        assert_eq!(opened(7), Some(1), "the same one, sent again");
        assert_eq!(opened(9), Some(2), "another one between the same ends");
    }
}
