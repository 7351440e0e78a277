//! Packets leaving and arriving.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use proxy_core::host::Instant;

use super::arena::Key;
use super::flights::InFlight;
use super::redirect::{self, Facts, Protocol};
use super::sockets::{FlowKey, Route};
use super::world::World;
use crate::draws::RunDigest;
use crate::event::Event;
use crate::fabric::Admission;
use crate::tcp::{self, Changes};
use crate::wire::{Body, DropReason, Flags, NamespaceId, Packet, Segment, SightKind, Unreachable};

impl World {
    /// Does what a call on a connection left in `output`: sends, wakes, keeps the timer, forgets the dead.
    pub(super) fn flush(&mut self, key: Key) {
        if !self.output.segments.is_empty() {
            self.send_segments(key);
        }
        let changes = std::mem::take(&mut self.output.changes);
        if !changes.is_empty() {
            self.announce(key, changes);
        }
        let Some(socket) = self.sockets.get_mut(key) else { return };
        if let Some(deadline) = socket.tcb.next_deadline()
            && deadline < socket.armed
        {
            let deadline = deadline.max(self.now);
            socket.armed_later = std::mem::replace(&mut socket.armed, deadline);
            self.queue.push(deadline, Event::Socket { slot: key.slot, generation: key.generation });
        }
    }

