//! What the command does: one file a subcommand.

pub(crate) mod explain;
pub(crate) mod list;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod shrink;
pub(crate) mod sweep;
mod twice;
pub(crate) mod ztunnel;
