//! [`Snapshot`]: everything a proxy was told, indexed. Immutable; an update makes another that shares most of it.

/// Everything a proxy was told at one moment. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {}
