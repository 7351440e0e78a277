//! Names and addresses, the byte pump, drain signals, SOCKS5.

pub mod copy;
pub mod drain;
mod hostname;
pub mod race;
pub mod socks5;

pub use hostname::NamespacedHostname;
