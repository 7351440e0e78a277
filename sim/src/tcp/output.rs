//! [`Output`]: what a call on a connection leaves for its host to do.

use crate::wire::Segment;

/// Readiness changes of one connection, a set.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Changes(u8);

impl Changes {
    /// Nothing changed.
    pub const NONE: Changes = Changes(0);
    /// The handshake is done.
    pub const CONNECTED: Changes = Changes(1);
    /// There is something to read: bytes, the end of the stream, or an error.
    pub const READABLE: Changes = Changes(2);
    /// A writer that was turned away may try again, or will get an error.
    pub const WRITABLE: Changes = Changes(4);
    /// The connection is gone: [`super::Tcb::close_reason`] says why. The host may free it.
    pub const CLOSED: Changes = Changes(8);

    /// Whether any of `other` is in the set.
    pub const fn has(self, other: Changes) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds `other`.
    pub fn insert(&mut self, other: Changes) {
        self.0 |= other.0;
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What to send and whom to wake. Hosts keep one and drain it after every call, so no call allocates for it.
#[derive(Default, Debug)]
pub struct Output {
    /// To send, in order.
    pub segments: Vec<Segment>,
    /// What changed.
    pub changes: Changes,
}

impl Output {
    /// Forgets everything, keeping the allocation.
    pub fn clear(&mut self) {
        self.segments.clear();
        self.changes = Changes::NONE;
    }
}
