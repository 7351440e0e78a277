//! Addresses, the byte pump, drain signals.

pub mod copy;
pub mod drain;
pub(crate) mod race;
