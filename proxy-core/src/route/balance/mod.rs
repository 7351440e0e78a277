//! Which endpoint of a backend gets a request.
//!
//! The caller lists the endpoints (of the subset, if there is one), each with its [`Endpoint::priority`] from
//! [`priorities`]; a [`Balancer`] per backend keeps what must be remembered between picks.

mod hash;
mod locality;
mod maglev;
mod pick;
mod ring;

pub use hash::{RequestHash, hash_request};
pub use locality::{Placed, priorities};
pub use pick::{Balancer, Endpoint, Wish};
