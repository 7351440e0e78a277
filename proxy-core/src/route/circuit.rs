//! [`Circuit`]: bounds on what is under way to a backend.

use super::{ConnectionPool, UnderWay};

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounded {
    /// A connection.
    Connection,
    /// A request that waits for a connection.
    Pending,
    /// A request under way.
    Request,
    /// A retry under way; it counts besides its request.
    Retry,
}

/// What is under way to a backend. Refused work is answered 503 with flag `UO` and `x-envoy-overloaded: true`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circuit {
    connections: u32,
    pending: u32,
    requests: u32,
    retries: u32,
}

impl Circuit {
    /// Counts one more if it fits; tells whether it did.
    #[must_use]
    pub fn enter(&mut self, pool: &ConnectionPool, what: Bounded) -> bool {
        let most = match what {
            Bounded::Connection => pool.max_connections,
            Bounded::Pending => pool.max_pending_requests,
            Bounded::Request => pool.max_requests,
            Bounded::Retry => pool.max_retries,
        };
        let count = self.count_mut(what);
        if most.is_some_and(|most| *count >= most) {
            return false;
        }
        *count = count.saturating_add(1);
        true
    }

    /// Counts one less. Each entry is left once.
    pub fn leave(&mut self, what: Bounded) {
        let count = self.count_mut(what);
        *count = count.saturating_sub(1);
    }

    /// For a retry budget.
    pub fn under_way(&self) -> UnderWay {
        UnderWay { requests: self.requests, retries: self.retries }
    }

    fn count_mut(&mut self, what: Bounded) -> &mut u32 {
        match what {
            Bounded::Connection => &mut self.connections,
            Bounded::Pending => &mut self.pending,
            Bounded::Request => &mut self.requests,
            Bounded::Retry => &mut self.retries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_holds_for_its_own_kind_until_something_leaves() {
        let pool = ConnectionPool {
            max_connections: Some(1),
            max_pending_requests: Some(0),
            max_requests: Some(2),
            ..ConnectionPool::default()
        };
        let mut circuit = Circuit::default();
        assert!(circuit.enter(&pool, Bounded::Connection) && !circuit.enter(&pool, Bounded::Connection));
        assert!(!circuit.enter(&pool, Bounded::Pending));
        assert!(circuit.enter(&pool, Bounded::Request) && circuit.enter(&pool, Bounded::Request));
        assert!(!circuit.enter(&pool, Bounded::Request));
        circuit.leave(Bounded::Request);
        assert!(circuit.enter(&pool, Bounded::Request));
        assert!((0..100).all(|_| circuit.enter(&pool, Bounded::Retry)), "without a bound");
        assert_eq!(circuit.under_way(), UnderWay { requests: 2, retries: 100 });
    }
}
