use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::host::{Datagram, Dial, Instant, Keepalive, Stream, WallTime};
use crate::identity::{AuthorityError, SignedChain, SigningRequest};
use crate::state::{Push, SharedUpdate, Update};
use crate::telemetry::NullSink;
use crate::ztunnel::instance::{Shared, WorkloadInfo};
use crate::ztunnel::{HBONE_PORT, ZtunnelConfig};

/// A machine that has run out of descriptors: sleeping passes time at once, accepting fails so many times.
#[derive(Clone)]
struct Exhausted {
    now: Arc<Mutex<Instant>>,
    failures: Arc<AtomicUsize>,
    tasks: Arc<Mutex<Vec<Task>>>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Nothing;

impl Host for Exhausted {
    type Tcp = Nothing;
    type Listener = Failing;
    type Udp = Nothing;

    fn now(&self) -> Instant {
        *self.now.lock()
    }

    fn wall_time(&self) -> WallTime {
        WallTime::from_unix_secs(0)
    }

    fn fill_random(&self, _stream: &'static str, dest: &mut [u8]) {
        dest.fill(7);
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static {
        let clock = self.now.clone();
        async move { *clock.lock() = at }
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        if name == "hbone listener" {
            self.tasks.lock().push(Box::pin(task));
        }
    }

    async fn dial(&self, _dial: Dial) -> io::Result<Nothing> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn listen(&self, at: SocketAddr) -> io::Result<Failing> {
        let failures = if at.port() == HBONE_PORT { self.failures.clone() } else { Arc::default() };
        Ok(Failing { at, failures })
    }

    fn bind_udp(&self, _at: SocketAddr) -> io::Result<Nothing> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

struct Failing {
    at: SocketAddr,
    failures: Arc<AtomicUsize>,
}

impl Listener for Failing {
    type Stream = Nothing;

    async fn accept(&self) -> io::Result<Accepted<Nothing>> {
        if self.failures.load(Ordering::Relaxed) == 0 {
            return std::future::pending().await;
        }
        self.failures.fetch_sub(1, Ordering::Relaxed);
        Err(io::Error::other("too many open files"))
    }

    fn local_addr(&self) -> SocketAddr {
        self.at
    }
}

impl Stream for Nothing {
    fn local_addr(&self) -> SocketAddr {
        ([0, 0, 0, 0], 0).into()
    }
    fn peer_addr(&self) -> SocketAddr {
        ([0, 0, 0, 0], 0).into()
    }
    fn set_keepalive(&self, _keepalive: Option<Keepalive>) {}
    fn reset(self) {}
}

impl AsyncRead for Nothing {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Nothing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Datagram for Nothing {
    async fn send_to(&self, _data: &[u8], _to: SocketAddr) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
    async fn recv_from(&self, _buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn local_addr(&self) -> SocketAddr {
        ([0, 0, 0, 0], 0).into()
    }
}

struct NoAuthority;

impl CertificateAuthority for NoAuthority {
    async fn sign(&self, _request: SigningRequest) -> Result<SignedChain, AuthorityError> {
        Err(AuthorityError::Unavailable("none".to_owned()))
    }
}

#[test]
fn a_failing_accept_is_retried_after_a_growing_wait() {
    let host = Exhausted { now: Arc::default(), failures: Arc::new(AtomicUsize::new(12)), tasks: Arc::default() };
    let shared = Shared::new(host.clone(), ZtunnelConfig::default(), NoAuthority, Arc::new(NullSink));
    shared.state.apply_push(&Push { nonce: 1, update: SharedUpdate::new(Update::default()), initial: true });
    let info = WorkloadInfo {
        uid: "pod".into(),
        name: "pod".into(),
        namespace: "default".into(),
        service_account: "pod".into(),
    };
    let _instance = Instance::start(Arc::new(shared), info, host.clone()).unwrap();
    let mut listener = host.tasks.lock().pop().unwrap();
    assert!(listener.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(host.failures.load(Ordering::Relaxed), 0);
    // 5, 10, 20 … 640 ms, then a second each time.
    assert_eq!(host.now().since_start(), Duration::from_millis(5 * 255 + 4 * 1000));
}