    /// Tells whoever waits for a connection what changed.
    #[inline]
    fn announce(&mut self, key: Key, changes: Changes) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let closed = changes.has(Changes::CLOSED);
        let reader = if closed || changes.has(Changes::READABLE) { socket.reader.take() } else { None };
        let writes = closed || changes.has(Changes::CONNECTED) || changes.has(Changes::WRITABLE);
        let writer = if writes { socket.writer.take() } else { None };
        let accepted = changes.has(Changes::CONNECTED) && socket.listener != Key::NONE;
        if let Some(reader) = reader {
            self.wake(reader);
        }
        if let Some(writer) = writer {
            self.wake(writer);
        }
        if accepted {
            self.connection_ready(key);
        }
        if closed {
            self.connection_closed(key);
        }
    }

    /// A socket's queued timer event came. Deadlines that moved later since are armed anew only now.
    pub(super) fn socket_timer(&mut self, key: Key) {
        let now = self.now;
        let Some(socket) = self.sockets.get_mut(key) else { return };
        if socket.armed > now {
            return;
        }
        socket.armed = std::mem::replace(&mut socket.armed_later, Instant::FAR_FUTURE);
        socket.tcb.on_timer(now, &mut self.output);
        self.flush(key);
    }

    fn send_segments(&mut self, key: Key) {
        self.refresh_route(key);
        let Some(socket) = self.sockets.get(key) else { return };
        let (route, from) = (socket.route, socket.namespace);
        if self.output.segments.len() == 1
            && self.taps.is_empty()
            && route.plain != u64::MAX
            && let Some(to) = route.to
            && let Some(segment) = self.output.segments.pop()
        {
            // The common case, as `send` would do it.
            let packets = segment.wire_packets();
            let packet = Packet { source: socket.local, destination: socket.remote, body: Body::Tcp(segment) };
            self.counters.segments += 1;
            self.counters.packets_sent += u64::from(packets);
            self.counters.wire_bytes += packet.wire_bytes(1500);
            let (receiver, mark, redirect) = (socket.peer, socket.mark, socket.redirect);
            let in_flight = InFlight { packet, from, to, sender: key, receiver, mark, redirect, packets };
            let slot = self.flights.insert(in_flight);
            self.queue.push(self.now + Duration::from_nanos(route.plain), Event::Arrive(slot));
            return;
        }
        let (source, destination) = (socket.local, socket.remote);
        let (receiver, mark, redirect) = (socket.peer, socket.mark, socket.redirect);
        let mut segments = std::mem::take(&mut self.output.segments);
        let mut send = |segment: Segment| {
            let packets = segment.wire_packets();
            self.counters.segments += 1;
            let packet = Packet { source, destination, body: Body::Tcp(segment) };
            let to = route.to.unwrap_or(from);
            self.send(InFlight { packet, from, to, sender: key, receiver, mark, redirect, packets }, route);
        };
        if route.lossy {
            segments.drain(..).for_each(|segment| tcp::split(segment).for_each(&mut send));
        } else {
            segments.drain(..).for_each(send);
        }
        self.output.segments = segments;
    }

    /// Looks a socket's route up again if it may have changed.
    pub(super) fn refresh_route(&mut self, key: Key) {
        let epoch = self.topology.epoch();
        let Some(socket) = self.sockets.get_mut(key) else { return };
        if socket.route.epoch != epoch {
            let (namespace, pinned, remote) = (socket.namespace, socket.pinned, socket.remote.ip());
            let route = self.route(namespace, remote, pinned);
            if let Some(socket) = self.sockets.get_mut(key) {
                socket.route = route;
            }
        }
    }

    /// The route from a namespace to an address; `pinned` keeps it within the namespace.
    pub(super) fn route(&mut self, from: NamespaceId, address: IpAddr, pinned: bool) -> Route {
        let to = if pinned { Some(from) } else { self.topology.owner(from, address) };
        let path = to.map_or(0, |to| self.paths.between(from, to, &self.topology));
        let impaired =
            self.impairments.is_active() && to.is_some_and(|to| self.impairments.concern(from, to, &self.topology));
        // Nothing else asks whether something is wrong with the network: such a path is never plain.
        let plain = to.filter(|_| !impaired).map_or(u64::MAX, |_| self.paths.plain_latency(path, self.now));
        let lossy = impaired || to.is_some() && self.paths.is_lossy(path);
        Route { epoch: self.topology.epoch(), to, path, plain, lossy }
    }

    /// Puts a packet on its way.
    #[inline]
    pub(super) fn send(&mut self, in_flight: InFlight, route: Route) {
        let packets = u64::from(in_flight.packets);
        self.counters.packets_sent += packets;
        if !self.taps.is_empty() {
            self.show(SightKind::Sent, &in_flight);
        }
        if route.to.is_none() {
            self.unroutable(in_flight);
            return;
        }
        let bytes = in_flight.packet.wire_bytes(1500);
        self.counters.wire_bytes += bytes;
        let admission = match route.plain {
            u64::MAX if self.impairments.is_active() => {
                self.send_impaired(in_flight, route, bytes);
                return;
            }
            u64::MAX => self.paths.admit(route.path, self.now, bytes, &mut self.digest),
            latency => Admission::Arrives(self.now + Duration::from_nanos(latency)),
        };
        match admission {
            Admission::Arrives(at) => {
                let slot = self.flights.insert(in_flight);
                self.queue.push(at, Event::Arrive(slot));
            }
            Admission::Dropped(reason) => self.drop_packet(reason, &in_flight),
        }
    }

    pub(super) fn drop_packet(&mut self, reason: DropReason, in_flight: &InFlight) {
        self.counters.drop(reason, u64::from(in_flight.packets));
        self.digest.record(&[0xd0, reason as u8]);
        self.digest.record(&self.now.as_nanos().to_le_bytes());
        if !self.taps.is_empty() {
            self.show(SightKind::Dropped(reason), in_flight);
        }
    }

    /// Nobody has the address: the packet is dropped, and its sender hears so from the nearest router.
    fn unroutable(&mut self, in_flight: InFlight) {
        self.drop_packet(DropReason::NoRoute, &in_flight);
        let InFlight { packet, from, sender, .. } = in_flight;
        if !matches!(packet.body, Body::Tcp(_)) || sender == Key::NONE {
            return;
        }
        let body = Body::Unreachable(Unreachable { tcp: true, port: false });
        let packet = Packet { source: packet.destination, destination: packet.source, body };
        let path = self.paths.router_path(from, &self.topology);
        let route = Route { epoch: self.topology.epoch(), to: Some(from), path, plain: u64::MAX, lossy: false };
        let report =
            InFlight { packet, from, to: from, sender: Key::NONE, receiver: sender, mark: 0, redirect: 0, packets: 1 };
        self.send(report, route);
    }

    /// A packet arrives where it was sent.
    #[inline]
    pub(super) fn arrive(&mut self, slot: u32) {
        let Some(in_flight) = self.flights.get(slot) else { return };
        let (to, receiver, sender) = (in_flight.to, in_flight.receiver, in_flight.sender);
        // A socket still listed shows that its namespace is alive, without looking.
        let known = self.sockets.get(receiver).is_some_and(|socket| socket.listed && socket.namespace == to);
        if !known && !self.topology.is_alive(to) {
            if let Some(in_flight) = self.flights.take(slot) {
                self.drop_packet(DropReason::NamespaceGone, &in_flight);
            }
            return;
        }
        self.counters.packets_delivered += u64::from(in_flight.packets);
        if !self.taps.is_empty() {
            self.show(SightKind::Delivered, in_flight);
        }
        self.counters.payload_bytes_delivered += fingerprint(&mut self.digest, self.now, in_flight);
        if let Body::Tcp(segment) = &in_flight.packet.body {
            let opens = segment.flags.contains(Flags::SYN);
            // The common case: a segment for the socket its sender believes it talks to.
            if known
                && !opens
                && let Some(socket) = self.sockets.get_mut(receiver)
            {
                socket.peer = sender;
                let segment = self.flights.take_segment(slot);
                socket.tcb.on_segment(self.now, segment, &mut self.output);
                self.flush(receiver);
                return;
            }
        }
        let Some(in_flight) = self.flights.take(slot) else { return };
        match &in_flight.packet.body {
            Body::Tcp(_) => self.arrive_tcp(in_flight),
            Body::Udp(_) => self.arrive_datagram(in_flight),
            Body::Unreachable(_) => {
                self.call(receiver, |tcb, _, output| tcb.on_unreachable(output));
            }
        }
    }

    fn arrive_tcp(&mut self, in_flight: InFlight) {
        let packet = &in_flight.packet;
        let flow = FlowKey { namespace: in_flight.to, local: packet.destination, remote: packet.source };
        let key = self.flows.get(&flow).copied().unwrap_or(Key::NONE);
        let Body::Tcp(segment) = &in_flight.packet.body else { return };
        let opens = segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK);
        let Some(socket) = self.sockets.get_mut(key) else {
            self.arrive_unexpected(in_flight, opens);
            return;
        };
        if opens && socket.tcb.yields_to(segment) {
            self.forget_connection(key);
            self.arrive_unexpected(in_flight, opens);
            return;
        }
        socket.peer = in_flight.sender;
        let Body::Tcp(segment) = in_flight.packet.body else { return };
        socket.tcb.on_segment(self.now, segment, &mut self.output);
        self.flush(key);
    }

    /// A segment for no connection: one to open, or one to refuse.
    fn arrive_unexpected(&mut self, in_flight: InFlight, opens: bool) {
        let Body::Tcp(segment) = &in_flight.packet.body else { return };
        if opens && !segment.flags.contains(Flags::RST) {
            let (target, redirect) = self.listening_target(&in_flight);
            if let Some(listener) = self.find_listener(in_flight.to, target, in_flight.packet.source) {
                self.open_passive(listener, target, redirect, in_flight);
                return;
            }
            self.counters.connections_refused += 1;
        }
        let Some(reset) = tcp::reset_for(segment) else { return };
        let packet = Packet {
            source: in_flight.packet.destination,
            destination: in_flight.packet.source,
            body: Body::Tcp(reset),
        };
        self.counters.segments += 1;
        let pinned = in_flight.from == in_flight.to;
        let route = self.route(in_flight.to, packet.destination.ip(), pinned);
        let answer = InFlight {
            packet,
            from: in_flight.to,
            to: route.to.unwrap_or(in_flight.to),
            sender: Key::NONE,
            receiver: in_flight.sender,
            mark: 0,
            redirect: 0,
            packets: 1,
        };
        self.send(answer, route);
    }

    /// Where a SYN is to be accepted, after capture: the address to look a listener up by, and the port redirected to.
    fn listening_target(&self, in_flight: &InFlight) -> (SocketAddr, u16) {
        let (source, destination) = (in_flight.packet.source, in_flight.packet.destination);
        if in_flight.redirect != 0 {
            // Redirected on its way out: it appears on loopback.
            return (SocketAddr::new(loopback(destination.is_ipv4()), in_flight.redirect), in_flight.redirect);
        }
        let own = in_flight.from == in_flight.to;
        let facts = Facts { protocol: Protocol::Tcp, source, destination, mark: in_flight.mark, own };
        match redirect::inbound(self.capture(in_flight.to), &facts).port() {
            Some(port) => (SocketAddr::new(destination.ip(), port), port),
            None => (destination, 0),
        }
    }
}

