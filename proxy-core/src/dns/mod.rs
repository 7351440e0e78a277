//! The DNS proxy of a pod: answers what the mesh knows, forwards the rest.
//!
//! - [`message`]: the little of the DNS wire format a proxy needs.
//! - [`answer`]: what a name means to a client, as a pure function over a snapshot.

pub mod answer;
pub mod message;

pub use answer::{Answer, Names, answer};
