//! [`Event`]: everything a proxy has to tell.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{DiscoveryEvent, DnsRequest, Reason, RequestInfo};
use crate::host::Instant;
use crate::identity::Identity;
use crate::policy::{PolicyKey, Verdict};
use crate::state::{NamespacedHostname, Workload};

/// Unique within one proxy process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The trace id of the `traceparent` that travels with a connection from hop to hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TraceId(pub [u8; 16]);

/// Who reports: the client's proxy, the server's, or a waypoint between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reporter {
    /// Outbound.
    Source,
    /// Inbound.
    Destination,
    /// A waypoint, for what it carries; for its own tunnels it is [`Reporter::Source`] or [`Reporter::Destination`].
    Waypoint,
}

/// As in the access log.
pub type Direction = Reporter;

/// How this hop was protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionSecurity {
    /// Plaintext.
    Unknown,
    /// HBONE.
    MutualTls,
}

/// Where a hop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hop {
    /// Plain TCP to the application or beyond the mesh.
    Plain,
    /// HBONE to the destination's node proxy.
    Hbone,
    /// HBONE to a waypoint.
    Waypoint,
    /// HBONE inside HBONE, through a network gateway.
    DoubleHbone,
}

/// What is known of a connection. Shared by all its events.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Unique within the proxy process.
    pub id: ConnectionId,
    /// Shared with the other hops.
    pub trace: TraceId,
    /// Who reports.
    pub reporter: Reporter,
    /// Uid of the local workload this proxy instance serves.
    pub local_workload: Option<Arc<Workload>>,
    /// The TCP peer: outbound the application, inbound the tunnel's or plaintext peer.
    pub source: SocketAddr,
    /// The source workload, if known.
    pub source_workload: Option<Arc<Workload>>,
    /// The verified source identity: our own (outbound HBONE) or the peer's certificate (inbound).
    pub source_identity: Option<Identity>,
    /// Original destination: outbound where the application meant to go; inbound `podIP:15008` or the original destination.
    pub original_destination: SocketAddr,
    /// Next hop actually dialled; `None` if it never came to that.
    pub destination: Option<SocketAddr>,
    /// The CONNECT authority, when there was one.
    pub authority: Option<Arc<str>>,
    /// The destination workload (the next hop's, if it is a waypoint or gateway).
    pub destination_workload: Option<Arc<Workload>>,
    /// The intended service.
    pub destination_service: Option<NamespacedHostname>,
    /// Its Kubernetes name.
    pub destination_service_name: Option<Arc<str>>,
    /// How this hop is carried.
    pub hop: Hop,
    /// How this hop is protected.
    pub security: ConnectionSecurity,
}

/// Everything a proxy has to tell. Sinks derive log lines, metrics and the run record from these.
#[derive(Clone, Debug)]
pub enum Event {
    /// A socket was accepted on a listener (+1 on `istio_tcp_sockets_open`).
    SocketOpened {
        /// Which side.
        reporter: Reporter,
    },
    /// Its task ended (−1).
    SocketClosed {
        /// Which side.
        reporter: Reporter,
    },
    /// Refused before a connection record existed: only a WARN line.
    Refused {
        /// When.
        at: Instant,
        /// Which side.
        reporter: Reporter,
        /// TCP peer.
        source: SocketAddr,
        /// Where it was meant to go.
        destination: SocketAddr,
        /// Shared with the other hops, if one was known.
        trace: Option<TraceId>,
        /// Uid of the local workload, if known.
        local_workload: Option<Arc<Workload>>,
        /// Why.
        reason: Reason,
        /// In words.
        error: String,
    },
    /// A record exists. Inbound: before policy was asked.
    Opened {
        /// When.
        at: Instant,
        /// What is known.
        connection: Arc<ConnectionInfo>,
    },
    /// Policy was asked: inbound, and again after changes that refuse; at waypoints of opaque connections.
    Judged {
        /// When.
        at: Instant,
        /// What is known.
        connection: Arc<ConnectionInfo>,
        /// What it said.
        verdict: Verdict,
        /// Dry-run policies that would have said otherwise.
        dry_run: Vec<PolicyKey>,
    },
    /// Bytes were forwarded, in the metric's sense: sent is server→client, received is client→server.
    Bytes {
        /// What is known.
        connection: Arc<ConnectionInfo>,
        /// Server to client.
        sent: u64,
        /// Client to server.
        received: u64,
    },
    /// It is over, exactly once per `Opened`.
    Closed {
        /// When.
        at: Instant,
        /// What is known.
        connection: Arc<ConnectionInfo>,
        /// Server to client, in all.
        sent: u64,
        /// Client to server, in all.
        received: u64,
        /// From `Opened` to here.
        duration: Duration,
        /// Why.
        reason: Reason,
        /// In words, when it is a failure.
        error: Option<String>,
    },
    /// An HTTP request was answered in full, or given up. Only waypoints tell of these.
    Request {
        /// When.
        at: Instant,
        /// What is known.
        request: Arc<RequestInfo>,
    },
    /// Something about a tunnel (a pooled HBONE connection).
    Tunnel(TunnelEvent),
    /// A certificate was fetched, refreshed or could not be.
    Certificate {
        /// When.
        at: Instant,
        /// Whose.
        identity: Identity,
        /// `Ok` or why not.
        outcome: Result<(), String>,
    },
    /// Something came from the control plane, or the way to it ended.
    Discovery(DiscoveryEvent),
    /// A DNS request was answered.
    Dns(DnsRequest),
}

/// The life of an HBONE connection.
#[derive(Clone, Debug)]
pub enum TunnelEvent {
    /// Handshake done.
    Opened {
        /// When.
        at: Instant,
        /// Client or server side.
        reporter: Reporter,
        /// Our end.
        local: SocketAddr,
        /// Their end.
        peer: SocketAddr,
        /// Who we are in it.
        local_identity: Identity,
        /// Whom the peer proved to be.
        peer_identity: Identity,
        /// The pod whose bytes it carries (client side): uid.
        local_workload: Option<Arc<str>>,
    },
    /// The peer announced it will take no new streams.
    GoAway {
        /// When.
        at: Instant,
        /// Our end.
        local: SocketAddr,
        /// Their end.
        peer: SocketAddr,
    },
    /// A stream was opened on it.
    StreamOpened {
        /// When.
        at: Instant,
        /// Client or server side.
        reporter: Reporter,
        /// Our end.
        local: SocketAddr,
        /// Their end.
        peer: SocketAddr,
        /// The stream's trace.
        trace: TraceId,
    },
    /// It is gone.
    Closed {
        /// When.
        at: Instant,
        /// Client or server side.
        reporter: Reporter,
        /// Our end.
        local: SocketAddr,
        /// Their end.
        peer: SocketAddr,
        /// Why.
        reason: Reason,
    },
}
