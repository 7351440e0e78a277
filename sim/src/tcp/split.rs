//! [`split`]: the wire packets a large segment stands for.

use crate::wire::{Flags, Segment};

/// The wire packets of one segment, in order; see [`split`].
#[derive(Debug)]
pub struct Split {
    rest: Option<Segment>,
}

/// Cuts a segment into the wire packets it stands for, sharing its bytes; a segment of one packet comes out as it went
/// in. PSH and FIN stay with the last one. The fabric does this when packets of one segment fare differently.
pub fn split(segment: Segment) -> Split {
    Split { rest: Some(segment) }
}

impl Iterator for Split {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        let mut rest = self.rest.take()?;
        if rest.wire_packets() == 1 {
            return Some(rest);
        }
        let size = rest.packet_payload;
        let mut first = rest.clone();
        first.payload.truncate(usize::from(size));
        first.flags = first.flags.without(Flags::FIN.with(Flags::PSH));
        rest.payload.advance(usize::from(size));
        rest.seq = rest.seq.plus(u32::from(size));
        self.rest = Some(rest);
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Payload, Seq};

    #[test]
    fn packets_add_up_to_the_segment() {
        let data: Vec<u8> = (0..250).collect();
        let segment = Segment {
            seq: Seq(u32::MAX - 99),
            flags: Flags::ACK.with(Flags::FIN),
            packet_payload: 100,
            payload: Payload::copy_from(&data),
            ..Segment::default()
        };
        let packets: Vec<Segment> = split(segment.clone()).collect();
        assert_eq!(packets.len() as u32, segment.wire_packets());
        assert_eq!(packets.iter().flat_map(|packet| packet.payload.to_vec()).collect::<Vec<u8>>(), data);
        assert_eq!(packets[1].seq, Seq(0));
        assert_eq!(packets.iter().filter(|packet| packet.flags.contains(Flags::FIN)).count(), 1);
        assert!(packets[2].flags.contains(Flags::FIN));
    }
}
