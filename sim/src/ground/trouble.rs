//! [`Trouble`]: what can be made to go wrong with a ground.

use super::Process;
use crate::fabric::{Effect, ImpairmentId, Scope};
use crate::node::{ClockModel, WhilePaused};
use crate::wire::{NamespaceId, NodeId};

/// What can be made to go wrong with a ground. Each is plain state: what is set stays until it is taken back.
pub trait Trouble {
    /// Its processes.
    type Host: Process;

    /// Whether packets, nodes and processes can be held up here. If not, what is asked for does not happen, and whoever
    /// asks should say so.
    fn can_hold_up(&self) -> bool;

    /// Makes something wrong with the network. Its chance is the stream of this name.
    fn impair(&self, name: &str, scope: Scope, effect: Effect) -> Option<ImpairmentId>;

    /// Changes whom an impairment concerns.
    fn rescope(&self, id: ImpairmentId, scope: Scope);

    /// Makes it right again.
    fn mend(&self, id: ImpairmentId);

    /// Has a node and these processes of it stand still.
    fn pause(&self, node: NodeId, processes: &[&Self::Host], packets: WhilePaused);

    /// Has a node without power.
    fn cut_power(&self, node: NodeId);

    /// Has a node take part again.
    fn resume(&self, node: NodeId, processes: &[&Self::Host]);

    /// Has a process stand still, or go on.
    fn set_paused(&self, host: &Self::Host, paused: bool);

    /// Lets go of every socket of a namespace without a word to anyone.
    fn wipe(&self, namespace: NamespaceId);

    /// Has a process read at most so many bytes a second from each socket, 0 for none; `None` ends that.
    fn slow_reads(&self, host: &Self::Host, rate: Option<u64>);

    /// The wall clock of a node as it is set.
    fn clock(&self, node: NodeId) -> ClockModel;

    /// Sets a node's wall clock.
    fn set_clock(&self, node: NodeId, clock: ClockModel);
}
