//! Opening, accepting and ending TCP connections.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use proxy_core::host::{Dial, Instant};

use super::arena::Key;
use super::flights::InFlight;
use super::redirect::{self, Capture, Facts, Protocol};
use super::sockets::{BACKLOG, EPHEMERAL, FlowKey, ListenSocket, TcpSocket, canonical, conflict, fit};
use super::transmit::loopback;
use super::world::World;
use crate::exec::ProcessId;
use crate::fabric::fixed_hash;
use crate::tcp::{Output, Tcb};
use crate::wire::{Body, DropReason, NamespaceId, Seq};

/// Who is asking: one process in one namespace, with the mark its sockets carry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) process: ProcessId,
    pub(super) namespace: NamespaceId,
    pub(super) mark: u32,
}

impl World {
    pub(super) fn capture(&self, namespace: NamespaceId) -> Option<Capture> {
        self.namespaces.get(namespace.0 as usize).and_then(|state| state.capture)
    }

    /// Fails when the caller's process was killed or its namespace removed.
    pub(super) fn check(&self, caller: Caller) -> io::Result<()> {
        if !self.is_process_alive(caller.process) {
            return Err(io::Error::other("this process was killed"));
        }
        if !self.topology.is_alive(caller.namespace) {
            return Err(io::Error::new(io::ErrorKind::HostUnreachable, "this network namespace was removed"));
        }
        Ok(())
    }

    /// The address a namespace uses towards `to`.
    pub(super) fn source_for(&self, namespace: NamespaceId, to: IpAddr) -> io::Result<IpAddr> {
        if self.topology.owns(namespace, to) {
            return Ok(if to.is_loopback() { loopback(to.is_ipv4()) } else { to });
        }
        let addresses = self.topology.addresses(namespace);
        addresses.iter().copied().find(|address| address.is_ipv4() == to.is_ipv4()).ok_or_else(|| {
            let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
            io::Error::new(
                io::ErrorKind::HostUnreachable,
                format!("this namespace has no {family} address to reach {to} from"),
            )
        })
    }

    /// Starts a connection; the answer comes later.
    pub(super) fn dial(&mut self, caller: Caller, dial: Dial) -> io::Result<Key> {
        self.check(caller)?;
        let mut to = canonical(dial.to);
        if to.ip().is_unspecified() {
            to.set_ip(loopback(to.is_ipv4()));
        }
        let source = match dial.from {
            Some(from) => from.to_canonical(),
            None => self.source_for(caller.namespace, to.ip())?,
        };
        if source.is_ipv4() != to.is_ipv4() {
            let text = format!("cannot reach {to} from {source}: another address family");
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
        }
        let namespace = caller.namespace;
        let facts = Facts {
            protocol: Protocol::Tcp,
            source: SocketAddr::new(source, 0),
            destination: to,
            mark: caller.mark,
            own: self.topology.owns(namespace, to.ip()),
        };
        let redirect = redirect::outbound(self.capture(namespace), &facts).port();
        let remote = if redirect.is_some() { to } else { self.translate(to)? };
        let route = self.route(namespace, remote.ip(), redirect.is_some());
        let port = self.free_port(namespace, source, remote)?;
        let local = SocketAddr::new(source, port);
        let mtu = route.to.map_or(1500, |_| self.paths.mtu(route.path));
        let config = self.tcp_config_for(mtu, to.is_ipv4());
        let initial = self.initial_number(local, remote);
        let tcb = Tcb::open_active(config, self.now, initial, &mut self.output);
        let key = self.insert_connection(TcpSocket {
            tcb,
            local,
            remote,
            namespace,
            route,
            peer: Key::NONE,
            armed: Instant::FAR_FUTURE,
            armed_later: Instant::FAR_FUTURE,
            reader: None,
            writer: None,
            mark: caller.mark,
            process: caller.process,
            redirect: redirect.unwrap_or(0),
            pinned: redirect.is_some(),
            listed: true,
            held: true,
            listener: Key::NONE,
            shown_local: local,
            shown_peer: to,
            original_dst: to,
        });
        self.counters.connections_dialled += 1;
        self.counters.connections_redirected += u64::from(redirect.is_some());
        self.flush(key);
        Ok(key)
    }

