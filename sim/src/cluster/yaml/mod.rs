//! YAML that remembers where everything was written.
//!
//! - [`node`]: the tree, each node with its line and column.
//! - [`compose`]: from text to trees: anchors, merge keys, limits.
//! - [`scalar`]: what a plain scalar means.
//! - [`complaint`]: what serde finds wrong, in the words of a person who writes YAML.
//! - [`deserialize`]: from tree to typed values, strict: unknown fields are errors with hints.
//! - [`spanned`]: [`Spanned`], a typed value that still knows where it was written.

mod complaint;
mod compose;
mod deserialize;
mod layout;
mod node;
mod scalar;
mod spanned;

pub use compose::{parse, parse_bytes, parse_tagged};
pub use deserialize::from_node;
pub use node::{Document, Entry, Node, Position, ScalarStyle, Value};
pub use scalar::{Plain, resolve_plain};
pub use spanned::Spanned;

#[cfg(test)]
mod tests;
