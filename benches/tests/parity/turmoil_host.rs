//! [`TurmoilHost`]: `Host` over turmoil-net's sockets.
//!
//! turmoil-net keeps the host whose sockets are meant in a thread-local, so every touch of a socket names it first.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use proxy_core::host::suite::{Pair, Property};
use proxy_core::host::{Accepted, Datagram, Dial, Host, Instant, Keepalive, Listener, Rng, Stream, WallTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream, UdpSocket};
use turmoil_net::{HostId, Net, set_current};

/// Checks a property between two turmoil-net hosts.
pub(crate) fn check(property: Property) -> Result<(), String> {
    let (server, client) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));
    let mut net = Net::new();
    let (server_id, client_id) = (net.add_host(server), net.add_host(client));
    let guard = net.enter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let start = tokio::time::Instant::now();
        let draws = Arc::new(AtomicU64::new(0));
        let host = |id| TurmoilHost { id, start, draws: Arc::clone(&draws) };
        let pair = Pair { server: host(server_id), client: host(client_id), address: server };
        let tasks = tokio::task::LocalSet::new();
        let outcome = tasks.spawn_local(async move { property.check(&pair).await });
        let mut packets = Vec::new();
        // As turmoil-net's own fixture does it: run all tasks, then carry what they sent.
        while !outcome.is_finished() {
            tasks.run_until(tokio::time::sleep(std::time::Duration::from_millis(1))).await;
            guard.egress_all(&mut packets);
            for packet in packets.drain(..) {
                guard.deliver(packet);
            }
        }
        outcome.await.map_err(|error| format!("{property:?}: {error}"))?
    })
}

#[derive(Clone)]
pub(crate) struct TurmoilHost {
    id: HostId,
    start: tokio::time::Instant,
    draws: Arc<AtomicU64>,
}

/// A socket and the host it is of.
struct Scoped<S> {
    id: HostId,
    socket: Option<S>,
}

impl<S> Scoped<S> {
    fn new(id: HostId, socket: S) -> Self {
        Scoped { id, socket: Some(socket) }
    }

    fn get(&self) -> &S {
        set_current(self.id);
        self.socket.as_ref().expect("only dropping takes it")
    }

    fn pin(&mut self) -> Pin<&mut S>
    where
        S: Unpin,
    {
        set_current(self.id);
        Pin::new(self.socket.as_mut().expect("only dropping takes it"))
    }
}

impl<S> Drop for Scoped<S> {
    fn drop(&mut self) {
        set_current(self.id);
        self.socket = None;
    }
}

/// Polls `work` as `id`.
async fn scoped<T>(id: HostId, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        set_current(id);
        work.as_mut().poll(context)
    })
    .await
}

/// The outcome of `work`, which never waits although it is async.
fn at_once<T>(id: HostId, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    set_current(id);
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Host for TurmoilHost {
    type Tcp = TurmoilStream;
    type Listener = TurmoilListener;
    type Udp = TurmoilDatagram;

    fn now(&self) -> Instant {
        Instant::START + self.start.elapsed()
    }

    fn wall_time(&self) -> WallTime {
        WallTime::from_unix_secs(0) + self.start.elapsed()
    }

    fn fill_random(&self, _stream: &'static str, dest: &mut [u8]) {
        Rng::from_number(self.draws.fetch_add(1, Ordering::Relaxed)).fill(dest);
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep_until(self.start + at.since_start())
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        tokio::task::spawn_local(task);
    }

    async fn dial(&self, dial: Dial) -> io::Result<TurmoilStream> {
        let stream = scoped(self.id, TcpStream::connect(dial.to)).await?;
        TurmoilStream::new(self.id, stream)
    }

    fn listen(&self, at: SocketAddr) -> io::Result<TurmoilListener> {
        let listener = at_once(self.id, TcpListener::bind(at))?;
        let local = listener.local_addr()?;
        Ok(TurmoilListener { listener: Scoped::new(self.id, listener), local })
    }

    fn bind_udp(&self, at: SocketAddr) -> io::Result<TurmoilDatagram> {
        let socket = at_once(self.id, UdpSocket::bind(at))?;
        let local = socket.local_addr()?;
        Ok(TurmoilDatagram { socket: Scoped::new(self.id, socket), local })
    }
}

pub(crate) struct TurmoilStream {
    stream: Scoped<TcpStream>,
    local: SocketAddr,
    peer: SocketAddr,
}

impl TurmoilStream {
    fn new(id: HostId, stream: TcpStream) -> io::Result<Self> {
        set_current(id);
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        Ok(TurmoilStream { stream: Scoped::new(id, stream), local, peer })
    }
}

impl Stream for TurmoilStream {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn set_keepalive(&self, _keepalive: Option<Keepalive>) {}

    /// turmoil-net offers no way to; closing is the nearest.
    fn reset(self) {}
}

impl AsyncRead for TurmoilStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.pin().poll_read(context, buffer)
    }
}

impl AsyncWrite for TurmoilStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.pin().poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.pin().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.pin().poll_shutdown(context)
    }
}

pub(crate) struct TurmoilListener {
    listener: Scoped<TcpListener>,
    local: SocketAddr,
}

impl Listener for TurmoilListener {
    type Stream = TurmoilStream;

    async fn accept(&self) -> io::Result<Accepted<TurmoilStream>> {
        let (stream, peer) = std::future::poll_fn(|context| self.listener.get().poll_accept(context)).await?;
        let stream = TurmoilStream::new(self.listener.id, stream)?;
        let original_dst = stream.local;
        Ok(Accepted { stream, peer, original_dst })
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

pub(crate) struct TurmoilDatagram {
    socket: Scoped<UdpSocket>,
    local: SocketAddr,
}

impl Datagram for TurmoilDatagram {
    async fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        scoped(self.socket.id, self.socket.get().send_to(data, to)).await
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        scoped(self.socket.id, self.socket.get().recv_from(buffer)).await
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}
