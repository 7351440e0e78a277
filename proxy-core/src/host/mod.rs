//! The one door to time, randomness, sockets and tasks.
//!
//! Everything in this workspace that waits, draws, connects or spawns does so through a [`Host`]. The lints in
//! each package's `clippy.toml` keep every other door shut. There are two implementations: [`TokioHost`] over real
//! sockets, and the simulator's. A `Host` value stands for *one process in one network namespace*: dialling goes out
//! of that namespace, and spawned tasks die with that process.

mod os;
pub mod rng;
pub mod suite;
mod time;
pub mod timer;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub use os::{
    Asked, BoundSocket, Claim, Signals, TokioHost, TokioListener, TokioRuntime, TokioStream, TokioTask, TokioUdp,
};
pub use rng::Rng;
pub use time::{Instant, WallTime};

/// One process in one network namespace: its clock, its dice, its sockets, its tasks.
///
/// Cheap to clone; clones are the same process. Always used as a generic, never as `dyn`.
pub trait Host: Clone + Send + Sync + 'static {
    /// A connected TCP stream.
    type Tcp: Stream;
    /// A listening TCP socket.
    type Listener: Listener<Stream = Self::Tcp>;
    /// A bound UDP socket.
    type Udp: Datagram;

    /// Monotonic time, integer nanoseconds since an arbitrary start. Never goes back.
    fn now(&self) -> Instant;

    /// The wall clock, for certificate validity and log lines only. May be skewed per host and may step.
    fn wall_time(&self) -> WallTime;

    /// Fills `dest` from this host's random stream called `stream`.
    ///
    /// Streams are independent: a draw from one never shifts another. Real hosts ignore the name and ask the
    /// operating system.
    fn fill_random(&self, stream: &'static str, dest: &mut [u8]);

    /// Completes no earlier than `at`. Cancelled by dropping.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static;

    /// Starts a task that belongs to this process and dies with it. `name` appears in task listings.
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static);

    /// Opens a TCP connection. There is no built-in timeout beyond the network's own: wrap in [`timer::timeout`].
    ///
    /// # Errors
    /// `ConnectionRefused`, `ConnectionReset`, `TimedOut`, `HostUnreachable`, `AddrNotAvailable`.
    fn dial(&self, dial: Dial) -> impl Future<Output = io::Result<Self::Tcp>> + Send;

    /// Listens on `at`; an unspecified IP listens on every address of the namespace, both families if v6.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`.
    fn listen(&self, at: SocketAddr) -> io::Result<Self::Listener>;

    /// Binds a UDP socket; port 0 picks one.
    ///
    /// # Errors
    /// As [`Host::listen`].
    fn bind_udp(&self, at: SocketAddr) -> io::Result<Self::Udp>;

    /// Completes `duration` from now.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.sleep_until(self.now() + duration)
    }

    /// A fresh generator seeded by one 32-byte draw from the stream called `stream`.
    fn rng(&self, stream: &'static str) -> Rng {
        let mut seed = [0; 32];
        self.fill_random(stream, &mut seed);
        Rng::from_seed(seed)
    }
}

/// What to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Where to.
    pub to: SocketAddr,
    /// The source address the peer should see, when it is not this namespace's own (source preservation).
    /// The port is always chosen by the network.
    pub from: Option<IpAddr>,
}

impl Dial {
    /// An ordinary dial from this namespace's own address.
    pub fn to(to: SocketAddr) -> Self {
        Dial { to, from: None }
    }

    /// The same dial, seen by the peer as coming from `from`.
    pub fn preserving(self, from: IpAddr) -> Self {
        Dial { from: Some(from), ..self }
    }
}

/// A connected TCP stream. Dropping it closes gracefully (FIN after buffered data), unless unread data makes it a reset.
/// `shutdown` half-closes: the read side stays usable.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Our end.
    fn local_addr(&self) -> SocketAddr;
    /// Their end. With source preservation this is the original client.
    fn peer_addr(&self) -> SocketAddr;
    /// Turns keepalive probes on or off.
    fn set_keepalive(&self, keepalive: Option<Keepalive>);
    /// Closes at once with a RST; buffered data is lost.
    fn reset(self);
}

/// TCP keepalive settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Idle time before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes before the connection is dead.
    pub probes: u32,
}

impl Default for Keepalive {
    /// 180 s idle, 180 s interval, 9 probes: what a node proxy sets on every socket it creates.
    fn default() -> Self {
        Keepalive { idle: Duration::from_secs(180), interval: Duration::from_secs(180), probes: 9 }
    }
}

/// A listening TCP socket. Dropping it stops listening; connections accepted before stay.
pub trait Listener: Send + Sync + 'static {
    /// What `accept` yields.
    type Stream: Stream;
    /// The next connection.
    ///
    /// # Errors
    /// Transient errors (out of descriptors) are returned: wait before calling again.
    fn accept(&self) -> impl Future<Output = io::Result<Accepted<Self::Stream>>> + Send;
    /// Where we listen, with the port the network chose when 0 was asked.
    fn local_addr(&self) -> SocketAddr;
}

/// An accepted connection.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The stream.
    pub stream: S,
    /// Who connected; v4-mapped v6 addresses are given as v4.
    pub peer: SocketAddr,
    /// Where the client meant to go before any redirect; the socket's local address when it was not redirected.
    pub original_dst: SocketAddr,
}

/// A bound UDP socket.
pub trait Datagram: Send + Sync + 'static {
    /// Sends one datagram.
    ///
    /// # Errors
    /// As the network reports; loss is silent.
    fn send_to(&self, data: &[u8], to: SocketAddr) -> impl Future<Output = io::Result<usize>> + Send;
    /// Receives one datagram; what does not fit in `buffer` is lost.
    ///
    /// # Errors
    /// As the network reports.
    fn recv_from(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> + Send;
    /// Where we are bound.
    fn local_addr(&self) -> SocketAddr;
}
