//! YAML that remembers where everything was written.
//!
//! - [`node`]: the tree, each node with its line and column.
//! - [`compose`]: from text to trees: anchors, merge keys, limits.
//! - [`deserialize`]: from tree to typed values, strict: unknown fields are errors with hints.

mod node;

pub use node::{Document, Entry, Node, Position, ScalarStyle, Value};
