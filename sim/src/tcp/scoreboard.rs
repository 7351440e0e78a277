//! [`Scoreboard`]: what the peer reports to hold out of order.

use crate::wire::Seq;

/// Most ranges remembered; an honest peer holds no more chunks than this.
const RANGES_MAX: usize = 4096;

/// Ranges the peer selectively acknowledged (RFC 2018): sorted, disjoint, not touching, all after the first
/// unacknowledged byte. Allocates only while something is missing.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    ranges: Vec<(Seq, Seq)>,
    total: u32,
}

impl Scoreboard {
    /// Whether no range is known.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Bytes in all ranges.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// Adds `start..end`, merging; the caller has checked that it lies within what was sent.
    pub(super) fn insert(&mut self, start: Seq, end: Seq) {
        let first = self.ranges.partition_point(|range| range.1.before(start));
        let mut last = first;
        let (mut start, mut end) = (start, end);
        while let Some(range) = self.ranges.get(last).filter(|range| !range.0.after(end)) {
            start = start.min(range.0);
            end = end.max(range.1);
            self.total -= range.1.since(range.0);
            last += 1;
        }
        self.total += end.since(start);
        if last == first && self.ranges.len() >= RANGES_MAX {
            self.total -= end.since(start);
        } else if last == first {
            self.ranges.insert(first, (start, end));
        } else {
            self.ranges[first] = (start, end);
            self.ranges.drain(first + 1..last);
        }
    }

    /// Forgets what comes before `unacknowledged`, the new first unacknowledged byte.
    ///
    /// A range that starts right there was taken back by the peer (it would have acknowledged it otherwise), so then
    /// nothing it said is believed any more.
    pub(super) fn advance(&mut self, unacknowledged: Seq) {
        if self.ranges.is_empty() {
            return;
        }
        let gone = self.ranges.partition_point(|range| !range.1.after(unacknowledged));
        for range in self.ranges.drain(..gone) {
            self.total -= range.1.since(range.0);
        }
        if self.ranges.first().is_none_or(|range| !range.0.after(unacknowledged)) {
            self.clear();
        }
    }

    /// Forgets everything and frees it.
    pub(super) fn clear(&mut self) {
        *self = Scoreboard::default();
    }

    /// The first hole at or after `from`, up to `limit`: `start..end`, empty if there is none.
    pub(super) fn hole(&self, from: Seq, limit: Seq) -> (Seq, Seq) {
        let mut start = from;
        let index = self.ranges.partition_point(|range| !range.1.after(from));
        let mut end = limit;
        for range in &self.ranges[index..] {
            if range.0.after(start) {
                end = end.min(range.0);
                break;
            }
            start = range.1;
        }
        if start.before(end) { (start, end) } else { (limit, limit) }
    }

    /// Bytes in ranges within `start..end`.
    pub(super) fn within(&self, start: Seq, end: Seq) -> u32 {
        let index = self.ranges.partition_point(|range| !range.1.after(start));
        self.ranges[index..]
            .iter()
            .take_while(|range| range.0.before(end))
            .map(|range| range.1.min(end).saturating_since(range.0.max(start)))
            .sum()
    }

    /// Every hole before this number counts as lost (RFC 6675 §4, `IsLost`): more than two packets' bytes, or three
    /// separate ranges, lie beyond it. `None` if there is no such number.
    pub(super) fn lost_below(&self, mss: u32) -> Option<Seq> {
        let mut beyond = 0;
        for (count, range) in self.ranges.iter().rev().enumerate() {
            beyond += range.1.since(range.0);
            if beyond > 2 * mss || count == 2 {
                return Some(range.0);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_and_holes_lie_between() {
        let mut board = Scoreboard::default();
        board.insert(Seq(20), Seq(30));
        board.insert(Seq(50), Seq(60));
        board.insert(Seq(28), Seq(40));
        assert_eq!(board.total(), 30);
        assert_eq!(board.hole(Seq(0), Seq(100)), (Seq(0), Seq(20)));
        assert_eq!(board.hole(Seq(20), Seq(100)), (Seq(40), Seq(50)));
        assert_eq!(board.hole(Seq(45), Seq(48)), (Seq(45), Seq(48)));
        assert_eq!(board.hole(Seq(60), Seq(60)), (Seq(60), Seq(60)));
        assert_eq!(board.within(Seq(25), Seq(55)), 20);
        board.insert(Seq(10), Seq(70));
        assert_eq!(board.total(), 60);
        board.advance(Seq(5));
        assert_eq!(board.total(), 60);
        board.advance(Seq(10));
        assert!(board.is_empty());
    }

    #[test]
    fn loss_needs_three_packets_of_evidence() {
        let mut board = Scoreboard::default();
        board.insert(Seq(200), Seq(400));
        assert_eq!(board.lost_below(100), None);
        board.insert(Seq(400), Seq(500));
        assert_eq!(board.lost_below(100), Some(Seq(200)));
        let mut pieces = Scoreboard::default();
        for start in [200, 300, 400] {
            pieces.insert(Seq(start), Seq(start + 10));
        }
        assert_eq!(pieces.lost_below(100), Some(Seq(200)));
    }
}
