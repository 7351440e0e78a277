//! [`TokioHost`]: real sockets, clocks and dice, over tokio. The only file that may name them.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the door that other code goes through"
)]

mod bound;
mod runtime;

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use super::{Accepted, Datagram, Dial, Host, Instant, Keepalive, Listener, Stream, WallTime};

pub use bound::{BoundSocket, Claim};
pub use runtime::{TokioRuntime, TokioTask};

/// Pending connections a listener holds.
const BACKLOG: i32 = 128;

/// This process, in whatever network namespace its threads are, on the current tokio runtime.
///
/// Sockets have `TCP_NODELAY`. Listeners have `SO_REUSEADDR` and `SO_REUSEPORT`, so that an old and a new proxy can listen side
/// by side. Must be used within a tokio runtime with its I/O and time drivers on.
#[derive(Clone, Debug)]
pub struct TokioHost(Arc<Shared>);

#[derive(Clone, Debug)]
struct Shared {
    started: tokio::time::Instant,
    mark: Option<u32>,
}

impl TokioHost {
    /// A host whose [`Instant::START`] is now.
    pub fn new() -> Self {
        TokioHost(Arc::new(Shared { started: tokio::time::Instant::now(), mark: None }))
    }

    /// The same host, setting `SO_MARK` on every socket it creates. Needs `CAP_NET_ADMIN`: without it, creating sockets fails.
    pub fn marked(&self, mark: u32) -> Self {
        TokioHost(Arc::new(Shared { mark: Some(mark), ..(*self.0).clone() }))
    }

    /// A socket of this kind for this address family, not yet bound.
    fn socket(&self, family: &SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(*family), kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        #[cfg(target_os = "linux")]
        if let Some(mark) = self.0.mark {
            socket.set_mark(mark)?;
        }
        if family.is_ipv6() && family.ip().is_unspecified() {
            socket.set_only_v6(false)?;
        }
        Ok(socket)
    }
}

impl TokioHost {
    /// Runs `work` to its end on a runtime of its own with this many threads, and everything it spawns.
    ///
    /// # Errors
    /// The operating system gives no threads or no event queue.
    pub fn run<T, F: Future<Output = T>>(threads: usize, work: impl FnOnce(TokioHost) -> F) -> io::Result<T> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()?;
        Ok(runtime.block_on(async { work(TokioHost::new()).await }))
    }

    /// Completes when the process is asked to end: Ctrl-C, and SIGTERM where there is such a thing.
    ///
    /// # Errors
    /// Signals cannot be listened for.
    pub async fn interrupted(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            std::future::poll_fn(|context| {
                let interrupted = interrupt.poll_recv(context).is_ready();
                if interrupted || terminate.poll_recv(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            Ok(())
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await
    }

    /// Listens for what the process is asked by signals from now on; until then they do what they do by default.
    ///
    /// # Errors
    /// Signals cannot be listened for.
    pub fn signals(&self) -> io::Result<Signals> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Signals {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup: signal(SignalKind::hangup())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Signals {})
    }

    /// The addresses the operating system knows for `name:port`.
    ///
    /// # Errors
    /// The name is unknown, or nobody could be asked.
    pub async fn resolve(&self, name_and_port: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host(name_and_port).await?.collect())
    }
}

/// What a process is asked by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To end: Ctrl-C, SIGTERM.
    End,
    /// To read its configuration again: SIGHUP.
    Reload,
}

