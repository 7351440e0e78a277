//! What happens next, and when: the event queue and cancellable timers.

mod heap;
pub mod queue;
pub mod timer;

pub use queue::{NEAR, Queue};
pub use timer::{TimerId, Timers};

/// Something that happens at an instant. Small and copied: what it is about lives in arenas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A task's timer fires.
    Timer(TimerId),
    /// The packet in this in-flight slot arrives.
    Arrive(u32),
    /// A TCP socket looks at its own deadlines.
    Socket {
        /// Slot in the socket arena.
        slot: u32,
        /// Which user of the slot it was meant for.
        generation: u32,
    },
}
