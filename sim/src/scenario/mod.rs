//! Scenario files: the language, its meaning, and running it.
//!
//! - [`schema`]: the file as written; [`quantity`]: the quantities in it.

pub mod quantity;
pub mod schema;