/// Mixes a delivered packet into the run's fingerprint; returns its payload's length.
#[inline]
fn fingerprint(digest: &mut RunDigest, now: Instant, in_flight: &InFlight) -> u64 {
    let packet = &in_flight.packet;
    let mut record = [0u8; 64];
    record[0..8].copy_from_slice(&now.as_nanos().to_le_bytes());
    record[8..12].copy_from_slice(&in_flight.to.0.to_le_bytes());
    record[12..16].copy_from_slice(&in_flight.from.0.to_le_bytes());
    record[16..18].copy_from_slice(&packet.source.port().to_le_bytes());
    record[18..20].copy_from_slice(&packet.destination.port().to_le_bytes());
    let payload = match &packet.body {
        Body::Tcp(segment) => {
            record[20..24].copy_from_slice(&segment.seq.0.to_le_bytes());
            record[24..28].copy_from_slice(&segment.ack.0.to_le_bytes());
            record[28..30].copy_from_slice(&segment.window.to_le_bytes());
            record[30] = segment.flags.0;
            record[31] = 1;
            &segment.payload
        }
        Body::Udp(payload) => {
            record[31] = 2;
            payload
        }
        Body::Unreachable(_) => {
            record[31] = 3;
            &crate::wire::Payload::EMPTY
        }
    };
    record[32..40].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    digest.block(&record);
    if !payload.is_empty() {
        digest.record(payload);
    }
    payload.len() as u64
}

/// The loopback address of a family.
pub(super) fn loopback(ipv4: bool) -> IpAddr {
    if ipv4 { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) }
}
