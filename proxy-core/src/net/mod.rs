//! Names and addresses, the byte pump, drain signals.

pub mod copy;
pub mod drain;
mod hostname;
pub mod race;

pub use hostname::NamespacedHostname;
