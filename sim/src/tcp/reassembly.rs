//! [`Reassembly`]: bytes that arrived ahead of their turn.

use crate::wire::{Payload, SackBlocks, Seq};

/// Most chunks held; a chunk that would be one more is dropped as if the network had lost it.
const CHUNKS_MAX: usize = 4096;

/// Bytes that arrived ahead of their turn: sorted, disjoint chunks, all after the next expected byte. Bounded in bytes
/// by the window, in chunks by a constant.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    chunks: Vec<(Seq, Payload)>,
    /// Start of the chunk stored last: its block is reported first (RFC 2018 §4).
    recent: Seq,
}

fn end_of(chunk: &(Seq, Payload)) -> Seq {
    chunk.0.plus(chunk.1.len() as u32)
}

impl Reassembly {
    /// Whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Stores what of `payload` is not held yet.
    pub(super) fn insert(&mut self, seq: Seq, payload: Payload) {
        let (mut seq, mut payload) = (seq, payload);
        // First chunk that ends after our start.
        let mut index = self.chunks.partition_point(|chunk| !end_of(chunk).after(seq));
        while !payload.is_empty() {
            let next = self.chunks.get(index).map(|chunk| (chunk.0, end_of(chunk)));
            let gap = match next {
                Some((start, _)) if !seq.before(start) => 0,
                Some((start, _)) => start.since(seq).min(payload.len() as u32),
                None => payload.len() as u32,
            };
            if gap > 0 {
                if self.chunks.len() >= CHUNKS_MAX {
                    return;
                }
                self.chunks.insert(index, (seq, payload.slice(0, gap as usize)));
                self.recent = seq;
                index += 1;
            }
            let Some((_, end)) = next else { return };
            // Skip what the next chunk already holds.
            let skip = end.since(seq).min(payload.len() as u32).max(gap);
            payload.advance(skip as usize);
            seq = seq.plus(skip);
            index += 1;
        }
    }

    /// The first chunk if it continues at `next`, cut so that it starts there. Chunks wholly before `next` are dropped.
    pub(super) fn pop(&mut self, next: Seq) -> Option<Payload> {
        let stale = self.chunks.iter().take_while(|chunk| !end_of(chunk).after(next)).count();
        self.chunks.drain(..stale);
        if self.chunks.first()?.0.after(next) {
            return None;
        }
        let (start, mut payload) = self.chunks.remove(0);
        payload.advance(next.since(start) as usize);
        Some(payload)
    }

    /// Drops what lies at or after `end`: the stream ends there.
    pub(super) fn cut(&mut self, end: Seq) {
        self.chunks.retain_mut(|(start, payload)| {
            payload.truncate(end.saturating_since(*start) as usize);
            !payload.is_empty()
        });
    }

    /// Up to three blocks: the one that grew last, then those after it, going round.
    pub(super) fn blocks(&self) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        let count = self.chunks.len();
        if count == 0 {
            return blocks;
        }
        let touches = |index: usize| end_of(&self.chunks[index - 1]) == self.chunks[index].0;
        let mut first = self.chunks.partition_point(|chunk| !chunk.0.after(self.recent)).saturating_sub(1);
        while first > 0 && touches(first) {
            first -= 1;
        }
        let mut index = first;
        loop {
            let mut last = index;
            while last + 1 < count && touches(last + 1) {
                last += 1;
            }
            blocks.push(self.chunks[index].0, end_of(&self.chunks[last]));
            index = if last + 1 < count { last + 1 } else { 0 };
            if index == first || blocks.blocks().len() == 3 {
                return blocks;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(range: std::ops::Range<u8>) -> Payload {
        Payload::copy_from(&range.collect::<Vec<u8>>())
    }

    #[test]
    fn overlaps_are_stored_once_and_read_in_order() {
        let mut held = Reassembly::default();
        let base = Seq(u32::MAX - 10);
        let at = |offset: u8| base.plus(u32::from(offset));
        held.insert(at(10), bytes(10..20));
        held.insert(at(30), bytes(30..40));
        held.insert(at(5), bytes(5..45));
        assert_eq!(held.blocks().blocks(), &[(at(5), at(45))]);
        assert!(held.pop(at(4)).is_none());
        let mut next = 7;
        while let Some(chunk) = held.pop(at(next)) {
            assert_eq!(chunk[0], next);
            next += chunk.len() as u8;
        }
        assert_eq!(next, 45);
        assert!(held.is_empty());
    }

    #[test]
    fn the_latest_block_is_reported_first() {
        let mut held = Reassembly::default();
        for start in [10u8, 40, 70, 100, 20] {
            held.insert(Seq(u32::from(start)), bytes(start..start + 10));
        }
        assert_eq!(held.blocks().blocks(), &[(Seq(10), Seq(30)), (Seq(40), Seq(50)), (Seq(70), Seq(80))]);
        held.insert(Seq(75), bytes(75..85));
        assert_eq!(held.blocks().blocks(), &[(Seq(70), Seq(85)), (Seq(100), Seq(110)), (Seq(10), Seq(30))]);
    }
}
