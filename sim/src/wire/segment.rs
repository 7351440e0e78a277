//! [`Segment`]: one TCP segment, or a run of them travelling as one event.

use super::{Payload, Seq};

/// A TCP segment without its addresses (the packet around it has those).
///
/// A segment may stand for several wire packets: like a network card with segmentation offload, TCP hands over one
/// large payload together with the size it would be cut to, and the fabric counts and times it as
/// [`Segment::wire_packets`] packets while moving it as one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of the first payload byte (or of the SYN or FIN).
    pub seq: Seq,
    /// Next byte expected from the peer; meaningful when [`Flags::ACK`] is set.
    pub ack: Seq,
    /// Control bits.
    pub flags: Flags,
    /// The window field as on the wire: unscaled on SYN segments, else shifted right by the negotiated scale.
    pub window: u16,
    /// Payload bytes that one wire packet carries at most (the sender's effective MSS). 0 means all in one packet.
    pub packet_payload: u16,
    /// Options.
    pub options: Options,
    /// The bytes.
    pub payload: Payload,
}

impl Segment {
    /// Sequence space used: payload bytes, plus one for SYN and one for FIN.
    #[inline]
    pub fn sequence_len(&self) -> u32 {
        self.payload.len() as u32
            + u32::from(self.flags.contains(Flags::SYN))
            + u32::from(self.flags.contains(Flags::FIN))
    }

    /// How many wire packets this stands for; at least 1.
    #[inline]
    pub fn wire_packets(&self) -> u32 {
        let length = self.payload.len() as u32;
        let each = u32::from(self.packet_payload);
        if length <= each || each == 0 { 1 } else { length.div_ceil(each) }
    }

    /// Bytes of one packet's TCP header including options, padded to 4.
    pub fn header_len(&self) -> u32 {
        20 + self.options.wire_len()
    }
}

/// TCP control bits, with their values on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No bit.
    pub const NONE: Flags = Flags(0);
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgment field is meaningful.
    pub const ACK: Flags = Flags(0x10);

    /// Whether every bit of `other` is set here.
    #[inline]
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    #[inline]
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Without the bits of `other`.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

/// TCP options. The first three appear on SYN segments only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size offered.
    pub mss: Option<u16>,
    /// Window scale offered, 0 to 14.
    pub window_scale: Option<u8>,
    /// Selective acknowledgments are understood.
    pub sack_permitted: bool,
    /// Selectively acknowledged ranges; boxed because only loss makes them.
    pub sack: Option<Box<SackBlocks>>,
}

impl Options {
    /// Bytes on the wire, padded to 4.
    pub fn wire_len(&self) -> u32 {
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let scale = if self.window_scale.is_some() { 3 } else { 0 };
        let permitted = if self.sack_permitted { 2 } else { 0 };
        let blocks = self.sack.as_ref().map_or(0, |sack| 2 + 8 * sack.blocks().len() as u32);
        u32::next_multiple_of(mss + scale + permitted + blocks, 4)
    }
}

/// Up to three selectively acknowledged ranges, most recent first (RFC 2018).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    ranges: [(Seq, Seq); 3],
    count: u8,
}

impl SackBlocks {
    /// Adds the range from the first number up to, not including, the second. A fourth is ignored.
    pub fn push(&mut self, from: Seq, to: Seq) {
        if let Some(slot) = self.ranges.get_mut(usize::from(self.count)) {
            *slot = (from, to);
            self.count += 1;
        }
    }

    /// The ranges.
    pub fn blocks(&self) -> &[(Seq, Seq)] {
        &self.ranges[..usize::from(self.count)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_segment_counts_the_packets_it_stands_for() {
        let mut segment =
            Segment { packet_payload: 1460, payload: Payload::copy_from(&[0; 1461]), ..Segment::default() };
        assert_eq!(segment.wire_packets(), 2);
        segment.payload = Payload::EMPTY;
        assert_eq!(segment.wire_packets(), 1);
        segment.flags = Flags::SYN.with(Flags::FIN);
        assert_eq!(segment.sequence_len(), 2);
    }

    #[test]
    fn syn_options_pad_to_whole_words() {
        let options = Options { mss: Some(1460), window_scale: Some(7), sack_permitted: true, ..Options::default() };
        assert_eq!(options.wire_len(), 12);
        let mut blocks = SackBlocks::default();
        blocks.push(Seq(1), Seq(2));
        assert_eq!(Options { sack: Some(Box::new(blocks)), ..Options::default() }.wire_len(), 12);
    }
}
