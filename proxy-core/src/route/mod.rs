//! What a waypoint was told of routes, backends and itself, and every decision over it. Nothing here waits, reads a
//! clock or knows a socket: time comes as an instant, chance as a generator.

pub mod balance;
mod choose;
mod circuit;
mod cors;
#[cfg(test)]
mod fixture;
mod grpc;
mod head;
mod headers;
mod matching;
pub mod model;
mod outlier;
mod precedence;
mod redirect;
mod retry;
mod rewrite;
mod timeout;

pub use choose::{Decision, Matched, Outcome, TcpDecision, choose, choose_tcp};
pub use circuit::{Bounded, Circuit};
pub use cors::{CorsDecision, CorsHeaders};
pub use head::NewHead;
pub use model::*;
pub use outlier::{EjectionCause, EndpointResult, Outliers};
pub use precedence::{Unordered, sort};
pub use retry::{Retry, RetryReason, RetryState, TryResult, UnderWay};
