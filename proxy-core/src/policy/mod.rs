//! Layer-4 authorization as plain functions over data. Nothing here waits, draws or knows a socket.

mod authorize;
mod rule;

pub use authorize::{Connection, Decision, Verdict, authorize};
pub use rule::{
    Action, Authorization, Clause, IpBlock, Match, PolicyKey, Rule, Scope, ServiceAccountMatch, StringMatch,
};
