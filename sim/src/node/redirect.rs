//! What capture does with a packet: the redirect rules of an enrolled pod, as a pure table.
//!
//! The rules are those a CNI agent programs into a pod's namespace. Only the first packet of a connection is looked up;
//! the rest follow it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Mark of the proxy's own sockets; exempt from capture.
pub const PROXY_MARK: u32 = 0x539;
/// The bits of a mark that are compared.
pub const MARK_MASK: u32 = 0xfff;
/// Where outgoing TCP is sent.
pub const OUTBOUND_PORT: u16 = 15001;
/// Where incoming TCP that is not HBONE is sent.
pub const INBOUND_PORT: u16 = 15006;
/// Incoming HBONE; reached directly.
pub const HBONE_PORT: u16 = 15008;
/// Where DNS is sent, when captured.
pub const DNS_PORT: u16 = 15053;
/// Source address of health probes, which the agent rewrites so that they can be told apart.
pub const PROBE_SOURCE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 7, 127));
/// The same for IPv6.
pub const PROBE_SOURCE_V6: IpAddr =
    IpAddr::V6(Ipv6Addr::new(0xfd16, 0x9254, 0x7127, 0x1337, 0xffff, 0xffff, 0xffff, 0xffff));

/// Capture of one namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capture {
    /// Incoming connections are left alone.
    pub bypass_inbound: bool,
    /// Port 53 is redirected to the proxy's resolver.
    pub dns: bool,
}

/// The transport protocol of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What the rules look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Protocol.
    pub protocol: Protocol,
    /// Sender.
    pub source: SocketAddr,
    /// Receiver, as the sender wrote it.
    pub destination: SocketAddr,
    /// Mark of the sending socket.
    pub mark: u32,
    /// Whether the packet stays within the namespace: to loopback or to one of its own addresses.
    pub own: bool,
}

/// What becomes of a packet, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Goes on to this port of the same namespace.
    Redirect(u16),
    /// Left alone: the namespace is not captured.
    NotCaptured,
    /// Left alone: sent by the proxy.
    Marked,
    /// Left alone: to loopback or the namespace's own address.
    Own,
    /// Left alone: HBONE finds its port by itself.
    Hbone,
    /// Left alone: a health probe.
    Probe,
    /// Left alone: incoming capture is off.
    Bypassed,
    /// Left alone: only TCP and captured DNS are redirected.
    OtherProtocol,
}

impl Decision {
    /// The port redirected to.
    pub fn port(self) -> Option<u16> {
        match self {
            Decision::Redirect(port) => Some(port),
            _ => None,
        }
    }
}

fn is_marked(mark: u32) -> bool {
    mark & MARK_MASK == PROXY_MARK
}

/// What happens to the first packet of a flow leaving a socket of the namespace.
pub fn outbound(capture: Option<Capture>, facts: &Facts) -> Decision {
    let Some(capture) = capture else { return Decision::NotCaptured };
    if is_marked(facts.mark) {
        return Decision::Marked;
    }
    if facts.own || facts.destination.ip().is_loopback() {
        return Decision::Own;
    }
    match facts.protocol {
        _ if capture.dns && facts.destination.port() == 53 => Decision::Redirect(DNS_PORT),
        Protocol::Tcp => Decision::Redirect(OUTBOUND_PORT),
        Protocol::Udp => Decision::OtherProtocol,
    }
}

/// What happens to the first packet of a flow arriving at the namespace.
pub fn inbound(capture: Option<Capture>, facts: &Facts) -> Decision {
    let Some(capture) = capture else { return Decision::NotCaptured };
    let source = facts.source.ip();
    if facts.own || facts.destination.ip().is_loopback() {
        Decision::Own
    } else if facts.protocol == Protocol::Udp {
        Decision::OtherProtocol
    } else if capture.bypass_inbound {
        Decision::Bypassed
    } else if source == PROBE_SOURCE_V4 || source == PROBE_SOURCE_V6 {
        Decision::Probe
    } else if facts.destination.port() == HBONE_PORT {
        Decision::Hbone
    } else {
        Decision::Redirect(INBOUND_PORT)
    }
}

#[cfg(test)]
mod tests;