/// What the process is asked by signals. Keeps what comes while nobody waits; several of a kind count once then.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// The next request; to end comes first. Can be dropped and called again without loss.
    pub async fn next(&mut self) -> Asked {
        #[cfg(unix)]
        return std::future::poll_fn(|context| {
            let interrupted = self.interrupt.poll_recv(context).is_ready();
            if interrupted || self.terminate.poll_recv(context).is_ready() {
                return Poll::Ready(Asked::End);
            }
            self.hangup.poll_recv(context).map(|_| Asked::Reload)
        })
        .await;
        #[cfg(not(unix))]
        match tokio::signal::ctrl_c().await {
            Ok(()) => Asked::End,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Default for TokioHost {
    fn default() -> Self {
        TokioHost::new()
    }
}

impl Host for TokioHost {
    type Tcp = TokioStream;
    type Listener = TokioListener;
    type Udp = TokioUdp;

    fn now(&self) -> Instant {
        Instant::START + self.0.started.elapsed()
    }

    fn wall_time(&self) -> WallTime {
        // A clock before 1970 is as wrong as one at 1970.
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        WallTime::from_unix_nanos(0) + since_epoch
    }

    fn fill_random(&self, _stream: &'static str, dest: &mut [u8]) {
        let filled = rustls::crypto::ring::default_provider().secure_random.fill(dest);
        assert!(filled.is_ok(), "the operating system gives no randomness");
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static {
        let deadline = self.0.started.checked_add(at.since_start());
        async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                // Beyond what the clock can name.
                None => std::future::pending().await,
            }
        }
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    async fn dial(&self, dial: Dial) -> io::Result<TokioStream> {
        let plain = || self.socket(&dial.to, Type::STREAM, Protocol::TCP);
        let socket = match dial.from.filter(|from| *from != dial.to.ip() && from.is_ipv4() == dial.to.is_ipv4()) {
            None => plain()?,
            Some(from) => {
                let socket = plain()?;
                match bind_foreign(&socket, from) {
                    Ok(()) => socket,
                    Err(error) => {
                        tracing::debug!(%from, %error, "source address cannot be preserved");
                        plain()?
                    }
                }
            }
        };
        let stream = TcpSocket::from_std_stream(socket.into()).connect(dial.to).await?;
        TokioStream::new(stream)
    }

    fn listen(&self, at: SocketAddr) -> io::Result<TokioListener> {
        let socket = self.socket(&at, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        socket.bind(&at.into())?;
        TokioListener::on(socket)
    }

    fn bind_udp(&self, at: SocketAddr) -> io::Result<TokioUdp> {
        let socket = self.socket(&at, Type::DGRAM, Protocol::UDP)?;
        socket.bind(&at.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(TokioUdp { local: socket.local_addr()?, socket })
    }
}

/// Binds to an address that is not ours. Needs `CAP_NET_ADMIN`, and routes that bring the answers back.
#[cfg(target_os = "linux")]
fn bind_foreign(socket: &Socket, from: IpAddr) -> io::Result<()> {
    match from {
        IpAddr::V4(_) => {
            socket.set_ip_transparent_v4(true)?;
            socket.set_freebind_v4(true)?;
        }
        IpAddr::V6(_) => {
            socket.set_ip_transparent_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    socket.bind(&SocketAddr::new(from, 0).into())
}

#[cfg(not(target_os = "linux"))]
fn bind_foreign(_socket: &Socket, _from: IpAddr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// v4-mapped v6 addresses as v4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A connected TCP stream.
#[derive(Debug)]
pub struct TokioStream {
    stream: TcpStream,
    local: SocketAddr,
    peer: SocketAddr,
}

impl TokioStream {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (local, peer) = (canonical(stream.local_addr()?), canonical(stream.peer_addr()?));
        Ok(TokioStream { stream, local, peer })
    }
}

impl Stream for TokioStream {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn set_keepalive(&self, keepalive: Option<Keepalive>) {
        let socket = SockRef::from(&self.stream);
        let outcome = match keepalive {
            None => socket.set_keepalive(false),
            Some(keepalive) => socket.set_tcp_keepalive(
                &TcpKeepalive::new()
                    .with_time(keepalive.idle)
                    .with_interval(keepalive.interval)
                    .with_retries(keepalive.probes),
            ),
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "keepalive cannot be set");
        }
    }

    fn reset(self) {
        // Closing with a linger of zero discards what is buffered and sends a RST.
        if let Err(error) = self.stream.set_zero_linger() {
            tracing::debug!(%error, "the connection closes without a reset");
        }
    }
}

impl AsyncRead for TokioStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for TokioStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A listening TCP socket.
#[derive(Debug)]
pub struct TokioListener {
    listener: TcpListener,
    local: SocketAddr,
}

impl TokioListener {
    /// Has a socket that is bound listen.
    fn on(socket: Socket) -> io::Result<Self> {
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        Ok(TokioListener { local: listener.local_addr()?, listener })
    }
}

impl Listener for TokioListener {
    type Stream = TokioStream;

    async fn accept(&self) -> io::Result<Accepted<TokioStream>> {
        let (stream, _) = self.listener.accept().await?;
        let original_dst = original_destination(&stream);
        let stream = TokioStream::new(stream)?;
        Ok(Accepted { peer: stream.peer, original_dst: original_dst.unwrap_or(stream.local), stream })
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

/// Where the client meant to go before a redirect of the kernel's; `None` where there is no connection tracking.
#[cfg(target_os = "linux")]
fn original_destination(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let v4 = socket.original_dst_v4().ok().and_then(|address| address.as_socket());
    v4.or_else(|| socket.original_dst_v6().ok().and_then(|address| address.as_socket())).map(canonical)
}

#[cfg(not(target_os = "linux"))]
fn original_destination(_stream: &TcpStream) -> Option<SocketAddr> {
    None
}

/// A bound UDP socket.
#[derive(Debug)]
pub struct TokioUdp {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Datagram for TokioUdp {
    async fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        // A v6 socket reaches v4 only through mapped addresses.
        let to = match (self.local, to.ip()) {
            (SocketAddr::V6(_), IpAddr::V4(ip)) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), to.port()),
            _ => to,
        };
        self.socket.send_to(data, to).await
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, from) = self.socket.recv_from(buffer).await?;
        Ok((length, canonical(from)))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}
