//! Letting go of sockets, ending processes and namespaces.

use super::arena::Key;
use super::sim_host::KillMode;
use super::world::World;
use crate::exec::ProcessId;
use crate::wire::NamespaceId;

impl World {
    /// What a connection shows its application: local and peer address.
    pub(super) fn shown(&self, key: Key) -> (std::net::SocketAddr, std::net::SocketAddr) {
        let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        self.sockets.get(key).map_or((nowhere, nowhere), |socket| (socket.shown_local, socket.shown_peer))
    }

    /// Does what the last call on a connection left in the shared output.
    #[inline]
    pub(super) fn flush_output(&mut self, key: Key) {
        if !self.output.segments.is_empty() || !self.output.changes.is_empty() {
            self.flush(key);
        }
    }

    /// The application lets go of a connection.
    pub(super) fn release_connection(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        socket.held = false;
        let (reader, writer) = (socket.reader.take(), socket.writer.take());
        self.discarded.extend(reader.into_iter().chain(writer));
        if socket.tcb.close_reason().is_some() {
            self.forget_connection(key);
            return;
        }
        self.call(key, |tcb, now, output| tcb.close(now, output));
    }

    /// Ends a process's sockets; its tasks are the executor's.
    pub(super) fn end_process(&mut self, process: ProcessId, mode: KillMode) {
        let Some(state) = self.processes.get_mut(process.0 as usize) else { return };
        state.alive = false;
        let connections = self.sockets.keys(|socket| socket.process == process);
        for key in connections {
            match mode {
                KillMode::Close => {
                    if self.sockets.get(key).is_some_and(|socket| socket.held) {
                        self.release_connection(key);
                    }
                }
                KillMode::Reset => {
                    self.abort_connection(key);
                    self.forget_connection(key);
                }
                KillMode::Silent => self.forget_connection(key),
            }
        }
        let listeners = self.listeners.keys(|listener| listener.process == process);
        listeners.into_iter().for_each(|key| self.close_listener(key));
        let datagrams = self.datagrams.keys(|socket| socket.process == process);
        datagrams.into_iter().for_each(|key| self.close_datagram(key));
    }

    /// Takes a namespace away without a word to anyone: its sockets vanish, its addresses are nobody's.
    pub(super) fn remove_namespace(&mut self, namespace: NamespaceId) {
        let connections = self.sockets.keys(|socket| socket.namespace == namespace);
        connections.into_iter().for_each(|key| self.forget_connection(key));
        if let Some(state) = self.namespaces.get_mut(namespace.0 as usize) {
            let state = std::mem::take(state);
            state.listeners.into_iter().for_each(|key| self.close_listener(key));
            state.datagrams.into_iter().for_each(|key| self.close_datagram(key));
        }
        self.topology.remove_namespace(namespace);
    }
}
