//! What a waypoint was told of routes, backends and itself, and every decision over it. Nothing here waits, reads a
//! clock or knows a socket: time comes as an instant, chance as a generator.

mod choose;
mod cors;
#[cfg(test)]
mod fixture;
mod headers;
mod matching;
pub mod model;
mod precedence;
mod redirect;
mod rewrite;

pub use choose::{Decision, Matched, Outcome, TcpDecision, choose, choose_tcp};
pub use cors::{CorsDecision, CorsHeaders};
pub use model::*;
pub use precedence::{Unordered, sort};
