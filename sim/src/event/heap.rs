//! [`Heap`]: a monotone radix heap, stable within equal times.

/// Bits of time a level tells apart.
const LEVEL_BITS: u32 = 6;
/// Slots of one level.
const SLOTS: usize = 1 << LEVEL_BITS;
/// Most events of a slot that become a run rather than being moved into lower slots...
const RUN: usize = 64;
/// ...if the slot is of this level or below (2^18 ns wide or less)...
const NARROW: usize = 2;
/// ...and otherwise.
const FEW: usize = 12;
/// Nanoseconds from the first to the last event of a run, at most.
const SPAN: u64 = 1 << 18;
/// Levels needed for 64 bits of time.
const LEVELS: usize = 64usize.div_ceil(LEVEL_BITS as usize);

/// An event and its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<E> {
    pub(super) at: u64,
    pub(super) event: E,
}

/// Events ordered by time and, within one time, by the order they were pushed; taken out in runs.
///
/// Nothing may be pushed before the end of the last run taken, which makes a radix heap possible: an event sits in
/// the level of the highest six-bit digit in which its time differs from `base`, in the slot of that digit. Taking a run
/// empties the lowest slot: into lower levels if it holds many events, else, sorted, into the run. Each event moves down
/// at most once a level, so both operations are O(1) however many events wait. Two events of the same time always share a
/// slot and never overtake each other there, which is where the stable order comes from without a sequence number.
#[derive(Debug)]
pub(super) struct Heap<E> {
    /// The time slots are laid out from: at most the end of the last run.
    base: u64,
    /// Events of exactly `base`, first in first out.
    current: Vec<Entry<E>>,
    slots: Box<[Vec<Entry<E>>]>,
    /// Which slots of a level hold something.
    occupied: [u64; LEVELS],
    /// Which levels hold something.
    levels: u32,
    /// Emptied slots' memory, for the next slot that needs some.
    spare: Vec<Vec<Entry<E>>>,
    len: usize,
}

impl<E: Copy> Heap<E> {
    /// An empty heap at time zero.
    pub(super) fn new() -> Self {
        Heap {
            base: 0,
            current: Vec::new(),
            slots: (0..LEVELS * SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; LEVELS],
            levels: 0,
            spare: Vec::new(),
            len: 0,
        }
    }

    /// Adds an event, not before the end of the last run.
    #[inline]
    pub(super) fn push(&mut self, at: u64, event: E) {
        self.len += 1;
        self.place(Entry { at, event });
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Fills `run`, which is empty, with the next events in order, if the first of them is not after `limit`. Returns
    /// the end of the run: what remains, and whatever is pushed from now on, is not before it.
    pub(super) fn take_run(&mut self, limit: u64, run: &mut Vec<Entry<E>>) -> Option<u64> {
        while self.current.is_empty() {
            if self.levels == 0 {
                return None;
            }
            let level = self.levels.trailing_zeros() as usize;
            let digit = self.occupied[level].trailing_zeros() as usize;
            let slot = &mut self.slots[level * SLOTS + digit];
            let few = slot.len() <= if level <= NARROW { RUN } else { FEW };
            if few {
                if !slot.is_sorted_by_key(|entry| entry.at) {
                    slot.sort_by_key(|entry| entry.at);
                }
                let first = slot.first()?.at;
                if first > limit {
                    return None;
                }
                // Not so far ahead that much is pushed into the run once it is out.
                let end = first.saturating_add(SPAN);
                let count = slot.partition_point(|entry| entry.at <= end);
                if count < slot.len() {
                    run.extend(slot.drain(..count));
                } else {
                    std::mem::swap(run, slot);
                    self.recycle(level, digit);
                }
                self.len -= run.len();
                return run.last().map(|last| last.at);
            }
            let earliest = slot.iter().map(|entry| entry.at).min()?;
            if earliest > limit {
                return None;
            }
            let mut entries = std::mem::take(slot);
            self.vacate(level, digit);
            self.base = earliest;
            for entry in entries.drain(..) {
                self.place(entry);
            }
            self.spare.push(entries);
        }
        if self.base > limit {
            return None;
        }
        self.len -= self.current.len();
        std::mem::swap(run, &mut self.current);
        Some(self.base)
    }

    /// Keeps an emptied slot's memory.
    #[inline]
    fn recycle(&mut self, level: usize, digit: usize) {
        let memory = std::mem::take(&mut self.slots[level * SLOTS + digit]);
        if memory.capacity() > 0 {
            self.spare.push(memory);
        }
        self.vacate(level, digit);
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
        self.slots[slot].iter().map(|entry| entry.at).min()
    }

    /// Every event, in no particular but a repeatable order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<E>> {
        self.current.iter().chain(self.slots.iter().flatten()).copied()
    }

    /// Forgets every event `keep` refuses, in time proportional to the whole queue. Order is kept.
    pub(super) fn sweep(&mut self, mut keep: impl FnMut(&E) -> bool) {
        self.current.retain(|entry| keep(&entry.event));
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
            self.current.push(entry);
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
