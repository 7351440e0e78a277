//! [`MemoryHost`]: pipes for sockets, tokio's paused clock for time, numbered seeds for dice.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::{Accepted, Datagram, Dial, Instant, Keepalive, Listener, Rng, Stream, WallTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

/// Bytes in flight in one direction.
const PIPE: usize = 64 << 10;

/// Where hosts find each other.
pub struct Network {
    started: tokio::time::Instant,
    seed: u64,
    listeners: Mutex<BTreeMap<SocketAddr, mpsc::UnboundedSender<Accepted<MemoryStream>>>>,
    /// Dials to these are never answered.
    pub black_holes: Mutex<Vec<SocketAddr>>,
    /// Nothing moves while set: writes vanish, reads wait for ever.
    pub frozen: AtomicBool,
    /// The most bytes one write takes.
    pub write_max: AtomicUsize,
    /// Every write: who wrote, and what.
    pub tape: Mutex<Vec<(SocketAddr, Vec<u8>)>>,
    /// Whether to keep the tape.
    pub taping: AtomicBool,
    pub dials: AtomicUsize,
}

impl Network {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Network {
            started: tokio::time::Instant::now(),
            seed,
            listeners: Mutex::default(),
            black_holes: Mutex::default(),
            frozen: AtomicBool::new(false),
            write_max: AtomicUsize::new(usize::MAX),
            tape: Mutex::default(),
            taping: AtomicBool::new(false),
            dials: AtomicUsize::new(0),
        })
    }

    pub fn host(self: &Arc<Self>, ip: &str) -> MemoryHost {
        MemoryHost(Arc::new(Shared {
            network: self.clone(),
            ip: ip.parse().unwrap(),
            dice: Mutex::default(),
            next_port: AtomicUsize::new(40_000),
        }))
    }
}

#[derive(Clone)]
pub struct MemoryHost(Arc<Shared>);

struct Shared {
    network: Arc<Network>,
    ip: IpAddr,
    dice: Mutex<BTreeMap<&'static str, Rng>>,
    next_port: AtomicUsize,
}

impl Host for MemoryHost {
    type Tcp = MemoryStream;
    type Listener = MemoryListener;
    type Udp = NoUdp;

    fn now(&self) -> Instant {
        Instant::START + self.0.network.started.elapsed()
    }

    fn wall_time(&self) -> WallTime {
        super::epoch() + self.0.network.started.elapsed()
    }

    fn fill_random(&self, stream: &'static str, dest: &mut [u8]) {
        let mut dice = self.0.dice.lock();
        let rng = dice.entry(stream).or_insert_with(|| {
            let name = format!("{} {} {stream}", self.0.network.seed, self.0.ip);
            let mut seed = [0; 32];
            for (at, byte) in name.bytes().enumerate() {
                seed[at % 32] ^= byte.rotate_left(at as u32 / 32);
            }
            Rng::from_seed(seed)
        });
        rng.fill(dest);
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep_until(self.0.network.started + at.since_start().min(super::HOUR * 24 * 365))
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    async fn dial(&self, dial: Dial) -> io::Result<MemoryStream> {
        let network = &self.0.network;
        network.dials.fetch_add(1, Ordering::Relaxed);
        if network.black_holes.lock().contains(&dial.to) {
            std::future::pending::<()>().await;
        }
        let port = self.0.next_port.fetch_add(1, Ordering::Relaxed) as u16;
        let local = SocketAddr::new(self.0.ip, port);
        let (near, far) = Ends::pair();
        let stream = |pipe, local, peer| MemoryStream { network: network.clone(), pipe, local, peer };
        let accepted = Accepted { stream: stream(far, dial.to, local), peer: local, original_dst: dial.to };
        let listeners = network.listeners.lock();
        let listener = listeners.get(&dial.to).ok_or(io::ErrorKind::ConnectionRefused)?;
        listener.send(accepted).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(stream(near, local, dial.to))
    }

    fn listen(&self, at: SocketAddr) -> io::Result<MemoryListener> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.network.listeners.lock().insert(at, sender);
        Ok(MemoryListener { network: self.0.network.clone(), local: at, receiver: tokio::sync::Mutex::new(receiver) })
    }

    fn bind_udp(&self, _at: SocketAddr) -> io::Result<NoUdp> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

pub struct MemoryListener {
    network: Arc<Network>,
    local: SocketAddr,
    receiver: tokio::sync::Mutex<mpsc::UnboundedReceiver<Accepted<MemoryStream>>>,
}

impl Listener for MemoryListener {
    type Stream = MemoryStream;

    async fn accept(&self) -> io::Result<Accepted<MemoryStream>> {
        self.receiver.lock().await.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.receiver.get_mut().close();
        // Another may have taken the address over.
        let mut listeners = self.network.listeners.lock();
        if listeners.get(&self.local).is_some_and(mpsc::UnboundedSender::is_closed) {
            listeners.remove(&self.local);
        }
    }
}

pub struct MemoryStream {
    network: Arc<Network>,
    pipe: Ends,
    local: SocketAddr,
    peer: SocketAddr,
}

impl Stream for MemoryStream {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn set_keepalive(&self, _keepalive: Option<Keepalive>) {}

    fn reset(self) {}
}

/// One direction. Holds no memory while it is empty.
#[derive(Default)]
struct Pipe(Mutex<Flow>);

#[derive(Default)]
struct Flow {
    bytes: VecDeque<u8>,
    /// The writer is done.
    ended: bool,
    /// The reader is gone.
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn change(&self, change: impl FnOnce(&mut Flow)) {
        let mut flow = self.0.lock();
        change(&mut flow);
        let wakers = [flow.reader.take(), flow.writer.take()];
        drop(flow);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// Both directions, seen from one end.
struct Ends {
    read: Arc<Pipe>,
    write: Arc<Pipe>,
}

impl Ends {
    fn pair() -> (Ends, Ends) {
        let (one, two) = (Arc::<Pipe>::default(), Arc::<Pipe>::default());
        (Ends { read: one.clone(), write: two.clone() }, Ends { read: two, write: one })
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.write.change(|flow| flow.ended = true);
        self.read.change(|flow| flow.broken = true);
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.network.frozen.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let mut flow = self.pipe.read.0.lock();
        if flow.bytes.is_empty() && !flow.ended {
            flow.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = flow.bytes.len().min(buffer.remaining());
        flow.bytes.drain(..length).for_each(|byte| buffer.put_slice(&[byte]));
        if flow.bytes.is_empty() {
            flow.bytes = VecDeque::new();
        }
        drop(flow);
        self.pipe.read.change(|_| {});
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.network.frozen.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(data.len()));
        }
        let mut flow = self.pipe.write.0.lock();
        if flow.broken || flow.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = PIPE - flow.bytes.len();
        if room == 0 {
            flow.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let data = &data[..data.len().min(self.network.write_max.load(Ordering::Relaxed)).min(room)];
        flow.bytes.extend(data);
        drop(flow);
        self.pipe.write.change(|_| {});
        if self.network.taping.load(Ordering::Relaxed) {
            self.network.tape.lock().push((self.local, data.to_vec()));
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.write.change(|flow| flow.ended = true);
        Poll::Ready(Ok(()))
    }
}

/// No datagrams here.
pub struct NoUdp;

impl Datagram for NoUdp {
    async fn send_to(&self, _data: &[u8], _to: SocketAddr) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn recv_from(&self, _buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from(([0; 4], 0))
    }
}
