//! [`Heap`]: a monotone radix heap, stable within equal times.

use std::collections::VecDeque;

/// Bits of time a level tells apart.
const LEVEL_BITS: u32 = 6;
/// Slots of one level.
const SLOTS: usize = 1 << LEVEL_BITS;
/// Most events of a slot that are searched rather than sorted into lower slots.
const FEW: usize = 12;
/// Levels needed for 64 bits of time.
const LEVELS: usize = 64usize.div_ceil(LEVEL_BITS as usize);

/// An event and its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<E> {
    pub(super) at: u64,
    pub(super) event: E,
}

/// Events ordered by time and, within one time, by the order they were pushed.
///
/// Nothing may be pushed before the time of the last event popped, which makes a radix heap possible: an event sits in
/// the level of the highest six-bit digit in which its time differs from `base`, in the slot of that digit. Popping
/// empties the lowest slot into lower levels. Each event moves down at most once a level, so both operations are O(1)
/// however many events wait. Two events of the same time always share a slot and never overtake each other there, which
/// is where the stable order comes from without a sequence number. A slot of few events is not worth emptying: its first
/// earliest event is taken out of it.
#[derive(Debug)]
pub(super) struct Heap<E> {
    /// The time slots are laid out from: at most that of the last event popped.
    base: u64,
    /// Events of exactly `base`, first in first out.
    current: VecDeque<E>,
    slots: Box<[Vec<Entry<E>>]>,
    /// Which slots of a level hold something.
    occupied: [u64; LEVELS],
    /// Which levels hold something.
    levels: u32,
    /// Emptied slots' memory, for the next slot that needs some.
    spare: Vec<Vec<Entry<E>>>,
    len: usize,
}

/// Index and time of the earliest entry; the first of equals.
#[inline]
fn earliest<E>(entries: &[Entry<E>]) -> Option<(usize, u64)> {
    let (first, rest) = entries.split_first()?;
    let mut best = (0, first.at);
    for (index, entry) in rest.iter().enumerate() {
        if entry.at < best.1 {
            best = (index + 1, entry.at);
        }
    }
    Some(best)
}

impl<E: Copy> Heap<E> {
    /// An empty heap at time zero.
    pub(super) fn new() -> Self {
        Heap {
            base: 0,
            current: VecDeque::new(),
            slots: (0..LEVELS * SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; LEVELS],
            levels: 0,
            spare: Vec::new(),
            len: 0,
        }
    }

    /// Adds an event, not before the last one popped.
    #[inline]
    pub(super) fn push(&mut self, at: u64, event: E) {
        self.len += 1;
        self.place(Entry { at, event });
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes the next event if it is not after `limit`.
    #[inline]
    pub(super) fn pop_until(&mut self, limit: u64) -> Option<Entry<E>> {
        if let Some(&event) = self.current.front() {
            if self.base > limit {
                return None;
            }
            self.current.pop_front();
            self.len -= 1;
            return Some(Entry { at: self.base, event });
        }
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        let digit = self.occupied[level].trailing_zeros() as usize;
        let slot = &mut self.slots[level * SLOTS + digit];
        let (first, earliest) = earliest(slot)?;
        if earliest > limit {
            return None;
        }
        self.len -= 1;
        if slot.len() <= FEW {
            let event = slot.remove(first).event;
            if slot.is_empty() {
                self.spare.push(std::mem::take(slot));
                self.vacate(level, digit);
            }
            return Some(Entry { at: earliest, event });
        }
        let mut entries = std::mem::take(slot);
        self.vacate(level, digit);
        self.base = earliest;
        for entry in entries.drain(..) {
            self.place(entry);
        }
        self.spare.push(entries);
        self.current.pop_front().map(|event| Entry { at: earliest, event })
    }

    /// Notes that a slot is empty.
    #[inline]
    fn vacate(&mut self, level: usize, digit: usize) {
        self.occupied[level] &= !(1 << digit);
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// The time of the next event.
    pub(super) fn next_at(&self) -> Option<u64> {
        if !self.current.is_empty() {
            return Some(self.base);
        }
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        let slot = level * SLOTS + self.occupied[level].trailing_zeros() as usize;
        earliest(&self.slots[slot]).map(|(_, at)| at)
    }

    /// Every event, in no particular but a repeatable order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<E>> {
        let current = self.current.iter().map(|&event| Entry { at: self.base, event });
        current.chain(self.slots.iter().flatten().copied())
    }

    /// Forgets every event `keep` refuses, in time proportional to the whole queue. Order is kept.
    pub(super) fn sweep(&mut self, mut keep: impl FnMut(&E) -> bool) {
        self.current.retain(&mut keep);
        self.len = self.current.len();
        for level in 0..LEVELS {
            for digit in 0..SLOTS {
                let slot = &mut self.slots[level * SLOTS + digit];
                if slot.is_empty() {
                    continue;
                }
                slot.retain(|entry| keep(&entry.event));
                self.len += slot.len();
                if slot.is_empty() {
                    *slot = Vec::new();
                    self.occupied[level] &= !(1 << digit);
                } else if slot.capacity() > 4 * slot.len() {
                    slot.shrink_to(2 * slot.len());
                }
            }
            if self.occupied[level] == 0 {
                self.levels &= !(1 << level);
            }
        }
        self.spare.clear();
    }

    #[inline]
    fn place(&mut self, entry: Entry<E>) {
        let difference = entry.at ^ self.base;
        if difference == 0 {
            self.current.push_back(entry.event);
            return;
        }
        let level = ((63 - difference.leading_zeros()) / LEVEL_BITS) as usize;
        let digit = (entry.at >> (level as u32 * LEVEL_BITS)) as usize % SLOTS;
        let slot = &mut self.slots[level * SLOTS + digit];
        if slot.capacity() == 0
            && let Some(memory) = self.spare.pop()
        {
            *slot = memory;
        }
        slot.push(entry);
        self.occupied[level] |= 1 << digit;
        self.levels |= 1 << level;
    }
}
