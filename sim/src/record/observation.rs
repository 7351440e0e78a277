//! [`Observation`]: one fact of a run, told by the applications, the proxies or the mesh itself.
//!
//! Invariant checkers see nothing else. What an application tells it saw with its own eyes: a checker links the two
//! ends of a flow by [`FlowId`], which travels inside the application's bytes, and so trusts no proxy.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use proxy_core::host::Instant;
use proxy_core::telemetry::Event;

use super::NameAnswer;
use crate::cluster::Cluster;

/// One fact and when it came to be.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When.
    pub at: Instant,
    /// What.
    pub kind: ObservationKind,
}

/// Who tells, and what.
#[derive(Clone, Debug)]
pub enum ObservationKind {
    /// An application, client or server.
    App(AppEvent),
    /// The proxy of a node.
    Proxy {
        /// Its node.
        node: Arc<str>,
        /// What it told.
        event: Event,
    },
    /// What the cluster truly is from now on: told at the start and after every change, by people or by controllers.
    Cluster(Arc<Cluster>),
    /// A proxy has applied and acknowledged this version of the configuration, and all before it.
    ConfigAcked {
        /// The proxy's node.
        node: Arc<str>,
        /// Counted from 1 by the control plane.
        version: u64,
    },
    /// The node agent finished enrolling a pod, or taking it out of the mesh: from now on its capture rules and its
    /// listeners are there, or gone.
    Enrollment {
        /// The pod's uid.
        pod: Arc<str>,
        /// Whether it is in the mesh now.
        enrolled: bool,
    },
    /// Something was seen on the wire.
    Wire(WireFact),
    /// The cluster's DNS answered.
    NameServed {
        /// Who asked, by the address it sees.
        client: IpAddr,
        /// What it said.
        answer: NameAnswer,
    },
    /// A proxy of a node, or a waypoint on it, begins to run, or is gone with all it held. `proxy` is the name under which it
    /// acknowledges and tells: the node's, with a number from the second on; a waypoint's pod's. A node's first proxy is
    /// there from the beginning and is not told.
    ProxyLife {
        /// Its node.
        node: Arc<str>,
        /// The proxy.
        proxy: Arc<str>,
        /// Whether it runs from now on.
        running: bool,
    },
    /// A fault begins or ends.
    Fault(FaultFact),
}

/// A fault begins or ends. Told by whoever injects it; no proxy hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultFact {
    /// Counted from 1 over a run.
    pub number: u64,
    /// In words.
    pub what: Arc<str>,
    /// What it may do to those it touches.
    pub kind: FaultKind,
    /// Uids of the pods it touches; `None` is everybody.
    pub pods: Option<Arc<BTreeSet<Arc<str>>>>,
    /// Whether it begins; else it ends.
    pub begins: bool,
}

/// What a fault may do to those it touches, as far as invariants must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Packets are lost or late: streams stall, and break when that lasts.
    Network,
    /// Packets are late, out of order or doubled: TCP hides it.
    Nuisance,
    /// A process or a node stops or stands still: its streams break or stall.
    Process,
    /// A change meant to be graceful: nothing breaks.
    Graceful,
    /// Configuration is late, in pieces or cut off.
    Configuration,
    /// The certificate authority is slow, gone or changing.
    Authority,
    /// A wall clock is wrong.
    Clock,
}

/// What a listener on the wire tells. Told by the fabric, not by any proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFact {
    /// The first bytes of a connection's direction left the sender's namespace.
    FirstBytes {
        /// Sender, as on the wire.
        source: SocketAddr,
        /// Receiver, as on the wire.
        destination: SocketAddr,
        /// When the connection's SYN left.
        opened: Instant,
        /// Whether they begin like a TLS handshake.
        tls: bool,
    },
    /// A fault changed bytes of this connection under way.
    Corrupted {
        /// Sender, as on the wire.
        source: SocketAddr,
        /// Receiver, as on the wire.
        destination: SocketAddr,
    },
    /// A proxy opened a connection and capture took it for an application's.
    Recaptured {
        /// The proxy's end.
        source: SocketAddr,
        /// Where it meant to go.
        destination: SocketAddr,
        /// The proxy port it was sent to.
        port: u16,
    },
}

/// One exchange between two applications: a request and its answer, or a raw stream. Unique in a run.
///
/// It travels in the request header `meshsim-flow`, or in the first line of a raw stream, `meshsim-flow <id>\n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The pod an application runs in, as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPod {
    /// Unique over the run, never used again.
    pub uid: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Node it runs on.
    pub node: Arc<str>,
    /// Its addresses, the primary one first.
    pub addresses: Vec<IpAddr>,
}

