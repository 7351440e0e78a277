//! [`Maglev`]: a table every member fills in its own order.

use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

/// Entries at most; a larger table would only be slower.
const ENTRIES_MAX: u64 = 5_000_011;

/// Members take turns, in proportion to their weights, to claim the next free entry of their own permutation.
#[derive(Clone, Debug)]
pub(super) struct Maglev {
    entries: Vec<u32>,
}

impl Maglev {
    /// `size` should be prime.
    pub(super) fn new(members: &[(Arc<str>, u32)], size: u64) -> Self {
        let size = size.clamp(2, ENTRIES_MAX);
        let heaviest = members.iter().map(|(_, weight)| *weight).max().unwrap_or(0);
        let mut entries: Vec<Option<u32>> = vec![None; size as usize];
        let permutation = |key: &str| (xxh64(key.as_bytes(), 0) % size, xxh64(key.as_bytes(), 1) % (size - 1) + 1);
        struct Turn {
            offset: u64,
            skip: u64,
            next: u64,
            weight: u64,
            owed: u64,
        }
        let turn = |(key, weight): &(Arc<str>, u32)| {
            let (offset, skip) = permutation(key);
            Turn { offset, skip, next: 0, weight: u64::from(*weight), owed: 0 }
        };
        let mut turns: Vec<Turn> = members.iter().map(turn).collect();
        let mut free = if heaviest == 0 { 0 } else { size };
        while free > 0 {
            for (member, turn) in (0u32..).zip(&mut turns) {
                turn.owed += turn.weight;
                if turn.owed < u64::from(heaviest) || free == 0 {
                    continue;
                }
                turn.owed -= u64::from(heaviest);
                // A size that is not prime may leave entries no permutation visits: then any free one will do.
                let own = (0..size).map(|_| {
                    let place = (turn.offset + turn.skip * turn.next % size) % size;
                    turn.next += 1;
                    place as usize
                });
                let mut own = own.filter(|place| entries[*place].is_none());
                let place = own.next().or_else(|| entries.iter().position(Option::is_none));
                if let Some(entry) = place.and_then(|place| entries.get_mut(place)) {
                    *entry = Some(member);
                    free -= 1;
                }
            }
        }
        Maglev { entries: entries.into_iter().flatten().collect() }
    }

    /// The member a hash belongs to.
    pub(super) fn find(&self, hash: u64) -> Option<usize> {
        let size = self.entries.len() as u64;
        let place = hash.checked_rem(size)? as usize;
        self.entries.get(place).map(|member| *member as usize)
    }
}
