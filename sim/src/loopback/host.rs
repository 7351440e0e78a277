//! [`LoopbackHost`]: `Host` on the loopback range of this machine.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proxy_core::host::{Dial, Host, Instant, Listener, TokioListener, TokioStream, WallTime};

use super::Shared;
use super::datagram::LoopbackDatagram;
use super::listener::LoopbackListener;
use super::network::{Caller, Departure, Door};
use super::process::ProcessState;
use super::stream::LoopbackStream;
use super::told::Ends;
use crate::ground::Process;
use crate::node::KillMode;
use crate::wire::NamespaceId;

/// How often another port of one's own is tried towards the same destination.
const TRIES: usize = 64;

/// One process in one network namespace of a mesh on real sockets. Clones are the same process.
#[derive(Clone)]
pub struct LoopbackHost {
    shared: Arc<Shared>,
    process: Arc<ProcessState>,
    caller: Caller,
}

impl LoopbackHost {
    pub(super) fn new(shared: Arc<Shared>, namespace: NamespaceId, name: String) -> Self {
        LoopbackHost { shared, process: ProcessState::new(name), caller: Caller { namespace, mark: 0 } }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn process(&self) -> &Arc<ProcessState> {
        &self.process
    }

    pub(super) fn caller(&self) -> Caller {
        self.caller
    }

    /// # Errors
    /// The process was killed.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.is_alive() { Ok(()) } else { Err(io::Error::other("this process was killed")) }
    }

    /// The doors a listener at this address opens.
    pub(super) fn doors(&self, ip: IpAddr, udp: bool, port: u16) -> Vec<Door> {
        let door = |v6| Door { namespace: self.caller.namespace, udp, v6, port };
        match ip {
            IpAddr::V4(_) => vec![door(false)],
            IpAddr::V6(ip) if ip.is_unspecified() => vec![door(false), door(true)],
            IpAddr::V6(_) => vec![door(true)],
        }
    }

    async fn connect(&self, departure: &Departure) -> io::Result<(TokioStream, u16)> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for _ in 0..TRIES {
            let socket = self.shared.tokio.bind(departure.from.into())?;
            let own = socket.local_addr();
            let ends = (own, departure.to);
            let mut meant = departure.meant;
            meant.source.set_port(own.port());
            let Some(number) = self.shared.told.lock().tell(ends, meant) else { continue };
            let mut told = Teller { shared: &self.shared, ends, number: Some(number) };
            match socket.connect(departure.to).await {
                Ok(stream) => {
                    // Whoever accepts will hear.
                    told.number = None;
                    return Ok((stream, own.port()));
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse) => {
                    last = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// A socket at the same port if the system gives it, else at another.
    fn listen_near(&self, place: SocketAddr) -> io::Result<TokioListener> {
        match self.shared.tokio.listen(place) {
            Err(error) if place.port() < 1024 && error.kind() == io::ErrorKind::PermissionDenied => {
                self.shared.tokio.listen(SocketAddr::new(place.ip(), 0))
            }
            result => result.map_err(|error| named(place, &error)),
        }
    }
}

/// The same error, saying where.
pub(super) fn named(place: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{place} on this machine: {error}"))
}

/// Takes back what was told if nobody will hear it.
struct Teller<'a> {
    shared: &'a Shared,
    ends: Ends,
    number: Option<u64>,
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shared.told.lock().forget(self.ends, number);
        }
    }
}

impl fmt::Debug for LoopbackHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoopbackHost({:?})", self.caller)
    }
}

impl Process for LoopbackHost {
    fn in_namespace(&self, namespace: NamespaceId) -> Self {
        LoopbackHost { caller: Caller { namespace, ..self.caller }, ..self.clone() }
    }

    fn marked(&self, mark: u32) -> Self {
        LoopbackHost { caller: Caller { mark, ..self.caller }, ..self.clone() }
    }

    fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    fn kill(&self, mode: KillMode) {
        self.process.kill(mode);
    }
}

impl Host for LoopbackHost {
    type Tcp = LoopbackStream;
    type Listener = LoopbackListener;
    type Udp = LoopbackDatagram;

    fn now(&self) -> Instant {
        self.shared.tokio.now()
    }

    fn wall_time(&self) -> WallTime {
        let clock = self.shared.network.lock().clock_in(self.caller.namespace);
        clock.at(self.shared.epoch, self.now())
    }

    fn fill_random(&self, stream: &'static str, dest: &mut [u8]) {
        self.shared.tokio.fill_random(stream, dest);
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static {
        self.shared.tokio.sleep_until(at)
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.process.spawn(&self.shared, name, task);
    }

    async fn dial(&self, dial: Dial) -> io::Result<LoopbackStream> {
        self.check()?;
        let departure = {
            let mut rng = self.shared.tokio.rng("translation");
            self.shared.network.lock().depart(self.caller, dial, &mut rng)?
        };
        let (stream, port) = self.connect(&departure).await?;
        self.check()?;
        self.shared.dialled.fetch_add(1, Ordering::Relaxed);
        let local = SocketAddr::new(departure.meant.source.ip(), port);
        Ok(LoopbackStream::new(stream, local, departure.peer, self.process.clone()))
    }

    fn listen(&self, at: SocketAddr) -> io::Result<LoopbackListener> {
        self.check()?;
        let ip = at.ip().to_canonical();
        let place = {
            let network = self.shared.network.lock();
            network.check_own(self.caller.namespace, ip)?;
            network.place(self.caller.namespace)?
        };
        let taken = !self.caller.is_proxy() && at.port() != 0;
        let wanted = self.doors(ip, false, at.port());
        if taken {
            let mut network = self.shared.network.lock();
            if let Some(first) = wanted.iter().position(|door| !network.take(*door)) {
                wanted.iter().take(first).for_each(|door| network.give_back(*door));
                let text = format!("{at} is in use in this network namespace");
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
        }
        let listener = self.listen_near(SocketAddr::from((place, at.port()))).inspect_err(|_| {
            if taken {
                let mut network = self.shared.network.lock();
                wanted.iter().for_each(|door| network.give_back(*door));
            }
        })?;
        let real = listener.local_addr().port();
        let port = if at.port() == 0 { real } else { at.port() };
        if real != port {
            let mut network = self.shared.network.lock();
            wanted.iter().for_each(|door| network.move_port(*door, real));
        }
        Ok(LoopbackListener::new(listener, SocketAddr::new(ip, port), self.clone(), wanted, taken))
    }

    fn bind_udp(&self, at: SocketAddr) -> io::Result<LoopbackDatagram> {
        self.check()?;
        LoopbackDatagram::bind(self, SocketAddr::new(at.ip().to_canonical(), at.port()))
    }
}