/// `namespace/name`.
impl fmt::Display for AppPod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The head of an HTTP request as its server received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedHead {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `host` header or `:authority`.
    pub host: String,
    /// `HTTP/1.1` or `HTTP/2`.
    pub proto: &'static str,
    /// Names in lower case and values, in order.
    pub headers: Vec<(String, String)>,
}

/// Bytes seen at one end, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub bytes: u64,
    /// XXH3-64 over all of them, in order.
    pub hash: u64,
}

/// Which end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowEnd {
    /// Who dialled.
    Client,
    /// Who accepted.
    Server,
}

/// How one end saw its connection end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// This end had all it wanted and finished in good order.
    Finished,
    /// The other side finished its direction before what was due had come.
    ClosedByPeer,
    /// The other side, or something between, reset it.
    ResetByPeer,
    /// This end gave it up on purpose: closed without reading on, or reset.
    ClosedByUs,
    /// This end waited long enough.
    TimedOut,
    /// The process went away with the connection open.
    Killed,
}

/// What an application tells.
///
/// Connections are named by the first flow on them. A raw stream is one flow; an HTTP connection may carry many.
#[derive(Clone, Debug)]
pub enum AppEvent {
    /// A client's resolver got an answer to one question.
    Resolved {
        /// The client's pod.
        client: Arc<AppPod>,
        /// When it asked.
        asked: Instant,
        /// What it was told.
        answer: NameAnswer,
    },
    /// A client begins to open a connection for `flow`.
    Dialled {
        /// The flow.
        flow: FlowId,
        /// The client's pod.
        client: Arc<AppPod>,
        /// The address dialled.
        to: SocketAddr,
        /// What the application asked for, e.g. `http://ratings.bookshop:8080`.
        intended: Arc<str>,
    },
    /// The connection is open, as the client's socket sees it.
    Connected {
        /// The flow.
        flow: FlowId,
        /// The client's end.
        local: SocketAddr,
        /// The other end.
        peer: SocketAddr,
    },
    /// A client that speaks HBONE itself has opened a connection.
    HboneConnected {
        /// The client's end.
        local: SocketAddr,
    },
    /// The connection did not open.
    DialFailed {
        /// The flow.
        flow: FlowId,
        /// Why.
        error: std::io::ErrorKind,
    },
    /// A client sends a request on a connection that carried others before.
    Reused {
        /// The flow.
        flow: FlowId,
        /// The connection.
        connection: FlowId,
        /// The client's pod.
        client: Arc<AppPod>,
        /// The address dialled when the connection was opened.
        to: SocketAddr,
        /// What the application asks for.
        intended: Arc<str>,
    },
    /// A client makes an HTTP request: told before its connection is opened or found.
    Requested {
        /// The flow.
        flow: FlowId,
        /// What it sends.
        request: Arc<ReceivedHead>,
    },
    /// A server has read a flow's id: its request head, or the first line of its stream.
    Accepted {
        /// The flow.
        flow: FlowId,
        /// The first flow on this connection, as the server saw it.
        connection: FlowId,
        /// The server's pod.
        server: Arc<AppPod>,
        /// The server's end.
        local: SocketAddr,
        /// Who it sees as its client.
        peer: SocketAddr,
        /// What an HTTP server read; `None` for a raw stream.
        request: Option<Arc<ReceivedHead>>,
    },
    /// A client has read a complete answer.
    Answered {
        /// The flow.
        flow: FlowId,
        /// HTTP status; `None` for a raw stream, whose answer is its first line echoed.
        status: Option<u16>,
    },
    /// A client will get no answer.
    Unanswered {
        /// The flow.
        flow: FlowId,
        /// Why.
        ending: Ending,
    },
    /// One end of a connection is over. Told once an end.
    Closed {
        /// The connection: its first flow.
        connection: FlowId,
        /// Which end tells.
        end: FlowEnd,
        /// The pod of this end.
        pod: Arc<AppPod>,
        /// What this end handed to its socket and the socket took.
        sent: Tally,
        /// What this end read.
        received: Tally,
        /// Whether this end read the other's FIN: then `received` is all the other end sent, or bytes were lost.
        read_to_end: bool,
        /// Whether it was waiting for more bytes then.
        waiting: bool,
        /// When this end finished its own direction, if it meant to read on.
        finished: Option<Instant>,
        /// How it ended.
        ending: Ending,
        /// Offset of the first received byte that is not the one due, where this end can tell (raw streams only).
        first_wrong_byte: Option<u64>,
    },
}
