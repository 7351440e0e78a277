//! [`StateHandle`]: the latest [`Snapshot`](super::Snapshot), and news of its changes.

/// The latest snapshot, shared by every task of a proxy.
#[derive(Clone, Debug)]
pub struct StateHandle {}
