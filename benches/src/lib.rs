//! Criterion benchmarks.
//!
//! Wall-clock figures mean nothing between machines, so each benchmark that makes a claim runs its peer in the same
//! process and prints the ratio. The map:
//!
//! - [`authorize`]: policy decisions by number of policies.
//! - [`resolve`]: lookups and updates of a large configuration.
//! - [`tcp`]: one connection driven by hand: cost of a segment.
//! - [`idle_mesh`], [`busy_mesh`]: 200 nodes and 2,000 enrolled pods, left alone and under load.
//! - [`echo`]: pairs of hosts echoing, all in phase and staggered, on our fabric, on turmoil-net and on turmoil; timed by
//!   [`stopwatch`].

use criterion::Criterion;

pub mod authorize;
pub mod busy_mesh;
pub mod echo;
pub mod idle_mesh;
#[path = "../../sim/examples/support/mesh_under_load.rs"]
#[allow(dead_code, reason = "shared with examples, each of which uses a part")]
pub mod mesh_under_load;
pub mod resolve;
pub mod stopwatch;
pub mod tcp;

/// All benchmarks, in order of cost.
pub fn benchmarks(criterion: &mut Criterion) {
    authorize::benchmarks(criterion);
    resolve::benchmarks(criterion);
    tcp::benchmarks(criterion);
    idle_mesh::benchmarks(criterion);
    busy_mesh::benchmarks(criterion);
    echo::benchmarks(criterion);
}
