//! Criterion benchmarks.
//!
//! Wall-clock figures mean nothing between machines, so each benchmark that makes a claim runs its peer in the same
//! process and prints the ratio. The map:
//!
//! - [`echo`]: pairs of hosts echoing, on our fabric, on turmoil-net and on turmoil.
//! - [`tcp`]: one connection driven by hand: cost of a segment.

use criterion::Criterion;

pub mod echo;
pub mod tcp;

/// All benchmarks, in order of cost.
pub fn benchmarks(criterion: &mut Criterion) {
    tcp::benchmarks(criterion);
    echo::benchmarks(criterion);
}
