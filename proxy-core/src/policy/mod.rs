//! Authorization as plain functions over data. Nothing here waits, draws or knows a socket.

mod authorize;
pub mod http;
mod matcher;
mod rule;

pub use authorize::{Connection, Decision, Verdict, authorize, authorize_known};
pub(crate) use matcher::{full_length, masked};
pub use rule::{
    Action, Authorization, Clause, IpBlock, Match, PolicyKey, Rule, Scope, ServiceAccountMatch, StringMatch,
};
