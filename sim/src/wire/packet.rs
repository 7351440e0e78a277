//! [`Packet`]: what a link carries, and why one is dropped.

use std::fmt;
use std::net::SocketAddr;

use super::{Payload, Segment};

/// One packet, or a run of TCP packets travelling as one event. Addresses are those on the wire: after capture and
/// address translation at the sender, as a listener on the link would see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Sender.
    pub source: SocketAddr,
    /// Receiver.
    pub destination: SocketAddr,
    /// Content.
    pub body: Body,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// TCP.
    Tcp(Segment),
    /// One UDP datagram.
    Udp(Payload),
    /// A router or host reports that `what` could not be delivered to the packet's source.
    Unreachable(Unreachable),
}

/// An ICMP destination-unreachable message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// Whether the packet reported on was TCP; else UDP.
    pub tcp: bool,
    /// True when the host is there but nobody has the UDP port; false when the host cannot be reached.
    pub port: bool,
}

impl Packet {
    /// Bytes of IP header.
    #[inline]
    pub fn ip_header_len(&self) -> u32 {
        if self.destination.is_ipv4() { 20 } else { 40 }
    }

    /// Wire packets this stands for when the link's MTU is `mtu`.
    #[inline]
    pub fn wire_packets(&self, mtu: u16) -> u32 {
        match &self.body {
            Body::Tcp(segment) => segment.wire_packets(),
            Body::Udp(payload) => {
                let room = u32::from(mtu).saturating_sub(self.ip_header_len()).max(8) & !7;
                (payload.len() as u32 + 8).div_ceil(room).max(1)
            }
            Body::Unreachable(_) => 1,
        }
    }

    /// Bytes on the wire including IP and transport headers of every wire packet; no link-layer framing.
    #[inline]
    pub fn wire_bytes(&self, mtu: u16) -> u64 {
        let ip = u64::from(self.ip_header_len());
        let packets = u64::from(self.wire_packets(mtu));
        match &self.body {
            Body::Tcp(segment) => packets * (ip + u64::from(segment.header_len())) + segment.payload.len() as u64,
            Body::Udp(payload) => packets * ip + 8 + payload.len() as u64,
            Body::Unreachable(_) => ip + 8 + ip + 8,
        }
    }
}

/// Why a packet did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// No namespace has the destination address.
    NoRoute,
    /// The receiving namespace went away while the packet was under way.
    NamespaceGone,
    /// Nobody listens on the UDP port.
    NoSocket,
    /// The link lost it, as configured.
    Loss,
    /// The link is cut.
    Cut,
    /// The link's queue was full.
    QueueFull,
    /// Larger than the link's MTU and not allowed to be cut.
    TooBig,
    /// The listener's backlog was full.
    BacklogFull,
    /// The receiving socket's buffer was full.
    ReceiveBufferFull,
    /// A fault rule dropped it.
    Rule,
    /// The source address is not one the sender may use.
    BadSource,
    /// A fault parts sender and receiver.
    Partition,
    /// A fault has the link down at times.
    LinkDown,
    /// A fault lost it.
    InjectedLoss,
    /// It did not fit the queue of a link that a fault has made narrow.
    InjectedQueueFull,
    /// The receiving node is down.
    NodeDown,
}

/// How many reasons there are.
pub(crate) const DROP_REASONS: [DropReason; 16] = [
    DropReason::NoRoute,
    DropReason::NamespaceGone,
    DropReason::NoSocket,
    DropReason::Loss,
    DropReason::Cut,
    DropReason::QueueFull,
    DropReason::TooBig,
    DropReason::BacklogFull,
    DropReason::ReceiveBufferFull,
    DropReason::Rule,
    DropReason::BadSource,
    DropReason::Partition,
    DropReason::LinkDown,
    DropReason::InjectedLoss,
    DropReason::InjectedQueueFull,
    DropReason::NodeDown,
];

impl DropReason {
    /// The word used in counters and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            DropReason::NoRoute => "no_route",
            DropReason::NamespaceGone => "namespace_gone",
            DropReason::NoSocket => "no_socket",
            DropReason::Loss => "loss",
            DropReason::Cut => "cut",
            DropReason::QueueFull => "queue_full",
            DropReason::TooBig => "too_big",
            DropReason::BacklogFull => "backlog_full",
            DropReason::ReceiveBufferFull => "receive_buffer_full",
            DropReason::Rule => "rule",
            DropReason::BadSource => "bad_source",
            DropReason::Partition => "partition",
            DropReason::LinkDown => "link_down",
            DropReason::InjectedLoss => "injected_loss",
            DropReason::InjectedQueueFull => "injected_queue_full",
            DropReason::NodeDown => "node_down",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
