//! Scenario files: the language, its meaning, and running it.
//!
//! - [`schema`]: the file as written; [`quantity`]: the quantities in it.
//! - [`plan`]: the file with every name looked up; resolving does that and says what is wrong.

mod explain;
mod mesh_names;
mod path;
pub mod plan;
pub mod quantity;
mod resolve;
pub mod schema;
mod workload;

pub use plan::Plan;
