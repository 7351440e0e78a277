//! What the command does: one file a subcommand.

pub(crate) mod control_plane;
pub(crate) mod explain;
pub(crate) mod gate;
pub(crate) mod list;
pub(crate) mod live;
pub(crate) mod parity;
mod process;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod shrink;
pub(crate) mod sweep;
mod twice;
pub(crate) mod waypoint;
pub(crate) mod ztunnel;
