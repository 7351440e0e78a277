//! Names and addresses, the byte pump, drain signals.

pub mod copy;
pub mod drain;
mod hostname;
pub(crate) mod race;

pub use hostname::NamespacedHostname;
