//! The queue of tasks ready to run.

use std::collections::VecDeque;

use proxy_core::host::Rng;

use crate::seed::Seed;

/// In which order tasks that are ready at the same instant run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskOrder {
    /// First woken, first run.
    #[default]
    Fifo,
    /// Drawn from the seed: a different interleaving for every seed, the same for one.
    Seeded,
}

/// Slots of ready tasks, each with the generation it was woken for.
#[derive(Debug)]
pub(super) struct Ready {
    queue: VecDeque<(u32, u32)>,
    order: Option<Rng>,
    /// Folds what was drawn, for the run's fingerprint.
    drawn: u64,
}

impl Ready {
    pub(super) fn new(order: TaskOrder, seed: Seed) -> Self {
        let order = (order == TaskOrder::Seeded).then(|| seed.stream("exec/order"));
        Ready { queue: VecDeque::new(), order, drawn: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, slot: u32, generation: u32) {
        self.queue.push_back((slot, generation));
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn is_seeded(&self) -> bool {
        self.order.is_some()
    }

    pub(super) fn drawn(&self) -> u64 {
        self.drawn
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<(u32, u32)> {
        if let Some(order) = &mut self.order
            && self.queue.len() > 1
        {
            let index = order.below(self.queue.len() as u64);
            self.drawn = self.drawn.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index);
            return self.queue.swap_remove_front(index as usize);
        }
        self.queue.pop_front()
    }
}
