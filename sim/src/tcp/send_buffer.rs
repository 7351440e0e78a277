//! [`SendBuffer`]: bytes written and not yet acknowledged.

use super::chunks::Chunks;
use crate::wire::Payload;

/// Writes shorter than this are gathered while they wait, so that waiting small writes leave as full packets.
const GATHER_BELOW: usize = 4096;
/// Gathered bytes become a chunk of at most this size.
const GATHERED_MAX: usize = 64 * 1024;

/// Bytes written and not yet acknowledged, as shared chunks: first those sent, then those waiting, then a tail of
/// gathered small writes. Owns no sequence numbers; positions count from the first unacknowledged byte.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    chunks: Chunks,
    tail: Vec<u8>,
    /// All bytes, the tail's included.
    len: u32,
    /// Bytes handed out by `take`.
    sent: u32,
    /// The chunk holding the next byte to send, and how far into it that byte is.
    cursor: (u32, u32),
}

impl SendBuffer {
    /// Bytes held.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Bytes handed out and not yet acknowledged.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// Bytes not yet handed out by [`SendBuffer::take`].
    pub(super) fn unsent(&self) -> u32 {
        self.len - self.sent
    }

    /// The oldest chunk.
    #[inline]
    pub(super) fn first(&self) -> Option<&Payload> {
        self.chunks.get(0)
    }

    /// Appends a copy of `data`.
    pub(super) fn push(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let waiting = self.unsent() > 0;
        self.len += data.len() as u32;
        if waiting && data.len() < GATHER_BELOW {
            if self.tail.len() + data.len() > GATHERED_MAX {
                self.seal();
            }
            if self.tail.is_empty() {
                self.unseal_last();
            }
            self.tail.extend_from_slice(data);
        } else {
            self.seal();
            self.chunks.push_back(Payload::copy_from(data));
        }
    }

