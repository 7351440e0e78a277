//! Addresses, the byte pump, drain signals.

pub mod copy;
pub mod drain;
