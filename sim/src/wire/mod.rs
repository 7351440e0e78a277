//! What travels: sequence numbers, TCP segments, payloads, packets, and how listeners see them.

pub mod packet;
pub mod payload;
pub mod place;
pub mod segment;
pub mod seq;
pub mod tap;

pub(crate) use packet::DROP_REASONS;
pub use packet::{Body, DropReason, Packet, Unreachable};
pub use payload::Payload;
pub use place::{NamespaceId, NodeId};
pub use segment::{Flags, Options, SackBlocks, Segment};
pub use seq::Seq;
pub use tap::{Alteration, Sight, SightKind, Tap};
