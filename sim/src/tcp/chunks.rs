//! [`Chunks`]: a queue of payloads that keeps the first one in place.

use std::collections::VecDeque;

use crate::wire::Payload;

/// Capacity kept by an empty queue.
const CAPACITY_KEPT: usize = 8;

/// A queue of non-empty payloads. The first is stored in place: connections that take turns, which are most, hold one at a
/// time and then neither allocate nor touch other memory.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Empty if the queue is.
    first: Payload,
    #[expect(clippy::box_collection, reason = "most connections never have one, and every one would pay its size")]
    rest: Option<Box<VecDeque<Payload>>>,
}

impl Chunks {
    #[inline]
    pub(super) fn len(&self) -> usize {
        if self.first.is_empty() { 0 } else { 1 + self.rest.as_ref().map_or(0, |rest| rest.len()) }
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Payload> {
        match index {
            0 => (!self.first.is_empty()).then_some(&self.first),
            _ => self.rest.as_ref()?.get(index - 1),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Payload> {
        match index {
            0 => (!self.first.is_empty()).then_some(&mut self.first),
            _ => self.rest.as_mut()?.get_mut(index - 1),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Payload> {
        let first = (!self.first.is_empty()).then_some(&self.first);
        first.into_iter().chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }

    /// Appends `payload`, which is not empty.
    #[inline]
    pub(super) fn push_back(&mut self, payload: Payload) {
        if self.first.is_empty() {
            self.first = payload;
        } else {
            self.rest.get_or_insert_default().push_back(payload);
        }
    }

    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<Payload> {
        if self.first.is_empty() {
            return None;
        }
        let next = match &mut self.rest {
            None => Payload::EMPTY,
            Some(rest) => {
                let next = rest.pop_front().unwrap_or_default();
                if next.is_empty() && rest.capacity() > CAPACITY_KEPT {
                    self.rest = None;
                }
                next
            }
        };
        Some(std::mem::replace(&mut self.first, next))
    }

    /// Removes the last payload if `wanted` says so.
    pub(super) fn pop_back_if(&mut self, wanted: impl FnOnce(&Payload) -> bool) -> Option<Payload> {
        match &mut self.rest {
            Some(rest) if !rest.is_empty() => rest.pop_back_if(|payload| wanted(payload)),
            _ if !self.first.is_empty() && wanted(&self.first) => self.pop_front(),
            _ => None,
        }
    }

    /// Puts `payload`, which is not empty, before the one at `index`, or last.
    pub(super) fn insert(&mut self, index: usize, payload: Payload) {
        if index > 0 {
            self.rest.get_or_insert_default().insert(index - 1, payload);
        } else {
            let next = std::mem::replace(&mut self.first, payload);
            if !next.is_empty() {
                self.rest.get_or_insert_default().push_front(next);
            }
        }
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Payload> {
        if index == 0 { self.pop_front() } else { self.rest.as_mut()?.remove(index - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(chunks: &Chunks) -> Vec<u8> {
        chunks.iter().map(|chunk| chunk[0]).collect()
    }

    #[test]
    fn order_is_kept_wherever_payloads_come_and_go() {
        let mut chunks = Chunks::default();
        chunks.insert(0, Payload::copy_from(&[2]));
        chunks.insert(0, Payload::copy_from(&[1]));
        chunks.push_back(Payload::copy_from(&[4]));
        chunks.insert(2, Payload::copy_from(&[3]));
        assert_eq!((listing(&chunks), chunks.len()), (vec![1, 2, 3, 4], 4));
        assert!(chunks.pop_back_if(|chunk| chunk[0] == 9).is_none());
        assert!(chunks.pop_back_if(|chunk| chunk[0] == 4).is_some());
        assert!(chunks.remove(1).is_some_and(|chunk| chunk[0] == 2));
        assert!(chunks.remove(0).is_some_and(|chunk| chunk[0] == 1));
        assert_eq!(chunks.get(0).map(|chunk| chunk[0]), Some(3));
        assert!(chunks.pop_back_if(|_| true).is_some());
        assert!(chunks.pop_front().is_none() && chunks.get_mut(0).is_none() && chunks.len() == 0);
    }
}
