//! [`ReceiveBuffer`]: bytes received in order and not yet read.

use bytes::BufMut;

use super::chunks::Chunks;
use crate::wire::Payload;

/// Bytes received in order and not yet read, as the chunks they arrived in.
#[derive(Debug, Default)]
pub(super) struct ReceiveBuffer {
    chunks: Chunks,
    len: u32,
}

impl ReceiveBuffer {
    /// Bytes held.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Appends a chunk.
    pub(super) fn push(&mut self, payload: Payload) {
        if !payload.is_empty() {
            self.len += payload.len() as u32;
            self.chunks.push_back(payload);
        }
    }

    /// Moves bytes to `dest` until it is full or nothing is left; returns how many.
    pub(super) fn read(&mut self, dest: &mut impl BufMut) -> usize {
        let mut total = 0;
        while dest.has_remaining_mut() {
            let Some(front) = self.chunks.get_mut(0) else { break };
            let count = front.len().min(dest.remaining_mut());
            dest.put_slice(&front[..count]);
            total += count;
            if count == front.len() {
                self.chunks.pop_front();
            } else {
                front.advance(count);
            }
        }
        self.len -= total as u32;
        total
    }

    /// Takes the first chunk whole.
    pub(super) fn pop(&mut self) -> Option<Payload> {
        let chunk = self.chunks.pop_front()?;
        self.len -= chunk.len() as u32;
        Some(chunk)
    }

    /// Forgets everything and frees it.
    pub(super) fn clear(&mut self) {
        *self = ReceiveBuffer::default();
    }
}
