//! What the engine keeps for each socket, and the tables that find them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use proxy_core::host::Instant;

use super::arena::Key;
use super::redirect::Capture;
use crate::exec::{Parked, ProcessId};
use crate::tcp::Tcb;
use crate::wire::{NamespaceId, Payload};

/// Finds a connection: unique among all sockets of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlowKey {
    pub(super) namespace: NamespaceId,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// Where a socket's packets go; looked up again when the topology's epoch moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) epoch: u32,
    /// `None` when nobody has the address.
    pub(super) to: Option<NamespaceId>,
    pub(super) path: u32,
    /// The path's latency while nothing else about it matters; `u64::MAX` when the path must be asked.
    pub(super) plain: u64,
    /// Each wire packet has its own fate on the path.
    pub(super) lossy: bool,
}

/// A TCP connection.
pub(super) struct TcpSocket {
    pub(super) tcb: Tcb,
    /// Addresses as on the wire.
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) namespace: NamespaceId,
    pub(super) route: Route,
    /// The socket at the other end, as of the last packet from there.
    pub(super) peer: Key,
    /// Earliest queued timer event that still counts, and the one after it. Far future when there is none.
    pub(super) armed: Instant,
    pub(super) armed_later: Instant,
    pub(super) reader: Option<Parked>,
    pub(super) writer: Option<Parked>,
    pub(super) mark: u32,
    pub(super) process: ProcessId,
    /// The proxy port capture sent the connection to; 0 for none.
    pub(super) redirect: u16,
    /// Packets stay in the namespace whatever their address says: capture or source preservation.
    pub(super) pinned: bool,
    /// In the flow table.
    pub(super) listed: bool,
    /// Some stream still refers to it.
    pub(super) held: bool,
    /// The listener it waits for, until accepted.
    pub(super) listener: Key,
    /// Addresses as the application sees them.
    pub(super) shown_local: SocketAddr,
    pub(super) shown_peer: SocketAddr,
    pub(super) original_dst: SocketAddr,
}

impl TcpSocket {
    /// Reads a little of everything the next call will need; see [`Tcb::touch`].
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        let ports = u64::from(self.local.port() ^ self.remote.port());
        self.tcb.touch() ^ self.armed.as_nanos() ^ u64::from(self.route.path ^ self.peer.slot ^ self.mark) ^ ports
    }

    pub(super) fn flow(&self) -> FlowKey {
        FlowKey { namespace: self.namespace, local: self.local, remote: self.remote }
    }
}

/// A listening TCP socket.
pub(super) struct ListenSocket {
    pub(super) at: SocketAddr,
    pub(super) namespace: NamespaceId,
    pub(super) process: ProcessId,
    pub(super) mark: u32,
    /// Connected and not yet accepted, oldest first.
    pub(super) ready: VecDeque<Key>,
    /// Handshakes under way.
    pub(super) opening: u32,
    pub(super) waiters: Vec<Parked>,
}

/// Connections a listener holds for its application before it drops SYNs.
pub const BACKLOG: usize = 128;

/// A bound UDP socket.
pub(super) struct UdpSocket {
    pub(super) at: SocketAddr,
    pub(super) namespace: NamespaceId,
    pub(super) process: ProcessId,
    pub(super) mark: u32,
    pub(super) received: VecDeque<(Payload, SocketAddr)>,
    pub(super) received_bytes: usize,
    pub(super) waiters: Vec<Parked>,
    /// Translated destinations: whom it really talks to, and whom it thinks it does. Latest last.
    pub(super) translated: Vec<(SocketAddr, SocketAddr)>,
}

/// Bytes of datagrams a UDP socket holds; Linux's default.
pub(super) const UDP_BUFFER: usize = 212_992;

/// What the engine keeps for each namespace besides its place.
#[derive(Default)]
pub(super) struct Namespace {
    pub(super) capture: Option<Capture>,
    pub(super) listeners: Vec<Key>,
    pub(super) datagrams: Vec<Key>,
    /// Last ephemeral port given out, less the first of the range.
    pub(super) last_port: u16,
}

/// First ephemeral port, and how many there are: Linux's 32768 to 60999.
pub(super) const EPHEMERAL: (u16, u16) = (32_768, 28_232);

/// How well a socket bound to `bound` fits a packet to `to`: higher is better, `None` not at all. An unspecified IPv6
/// address takes IPv4 too.
pub(super) fn fit(bound: SocketAddr, to: SocketAddr) -> Option<u8> {
    if bound.port() != to.port() {
        return None;
    }
    match bound.ip() {
        ip if ip == to.ip() => Some(2),
        IpAddr::V4(ip) if ip.is_unspecified() && to.is_ipv4() => Some(1),
        IpAddr::V6(ip) if ip.is_unspecified() => Some(if to.is_ipv6() { 1 } else { 0 }),
        _ => None,
    }
}

/// Whether two sockets cannot both be bound, unless they share the port.
pub(super) fn conflict(a: SocketAddr, b: SocketAddr) -> bool {
    let wild = |ip: IpAddr| ip.is_unspecified();
    a.port() == b.port()
        && (a.ip() == b.ip()
            || (wild(a.ip()) && (a.is_ipv6() || b.is_ipv4()))
            || (wild(b.ip()) && (b.is_ipv6() || a.is_ipv4())))
}

/// The same address with v4-mapped v6 turned to v4, and without scope.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("a socket address")
    }

    #[test]
    fn exact_binding_beats_wildcard_and_v6_wildcard_takes_v4() {
        let to = at("10.0.0.1:80");
        assert!(fit(at("10.0.0.1:80"), to) > fit(at("0.0.0.0:80"), to));
        assert!(fit(at("0.0.0.0:80"), to) > fit(at("[::]:80"), to));
        assert!(fit(at("[::]:80"), to).is_some());
        assert_eq!(fit(at("0.0.0.0:80"), at("[fd00::1]:80")), None);
        assert_eq!(fit(at("[::]:81"), to), None);
        assert_eq!(fit(at("10.0.0.2:80"), to), None);
    }

    #[test]
    fn wildcards_conflict_with_what_they_cover() {
        assert!(conflict(at("[::]:80"), at("10.0.0.1:80")));
        assert!(conflict(at("0.0.0.0:80"), at("[::]:80")));
        assert!(!conflict(at("0.0.0.0:80"), at("[fd00::1]:80")));
        assert!(!conflict(at("10.0.0.1:80"), at("10.0.0.2:80")));
        assert!(!conflict(at("[::]:80"), at("[::]:81")));
    }
}