    /// Appends `payload` itself.
    pub(super) fn push_payload(&mut self, payload: Payload) {
        if payload.is_empty() {
            return;
        }
        self.len += payload.len() as u32;
        self.seal();
        self.chunks.push_back(payload);
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(Payload::copy_from(&std::mem::take(&mut self.tail)));
        }
    }

    /// Makes the last chunk the tail if it is small and none of it was sent.
    fn unseal_last(&mut self) {
        let last = self.chunks.len().wrapping_sub(1);
        let unsent = last > self.cursor.0 as usize || (last == self.cursor.0 as usize && self.cursor.1 == 0);
        if unsent && let Some(chunk) = self.chunks.pop_back_if(|chunk| chunk.len() < GATHER_BELOW) {
            self.tail.extend_from_slice(&chunk);
        }
    }

    /// The next unsent bytes, at most `limit` and at most one chunk; counts them as sent. A rest of a chunk that would
    /// make a runt though more follows is copied together with what follows into a packet of `mss`.
    pub(super) fn take(&mut self, limit: u32, mss: u32) -> Payload {
        let (index, offset) = self.cursor;
        if index as usize == self.chunks.len() {
            self.seal();
        }
        let Some(chunk) = self.chunks.get(index as usize) else { return Payload::EMPTY };
        let rest = chunk.len() as u32 - offset;
        if rest < mss && limit > rest {
            self.fill_up(mss.min(limit));
            return self.take_whole();
        }
        let count = rest.min(limit);
        let taken = chunk.slice(offset as usize, (offset + count) as usize);
        self.cursor = if count == rest { (index + 1, 0) } else { (index, offset + count) };
        self.sent += count;
        taken
    }

    /// Makes the next `size` unsent bytes, which span chunks, one chunk.
    fn fill_up(&mut self, size: u32) {
        self.seal();
        let (mut index, offset) = (self.cursor.0 as usize, self.cursor.1 as usize);
        let mut bytes = Vec::with_capacity(size as usize);
        let Some(chunk) = self.chunks.get_mut(index) else { return };
        bytes.extend_from_slice(&chunk[offset..]);
        if offset > 0 {
            chunk.truncate(offset);
            index += 1;
        } else {
            self.chunks.remove(index);
        }
        while bytes.len() < size as usize {
            let Some(next) = self.chunks.get_mut(index) else { break };
            let wanted = size as usize - bytes.len();
            bytes.extend_from_slice(&next[..wanted.min(next.len())]);
            if wanted < next.len() {
                next.advance(wanted);
            } else {
                self.chunks.remove(index);
            }
        }
        self.chunks.insert(index, Payload::copy_from(&bytes));
        self.cursor = (index as u32, 0);
    }

    /// The unsent chunk at the cursor; counts it as sent.
    fn take_whole(&mut self) -> Payload {
        let Some(chunk) = self.chunks.get(self.cursor.0 as usize) else { return Payload::EMPTY };
        self.cursor.0 += 1;
        self.sent += chunk.len() as u32;
        chunk.clone()
    }

    /// Sent bytes from `position`, at most `limit` and at most one chunk.
    pub(super) fn get(&self, position: u32, limit: u32) -> Payload {
        let mut position = position;
        for chunk in self.chunks.iter() {
            let length = chunk.len() as u32;
            if position < length {
                let count = limit.min(length - position);
                return chunk.slice(position as usize, (position + count) as usize);
            }
            position -= length;
        }
        Payload::EMPTY
    }

    /// Drops the first `count` bytes, which were acknowledged; at most what was sent.
    pub(super) fn acknowledge(&mut self, count: u32) {
        let mut count = count.min(self.sent);
        self.len -= count;
        self.sent -= count;
        while count > 0 {
            let Some(front) = self.chunks.get_mut(0) else { break };
            let length = front.len() as u32;
            if count < length {
                front.advance(count as usize);
                if self.cursor.0 == 0 {
                    self.cursor.1 -= count;
                }
                break;
            }
            count -= length;
            self.chunks.pop_front();
            self.cursor.0 = self.cursor.0.saturating_sub(1);
        }
    }

    /// Forgets everything and frees it.
    pub(super) fn clear(&mut self) {
        *self = SendBuffer::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_small_writes_leave_together_and_in_order() {
        let mut buffer = SendBuffer::default();
        buffer.push(b"first");
        buffer.push(b"second");
        buffer.push(b"third");
        assert_eq!(&*buffer.take(5, 0), b"first");
        buffer.push(b"fourth");
        assert_eq!(&*buffer.take(100, 0), b"secondthird");
        assert_eq!(&*buffer.take(100, 0), b"fourth");
        assert_eq!(buffer.unsent(), 0);
        assert_eq!(&*buffer.get(3, 100), b"stsecondthird");
        assert_eq!(&*buffer.get(7, 3), b"con");
    }

    #[test]
    fn acknowledging_moves_the_cursor_with_the_bytes() {
        let mut buffer = SendBuffer::default();
        buffer.push(b"0123456789");
        assert_eq!(&*buffer.take(6, 0), b"012345");
        buffer.acknowledge(4);
        assert_eq!(&*buffer.get(0, 9), b"456789");
        assert_eq!(&*buffer.take(2, 0), b"67");
        buffer.acknowledge(4);
        buffer.push(b"ab");
        assert_eq!(&*buffer.take(10, 0), b"89ab");
        buffer.acknowledge(4);
        assert_eq!(buffer.len(), 0);
        buffer.push(b"x");
        assert_eq!(&*buffer.take(10, 0), b"x");
    }

    #[test]
    fn a_runt_is_filled_up_from_what_follows() {
        let mut buffer = SendBuffer::default();
        for data in [b"01234567", b"89abcdef", b"ghijklmn"] {
            buffer.push_payload(Payload::copy_from(data));
        }
        assert_eq!(&*buffer.take(5, 5), b"01234");
        assert_eq!(&*buffer.take(19, 5), b"56789");
        assert_eq!(&*buffer.take(14, 5), b"abcdef");
        assert_eq!(&*buffer.take(6, 10), b"ghijkl");
        assert_eq!(&*buffer.take(2, 10), b"mn");
        assert_eq!(&*buffer.get(3, 100), b"34");
        assert_eq!(&*buffer.get(5, 100), b"56789");
        assert_eq!((buffer.unsent(), buffer.sent()), (0, 24));
        buffer.acknowledge(24);
        assert_eq!(buffer.len(), 0);
    }
}
