//! Criterion benchmarks.
//!
//! Wall-clock figures mean nothing between machines, so each benchmark that makes a claim runs its peer in the same
//! process and prints the ratio. The map:
//!
//! - [`authorize`]: policy decisions by number of policies.
//! - [`routes`], [`http_policies`]: the same of a waypoint: routes and layer-7 policies.
//! - [`resolve`]: lookups and updates of a large configuration.
//! - [`tcp`]: one connection driven by hand: cost of a segment.
//! - [`waypoint_mesh`]: a request through a waypoint in simulation, by number of services and routes.
//! - [`idle_mesh`], [`busy_mesh`]: 200 nodes and 2,000 enrolled pods, left alone and under load.
//! - [`echo`]: pairs of hosts echoing, all in phase and staggered, on our fabric, on turmoil-net and on turmoil; timed by
//!   [`stopwatch`].
//! - [`data_path`]: real sockets; a benchmark of its own, `--bench data_path`.

use criterion::Criterion;

pub mod authorize;
pub mod busy_mesh;
pub mod data_path;
pub mod echo;
pub mod http_policies;
pub mod idle_mesh;
#[path = "../../sim/examples/support/mesh_under_load.rs"]
#[allow(dead_code, reason = "shared with examples, each of which uses a part")]
pub mod mesh_under_load;
pub mod resolve;
pub mod routes;
pub mod stopwatch;
pub mod tcp;
pub mod waypoint_mesh;

/// All benchmarks, in order of cost.
pub fn benchmarks(criterion: &mut Criterion) {
    authorize::benchmarks(criterion);
    http_policies::benchmarks(criterion);
    routes::benchmarks(criterion);
    resolve::benchmarks(criterion);
    tcp::benchmarks(criterion);
    idle_mesh::benchmarks(criterion);
    waypoint_mesh::benchmarks(criterion);
    busy_mesh::benchmarks(criterion);
    echo::benchmarks(criterion);
}
