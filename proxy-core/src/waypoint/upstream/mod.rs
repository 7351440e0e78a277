//! Endpoints, and connections to them.

pub(super) mod backends;
pub(super) mod clients;
pub(super) mod connect;
pub(super) mod failure;
pub(super) mod pick;
pub(super) mod target;
