//! [`Payload`]: bytes that are copied once and then shared.

use std::cell::RefCell;
use std::fmt;
use std::io::IoSlice;
use std::ops::Deref;
use std::sync::Arc;

/// Immutable bytes in transit: one allocation, a window into it, and cheap clones. At most 4 GiB.
#[derive(Clone, Default)]
pub struct Payload {
    data: Option<Arc<[u8]>>,
    start: u32,
    end: u32,
}

impl Payload {
    /// No bytes; allocates nothing.
    pub const EMPTY: Payload = Payload { data: None, start: 0, end: 0 };

    /// Copies `bytes`. Anything over 4 GiB is cut off; writers bound their buffers far below that.
    pub fn copy_from(bytes: &[u8]) -> Payload {
        if bytes.is_empty() {
            return Payload::EMPTY;
        }
        let bytes = &bytes[..bytes.len().min(u32::MAX as usize)];
        Payload { end: bytes.len() as u32, data: Some(allocation(bytes)), start: 0 }
    }

    /// Copies the first `limit` bytes of `slices` into one payload.
    pub fn gather(slices: &[IoSlice<'_>], limit: usize) -> Payload {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if let Some(first) = slices.iter().find(|slice| !slice.is_empty())
            && first.len() >= total.min(limit)
        {
            return Payload::copy_from(&first[..limit.min(first.len())]);
        }
        let mut gathered = Vec::with_capacity(total.min(limit));
        for slice in slices {
            let room = limit - gathered.len();
            gathered.extend_from_slice(&slice[..room.min(slice.len())]);
        }
        Payload::copy_from(&gathered)
    }

    /// Number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Reads a little of it ahead of use; the result means nothing.
    #[inline]
    pub fn touch(&self) -> u64 {
        let shared = self.data.as_ref().map_or(0, Arc::strong_count) as u64;
        self.as_slice().iter().step_by(256).fold(shared, |seen, &byte| seen ^ u64::from(byte))
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.data {
            Some(data) => &data[self.start as usize..self.end as usize],
            None => &[],
        }
    }

    /// Bytes `from..to` of this payload, sharing the allocation. Bounds past the end are cut to it.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Payload {
        let to = to.min(self.len());
        if from >= to {
            return Payload::EMPTY;
        }
        Payload { data: self.data.clone(), start: self.start + from as u32, end: self.start + to as u32 }
    }

    /// Drops the first `count` bytes (all of them if there are fewer).
    pub fn advance(&mut self, count: usize) {
        if count >= self.len() {
            *self = Payload::EMPTY;
        } else {
            self.start += count as u32;
        }
    }

    /// Keeps the first `count` bytes only.
    pub fn truncate(&mut self, count: usize) {
        if count == 0 {
            *self = Payload::EMPTY;
        } else if count < self.len() {
            self.end = self.start + count as u32;
        }
    }
}

/// Allocations that are kept for reuse have a length that is a multiple of this...
const STEP: usize = 512;
/// ...and at most this many steps.
const STEPS: usize = 34;
/// Bytes kept for each length.
const KEPT: usize = 8 << 20;
/// Shorter payloads are left to the allocator, which is fast at them.
const SMALL: usize = 256;

thread_local! {
    /// Allocations nobody uses any more, by number of steps: large writes come and go by the million, and the general
    /// allocator is slow at their sizes. What is in them is always overwritten.
    static IDLE: RefCell<[Vec<Arc<[u8]>>; STEPS]> = const { RefCell::new([const { Vec::new() }; STEPS]) };
}

/// An allocation that begins with `bytes`.
fn allocation(bytes: &[u8]) -> Arc<[u8]> {
    let steps = bytes.len().div_ceil(STEP);
    if bytes.len() < SMALL || steps > STEPS {
        return Arc::from(bytes);
    }
    let idle = IDLE.try_with(|idle| idle.borrow_mut()[steps - 1].pop()).ok().flatten();
    let mut data = idle.unwrap_or_else(|| Arc::from(vec![0; steps * STEP]));
    match Arc::get_mut(&mut data) {
        Some(place) => {
            place[..bytes.len()].copy_from_slice(bytes);
            data
        }
        None => Arc::from(bytes),
    }
}

impl Drop for Payload {
    #[inline]
    fn drop(&mut self) {
        // Most payloads dropped are empty ones that were moved out of.
        if let Some(data) = self.data.take() {
            let_go(data);
        }
    }
}

/// Drops a share of an allocation; keeps the allocation if it was the last.
#[inline(never)]
fn let_go(data: Arc<[u8]>) {
    if Arc::strong_count(&data) == 1
        && data.len() >= STEP
        && data.len().is_multiple_of(STEP)
        && data.len() <= STEP * STEPS
    {
        // At the end of a thread the allocation just goes.
        let _ = IDLE.try_with(|idle| {
            let kept = &mut idle.borrow_mut()[data.len() / STEP - 1];
            if kept.len() < KEPT / data.len() {
                kept.push(data);
            }
        });
    }
}

impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_share_and_cut() {
        let whole = Payload::copy_from(b"hello world");
        let mut world = whole.slice(6, 100);
        assert_eq!(&*world, b"world");
        world.advance(1);
        world.truncate(3);
        assert_eq!(&*world, b"orl");
        world.advance(9);
        assert!(world.is_empty() && whole.slice(4, 4).is_empty());
    }

    #[test]
    fn a_reused_allocation_shows_nothing_of_its_past() {
        for length in [300, 512, 513, 1024, 17_408, 20_000, 700] {
            let payload = Payload::copy_from(&vec![length as u8; length]);
            let (shared, tail) = (payload.clone(), payload.slice(length - 1, length));
            assert_eq!(payload.len(), length);
            drop(payload);
            assert!(shared.iter().all(|&byte| byte == length as u8));
            drop(shared);
            assert_eq!(&*tail, &[length as u8]);
        }
    }

    #[test]
    fn gather_stops_at_the_limit() {
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef")];
        assert_eq!(&*Payload::gather(&slices, 4), b"abcd");
        assert_eq!(&*Payload::gather(&slices, 2), b"ab");
        assert_eq!(&*Payload::gather(&slices, 99), b"abcdef");
    }
}
