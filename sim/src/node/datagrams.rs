//! UDP sockets.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::Waker;

use super::arena::Key;
use super::connections::Caller;
use super::flights::InFlight;
use super::redirect::{self, Facts, Protocol};
use super::sockets::{UDP_BUFFER, UdpSocket, canonical, conflict, fit};
use super::transmit::loopback;
use super::world::World;
use crate::fabric::fixed_hash;
use crate::wire::{Body, DropReason, Packet, Payload};

/// Largest UDP payload.
const DATAGRAM_MAX: usize = 65_507;
/// Translated destinations a socket remembers.
const TRANSLATED_MAX: usize = 256;

impl World {
    pub(super) fn bind_udp(&mut self, caller: Caller, at: SocketAddr) -> io::Result<(Key, SocketAddr)> {
        self.check(caller)?;
        let mut at = canonical(at);
        self.check_own(caller.namespace, at)?;
        let namespace = caller.namespace;
        let index = namespace.0 as usize;
        if at.port() == 0 {
            let ip = at.ip();
            let port = self.ephemeral(namespace, |world, port| {
                let wanted = SocketAddr::new(ip, port);
                let bound = |&key: &Key| world.datagrams.get(key).is_some_and(|other| conflict(other.at, wanted));
                !world.namespaces[index].datagrams.iter().any(bound)
            });
            at.set_port(port.ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free UDP port"))?);
        }
        for &key in &self.namespaces[index].datagrams {
            let Some(other) = self.datagrams.get(key) else { continue };
            if conflict(other.at, at) && !(other.at == at && self.may_share(caller, other.process, other.mark)) {
                let text = format!("UDP {at} is in use by {} in this namespace", other.at);
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
        }
        let key = self.datagrams.insert(UdpSocket {
            at,
            namespace,
            process: caller.process,
            mark: caller.mark,
            received: VecDeque::new(),
            received_bytes: 0,
            waiters: Vec::new(),
            translated: Vec::new(),
        });
        self.namespaces[index].datagrams.push(key);
        Ok((key, at))
    }

    pub(super) fn send_datagram(&mut self, key: Key, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        let gone = || io::Error::other("this socket's process was killed or its namespace removed");
        if data.len() > DATAGRAM_MAX {
            let text = format!("a datagram holds at most {DATAGRAM_MAX} bytes, not {}", data.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let socket = self.datagrams.get(key).ok_or_else(gone)?;
        let (namespace, bound, mark) = (socket.namespace, socket.at, socket.mark);
        let mut to = canonical(to);
        if to.ip().is_unspecified() {
            to.set_ip(loopback(to.is_ipv4()));
        }
        let source = if bound.ip().is_unspecified() { self.source_for(namespace, to.ip())? } else { bound.ip() };
        if source.is_ipv4() != to.is_ipv4() {
            let text = format!("cannot reach {to} from {source}: another address family");
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
        }
        let source = SocketAddr::new(source, bound.port());
        let own = self.topology.owns(namespace, to.ip());
        let facts = Facts { protocol: Protocol::Udp, source, destination: to, mark, own };
        let redirect = redirect::outbound(self.capture(namespace), &facts).port();
        let destination = match redirect {
            Some(port) => SocketAddr::new(loopback(to.is_ipv4()), port),
            None => self.translate(to)?,
        };
        if destination != to
            && let Some(socket) = self.datagrams.get_mut(key)
        {
            socket.translated.retain(|&(actual, _)| actual != destination);
            if socket.translated.len() >= TRANSLATED_MAX {
                socket.translated.remove(0);
            }
            socket.translated.push((destination, to));
        }
        let route = self.route(namespace, destination.ip(), redirect.is_some());
        let packet = Packet { source, destination, body: Body::Udp(Payload::copy_from(data)) };
        let mtu = route.to.map_or(1500, |_| self.paths.mtu(route.path));
        let in_flight = InFlight {
            packets: packet.wire_packets(mtu),
            packet,
            from: namespace,
            to: route.to.unwrap_or(namespace),
            sender: key,
            receiver: Key::NONE,
            mark,
            redirect: redirect.unwrap_or(0),
        };
        self.counters.datagrams += 1;
        self.send(in_flight, route);
        Ok(data.len())
    }

    pub(super) fn arrive_datagram(&mut self, in_flight: InFlight) {
        let (source, destination) = (in_flight.packet.source, in_flight.packet.destination);
        let Some(state) = self.namespaces.get(in_flight.to.0 as usize) else { return };
        let fits = |key: &Key| self.datagrams.get(*key).and_then(|socket| fit(socket.at, destination));
        let best = state.datagrams.iter().filter_map(fits).max();
        let equals: Vec<Key> =
            state.datagrams.iter().copied().filter(|key| best.is_some() && fits(key) == best).collect();
        let choice = fixed_hash(self.seed.0, &(source, destination)) % equals.len().max(1) as u64;
        let chosen = equals.get(choice as usize).and_then(|&key| self.datagrams.get_mut(key));
        let Some(socket) = chosen else {
            self.drop_packet(DropReason::NoSocket, &in_flight);
            return;
        };
        let Body::Udp(payload) = &in_flight.packet.body else { return };
        if socket.received_bytes + payload.len() > UDP_BUFFER {
            self.drop_packet(DropReason::ReceiveBufferFull, &in_flight);
            return;
        }
        let dialled = socket.translated.iter().rev().find(|(actual, _)| *actual == source);
        let shown = dialled.map_or(source, |&(_, dialled)| dialled);
        socket.received_bytes += payload.len();
        socket.received.push_back((payload.clone(), shown));
        let waiters = std::mem::take(&mut socket.waiters);
        self.wake_all(waiters);
    }

    /// The next datagram; registers the waker when there is none.
    pub(super) fn receive_datagram(&mut self, key: Key, waker: &Waker) -> Option<io::Result<(Payload, SocketAddr)>> {
        let Some(socket) = self.datagrams.get_mut(key) else {
            return Some(Err(io::Error::other("this socket's process was killed or its namespace removed")));
        };
        match socket.received.pop_front() {
            Some((payload, from)) => {
                socket.received_bytes -= payload.len();
                Some(Ok((payload, from)))
            }
            None => {
                self.executor.park_among(&mut socket.waiters, waker);
                None
            }
        }
    }

    pub(super) fn close_datagram(&mut self, key: Key) {
        let Some(socket) = self.datagrams.remove(key) else { return };
        if let Some(state) = self.namespaces.get_mut(socket.namespace.0 as usize) {
            state.datagrams.retain(|&other| other != key);
        }
        self.wake_all(socket.waiters);
    }
}