    /// What node-level address translation makes of a destination: one of the backends of a virtual address.
    pub(super) fn translate(&mut self, to: SocketAddr) -> io::Result<SocketAddr> {
        let Some(backends) = self.virtuals.get(&to) else { return Ok(to) };
        if backends.is_empty() {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, format!("service {to} has no endpoints")));
        }
        let count = backends.len() as u64;
        let seed = self.seed;
        let rng = self.virtual_choice.get_or_insert_with(|| seed.stream("node/translation"));
        let index = rng.below(count);
        let chosen = backends.get(index as usize).copied().unwrap_or(to);
        self.digest.draw(u64::MAX, &index.to_le_bytes());
        Ok(chosen)
    }

    /// RFC 6528: a hash of the addresses that grows with time, so that a reused pair of addresses starts later.
    fn initial_number(&self, local: SocketAddr, remote: SocketAddr) -> Seq {
        let hash = fixed_hash(self.seed.0, &(local, remote));
        Seq((hash as u32).wrapping_add((self.now.as_nanos() >> 12) as u32))
    }

    /// An ephemeral port for `source` towards `remote` that collides with nothing in the namespace, not even seen from
    /// the other side: a preserved source address makes both sides' sockets live in one namespace.
    fn free_port(&mut self, namespace: NamespaceId, source: IpAddr, remote: SocketAddr) -> io::Result<u16> {
        let port = self.ephemeral(namespace, |world, port| {
            let local = SocketAddr::new(source, port);
            !world.flows.contains_key(&FlowKey { namespace, local, remote })
                && !world.flows.contains_key(&FlowKey { namespace, local: remote, remote: local })
                && !world.is_listened_on(namespace, local)
        });
        port.ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, format!("no free port towards {remote}")))
    }

    /// The next ephemeral port of a namespace that `free` accepts, searching on from the last one given.
    pub(super) fn ephemeral(&mut self, namespace: NamespaceId, free: impl Fn(&World, u16) -> bool) -> Option<u16> {
        let (first, count) = EPHEMERAL;
        for _ in 0..count {
            let state = self.namespaces.get_mut(namespace.0 as usize)?;
            state.last_port = (state.last_port + 1) % count;
            let port = first + state.last_port;
            if free(self, port) {
                return Some(port);
            }
        }
        None
    }

    fn is_listened_on(&self, namespace: NamespaceId, at: SocketAddr) -> bool {
        let Some(state) = self.namespaces.get(namespace.0 as usize) else { return false };
        state.listeners.iter().any(|&key| self.listeners.get(key).is_some_and(|other| conflict(other.at, at)))
    }

    fn insert_connection(&mut self, socket: TcpSocket) -> Key {
        let flow = socket.flow();
        let key = self.sockets.insert(socket);
        self.flows.insert(flow, key);
        key
    }

    /// The listener a SYN to `target` from `client` goes to. Several listeners of one port share it: the addresses
    /// decide, as with `SO_REUSEPORT`.
    pub(super) fn find_listener(&self, namespace: NamespaceId, target: SocketAddr, client: SocketAddr) -> Option<Key> {
        let state = self.namespaces.get(namespace.0 as usize)?;
        let fits = |key: &Key| self.listeners.get(*key).and_then(|listener| fit(listener.at, target));
        let best = state.listeners.iter().filter_map(fits).max()?;
        let equals: Vec<Key> = state.listeners.iter().copied().filter(|key| fits(key) == Some(best)).collect();
        let choice =
            if equals.len() > 1 { fixed_hash(self.seed.0, &(client, target)) % equals.len() as u64 } else { 0 };
        equals.get(choice as usize).copied()
    }

    /// Answers a SYN that found its listener.
    pub(super) fn open_passive(&mut self, listener: Key, target: SocketAddr, redirect: u16, syn: InFlight) {
        let Some(state) = self.listeners.get_mut(listener) else { return };
        if state.ready.len() + state.opening as usize >= BACKLOG {
            self.drop_packet(DropReason::BacklogFull, &syn);
            return;
        }
        state.opening += 1;
        let (process, mark) = (state.process, state.mark);
        let InFlight { packet, from, to: namespace, sender, .. } = syn;
        let Body::Tcp(segment) = packet.body else { return };
        // A connection from within the namespace is answered within it, whatever its source address claims.
        let pinned = from == namespace;
        let (local, remote) = (packet.destination, packet.source);
        let route = self.route(namespace, remote.ip(), pinned);
        let mtu = route.to.map_or(1500, |_| self.paths.mtu(route.path));
        let config = self.tcp_config_for(mtu, remote.is_ipv4());
        let initial = self.initial_number(local, remote);
        let tcb = Tcb::open_passive(config, self.now, initial, &segment, &mut self.output);
        let key = self.insert_connection(TcpSocket {
            tcb,
            local,
            remote,
            namespace,
            route,
            peer: sender,
            armed: Instant::FAR_FUTURE,
            armed_later: Instant::FAR_FUTURE,
            reader: None,
            writer: None,
            mark,
            process,
            redirect,
            pinned,
            listed: true,
            held: false,
            listener,
            shown_local: target,
            shown_peer: remote,
            original_dst: local,
        });
        self.flush(key);
    }

    /// An accepted connection's handshake is done: offer it.
    pub(super) fn connection_ready(&mut self, key: Key) {
        let Some(socket) = self.sockets.get(key) else { return };
        if let Some(listener) = self.listeners.get_mut(socket.listener) {
            listener.opening = listener.opening.saturating_sub(1);
            listener.ready.push_back(key);
            let waiters = std::mem::take(&mut listener.waiters);
            self.wake_all(waiters);
        }
    }

    /// A connection is gone as far as TCP is concerned.
    pub(super) fn connection_closed(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        if std::mem::take(&mut socket.listed) {
            let flow = socket.flow();
            self.flows.swap_remove(&flow);
        }
        let Some(socket) = self.sockets.get(key) else { return };
        // A connection waiting to be accepted stays for the application to find it dead, unless it never opened.
        let (held, listener) = (socket.held, socket.listener);
        let waiting = self.listeners.get(listener).is_some_and(|listener| listener.ready.contains(&key));
        if !held && !waiting {
            self.forget_connection(key);
        }
    }

    /// Frees a connection without a word to the peer.
    pub(super) fn forget_connection(&mut self, key: Key) {
        let Some(socket) = self.sockets.remove(key) else { return };
        self.counters.packets_resent += u64::from(socket.tcb.resent_packets());
        if socket.listed {
            self.flows.swap_remove(&socket.flow());
        }
        if let Some(listener) = self.listeners.get_mut(socket.listener) {
            let before = listener.ready.len();
            listener.ready.retain(|&other| other != key);
            if listener.ready.len() == before {
                listener.opening = listener.opening.saturating_sub(1);
            }
        }
        self.wake_all(socket.reader.into_iter().chain(socket.writer).collect());
    }

    /// Takes the next connection waiting at a listener.
    pub(super) fn accept(&mut self, listener: Key) -> Option<Key> {
        let key = self.listeners.get_mut(listener)?.ready.pop_front()?;
        let socket = self.sockets.get_mut(key)?;
        socket.held = true;
        socket.listener = Key::NONE;
        self.counters.connections_accepted += 1;
        Some(key)
    }

    /// Starts listening.
    pub(super) fn listen(&mut self, caller: Caller, at: SocketAddr) -> io::Result<(Key, SocketAddr)> {
        self.check(caller)?;
        let mut at = canonical(at);
        self.check_own(caller.namespace, at)?;
        let namespace = caller.namespace;
        if at.port() == 0 {
            let ip = at.ip();
            let port =
                self.ephemeral(namespace, |world, port| !world.is_listened_on(namespace, SocketAddr::new(ip, port)));
            at.set_port(port.ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port to listen on"))?);
        }
        for &key in &self.namespaces[namespace.0 as usize].listeners {
            let Some(other) = self.listeners.get(key) else { continue };
            if conflict(other.at, at) && !(other.at == at && self.may_share(caller, other.process, other.mark)) {
                let text = format!("{at} is in use by {} in this namespace", other.at);
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
        }
        let key = self.listeners.insert(ListenSocket {
            at,
            namespace,
            process: caller.process,
            mark: caller.mark,
            ready: VecDeque::new(),
            opening: 0,
            waiters: Vec::new(),
        });
        self.namespaces[namespace.0 as usize].listeners.push(key);
        Ok((key, at))
    }

    /// Whether two processes may listen on one port: both are proxies (an old and a new version during an upgrade).
    pub(super) fn may_share(&self, caller: Caller, process: ProcessId, mark: u32) -> bool {
        caller.process != process && caller.mark != 0 && caller.mark == mark
    }

    /// Fails unless the namespace can bind the address.
    pub(super) fn check_own(&self, namespace: NamespaceId, at: SocketAddr) -> io::Result<()> {
        if at.ip().is_unspecified() || self.topology.owns(namespace, at.ip()) {
            return Ok(());
        }
        let text = format!("{} is not an address of this namespace", at.ip());
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text))
    }

    /// Stops listening; connections not accepted are reset.
    pub(super) fn close_listener(&mut self, key: Key) {
        let Some(listener) = self.listeners.remove(key) else { return };
        if let Some(state) = self.namespaces.get_mut(listener.namespace.0 as usize) {
            state.listeners.retain(|&other| other != key);
        }
        self.wake_all(listener.waiters);
        let mut orphans: Vec<Key> = listener.ready.into();
        if listener.opening > 0 {
            orphans.extend(self.sockets.keys(|socket| socket.listener == key && !socket.tcb.is_connected()));
        }
        for socket in orphans {
            self.abort_connection(socket);
            self.forget_connection(socket);
        }
    }

    /// Resets a connection.
    pub(super) fn abort_connection(&mut self, key: Key) {
        self.call(key, |tcb, _, output| tcb.abort(output));
    }

    /// Calls into a connection and does what it asks for.
    pub(super) fn call<R>(&mut self, key: Key, act: impl FnOnce(&mut Tcb, Instant, &mut Output) -> R) -> Option<R> {
        let socket = self.sockets.get_mut(key)?;
        let result = act(&mut socket.tcb, self.now, &mut self.output);
        self.flush(key);
        Some(result)
    }
}
