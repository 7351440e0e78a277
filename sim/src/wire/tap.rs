//! [`Tap`]: how listeners see packets.

use proxy_core::host::Instant;

use super::{DropReason, NamespaceId, Packet};

/// Sees every packet of a run. Called with the engine's state locked: record, do not call back into the simulation.
pub trait Tap: Send + Sync {
    /// Something happened to a packet.
    fn packet(&self, sight: &Sight<'_>);
}

/// One sight of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// When.
    pub at: Instant,
    /// What happened.
    pub what: SightKind,
    /// Where: the sender's namespace when sent, changed or dropped on its way, the receiver's when delivered or dropped there.
    pub namespace: NamespaceId,
    /// What it is called.
    pub place: &'a str,
    /// The node it is on.
    pub node: &'a str,
    /// Firewall mark of the sending socket; 0 for none.
    pub mark: u32,
    /// The proxy port capture sent this connection to, on either of its directions.
    pub redirect: Option<u16>,
    /// Whether sender and receiver are the same namespace, so that the packet never left it.
    pub local: bool,
    /// The packet.
    pub packet: &'a Packet,
}

/// What a fault did to a packet that was not dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alteration {
    /// It comes so many nanoseconds later, in its place.
    Delayed(u64),
    /// It is held back so many nanoseconds, and others overtake it.
    HeldBack(u64),
    /// It arrives twice.
    Duplicated,
    /// A byte of its payload is not what was sent.
    Corrupted,
}

/// What happened to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SightKind {
    /// It left its namespace's socket.
    Sent,
    /// It reached the receiving socket's namespace.
    Delivered,
    /// It was dropped.
    Dropped(DropReason),
    /// A fault changed what becomes of it. Told between its leaving and its arrival, at the sender.
    Impaired(Alteration),
}
