//! The fabric: places, the links between them, and what happens to a packet on its way.

mod counters;
mod impairment;
mod index;
mod link;
mod path;
mod topology;

pub(crate) use counters::Counters;
pub(crate) use impairment::Impairments;
pub use impairment::{Effect, ImpairmentId, Scope};
pub(crate) use index::FixedIndex;
pub(crate) use index::fixed_hash;
pub use link::{Distance, Latency, Link, LinkTable};
pub(crate) use path::{Admission, Paths};
pub(crate) use topology::Topology;
pub use topology::{LinkEnd, NamespaceSpec, NodeSpec};
