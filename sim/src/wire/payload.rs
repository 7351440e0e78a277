//! [`Payload`]: bytes that are copied once and then shared.

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
        Payload { end: bytes.len() as u32, data: Some(Arc::from(bytes)), start: 0 }
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
    fn gather_stops_at_the_limit() {
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef")];
        assert_eq!(&*Payload::gather(&slices, 4), b"abcd");
        assert_eq!(&*Payload::gather(&slices, 2), b"ab");
        assert_eq!(&*Payload::gather(&slices, 99), b"abcdef");
    }
}
