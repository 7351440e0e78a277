//! What travels: sequence numbers, TCP segments, payloads.

pub mod payload;
pub mod segment;
pub mod seq;

pub use payload::Payload;
pub use segment::{Flags, Options, SackBlocks, Segment};
pub use seq::Seq;
