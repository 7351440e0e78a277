//! What can be made to go wrong with a [`Sim`]. Each is plain state: what is set stays until it is taken back.

use super::impaired::Standstill;
use super::{Sim, SimHost};
use crate::fabric::{Effect, ImpairmentId, Scope};
use crate::wire::{NamespaceId, NodeId};

/// What becomes of packets that reach a node that stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhilePaused {
    /// They wait, and are delivered in order when it goes on.
    #[default]
    Queue,
    /// They are lost.
    Drop,
}

impl Sim {
    /// Makes something wrong with the network. Its chance is the stream of this name, so that one fault more never shifts
    /// another's draws. Packets under way are not concerned.
    pub fn impair(&self, name: &str, scope: Scope, effect: Effect) -> ImpairmentId {
        self.engine().with(|world| {
            let (seed, now) = (world.seed, world.now);
            world.change_impairments(|world| world.impairments.add(seed, name, scope, effect, now))
        })
    }

    /// Changes whom an impairment concerns.
    pub fn rescope(&self, id: ImpairmentId, scope: Scope) {
        self.engine().with(|world| world.rescope(id, scope));
    }

    /// Makes it right again. Packets that were delayed keep their arrival; later ones may overtake them.
    pub fn mend(&self, id: ImpairmentId) {
        self.engine().with(|world| world.change_impairments(|world| world.impairments.remove(id)));
    }

    /// Has a node and these processes of it stand still: no task runs, no kernel answers, no timer of a connection fires.
    /// Clocks go on, so deadlines that passed are noticed on going on.
    pub fn pause(&self, node: NodeId, processes: &[&SimHost], packets: WhilePaused) {
        let keeps = packets == WhilePaused::Queue;
        let paused = Standstill::Paused { keeps, held: Vec::new() };
        self.engine().with(|world| world.stand_still(node, Some(paused)));
        for host in processes {
            self.set_paused(host, true);
        }
    }

    /// Has a node without power: what reaches it is lost. Its processes are the caller's to kill, silently.
    pub fn cut_power(&self, node: NodeId) {
        self.engine().with(|world| world.stand_still(node, Some(Standstill::Down)));
    }

    /// Has a node take part again.
    pub fn resume(&self, node: NodeId, processes: &[&SimHost]) {
        self.engine().with(|world| world.stand_still(node, None));
        for host in processes {
            self.set_paused(host, false);
        }
    }

    /// Has a process stand still (SIGSTOP), or go on. Its kernel goes on: connections are acknowledged, nothing is read.
    pub fn set_paused(&self, host: &SimHost, paused: bool) {
        self.engine().executor.set_paused(host.process_id(), paused);
    }

    /// Lets go of every socket of a namespace without a word to anyone. Its addresses stay, and whoever sends to a socket
    /// that was there is reset.
    pub fn wipe(&self, namespace: NamespaceId) {
        self.engine().with(|world| world.wipe_namespace(namespace));
    }

    /// Has a process read at most so many bytes a second from each socket, 0 for none; `None` ends that.
    pub fn slow_reads(&self, host: &SimHost, rate: Option<u64>) {
        self.engine().with(|world| world.slow_reads(host.process_id(), rate));
    }

    /// The wall clock of a node as it is set.
    pub fn clock(&self, node: NodeId) -> super::ClockModel {
        self.engine().with(|world| world.clocks.get(node.0 as usize).copied().unwrap_or_default())
    }
}
