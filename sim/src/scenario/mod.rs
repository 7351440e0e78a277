//! Scenario files: the language, its meaning, and running it.
//!
//! - [`schema`]: the file as written; [`quantity`]: the quantities in it.
//! - [`token`]: tokens that are made when requests are.
//! - [`plan`]: the file with every name looked up; resolving does that and says what is wrong.
//! - [`parity`]: whether a scenario comes to the same simulated and on real sockets.
//! - [`replay`]: a run in one file, and running it again.
//! - [`draft`]: a scenario as plain data; [`swarm`]: what a seed of a sweep adds to it, and what came of that; [`sightings`]: states
//!   a sweep wants to see; [`shrink`]: the smallest scenario that fails the same way.
//! - [`run`]: from a plan to a [`RunRecord`](crate::record::RunRecord): steps, paths, explanations, expectations.

mod conditions;
mod decision;
pub mod draft;
mod expect;
mod explain;
pub mod parity;
mod path;
pub mod plan;
pub mod quantity;
pub mod replay;
mod resolve;
mod runner;
pub mod schema;
pub mod shrink;
pub mod sightings;
pub mod swarm;
mod timeline;
pub mod token;
mod workload;

use std::path::Path;

pub use plan::Plan;
pub use runner::{
    Entries, Forward, Handlers, LiveOptions, RunError, RunOptions, Settled, SettledPod, Tell, pod_owner, run, run_live,
    run_with,
};
pub use timeline::Timeline;

/// Whether a file is more likely a scenario than a Kubernetes manifest: for searching folders. A file that cannot be read
/// as YAML is: someone should see why.
pub fn looks_like_scenario(path: &Path) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return true };
    match crate::cluster::yaml::parse_bytes("", &bytes) {
        Ok(documents) => !documents.iter().any(|document| document.root.get("apiVersion").is_some()),
        Err(_) => true,
    }
}
