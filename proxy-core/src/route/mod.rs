//! What a waypoint was told of routes, backends and itself, and every decision over it. Nothing here waits, reads a
//! clock or knows a socket: time comes as an instant, chance as a generator.

pub mod model;

pub use model::*;
