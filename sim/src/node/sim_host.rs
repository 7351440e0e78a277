//! [`SimHost`]: `Host` on the simulated network.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use proxy_core::host::{Dial, Host, Instant, WallTime};

use super::arena::Key;
use super::connections::Caller;
use super::datagram::SimDatagram;
use super::engine::Engine;
use super::listener::SimListener;
use super::stream::SimStream;
use crate::event::{Event, TimerId};
use crate::exec::ProcessId;
use crate::wire::NamespaceId;

/// One process in one network namespace of a simulation. Clones are the same process.
///
/// Tasks it spawns belong to the process and see the same host by holding a clone of it; they die with the process.
/// Sockets it creates belong to the process, live in the namespace and carry the mark.
#[derive(Clone)]
pub struct SimHost {
    engine: Arc<Engine>,
    caller: Caller,
}

/// How the sockets of a killed process end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KillMode {
    /// As the kernel does for a killed process: every socket is closed, FIN or (with data unread) RST.
    #[default]
    Close,
    /// Every connection is reset.
    Reset,
    /// Nothing is sent. Whoever sends to one of its connections later is reset, for the kernel no longer knows it. (A
    /// machine that loses power answers nothing at all: remove its namespaces.)
    Silent,
}

impl SimHost {
    pub(super) fn new(engine: Arc<Engine>, process: ProcessId, namespace: NamespaceId) -> Self {
        SimHost { engine, caller: Caller { process, namespace, mark: 0 } }
    }

    /// The same process in another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: NamespaceId) -> SimHost {
        SimHost { engine: Arc::clone(&self.engine), caller: Caller { namespace, ..self.caller } }
    }

    /// The same process in the same namespace; sockets it creates from now on carry `mark`.
    #[must_use]
    pub fn marked(&self, mark: u32) -> SimHost {
        SimHost { engine: Arc::clone(&self.engine), caller: Caller { mark, ..self.caller } }
    }

    /// The process.
    pub fn process_id(&self) -> ProcessId {
        self.caller.process
    }

    /// The namespace.
    pub fn namespace_id(&self) -> NamespaceId {
        self.caller.namespace
    }

    /// The mark sockets get.
    pub fn mark(&self) -> u32 {
        self.caller.mark
    }

    /// Whether the process was not killed.
    pub fn is_alive(&self) -> bool {
        self.engine.executor.is_alive(self.caller.process)
    }

    /// Ends the process: its tasks are dropped in the order they were spawned, its sockets end as `mode` says, whatever
    /// it tries later fails. A task that kills its own process ends when it next waits.
    pub fn kill(&self, mode: KillMode) {
        let process = self.caller.process;
        self.engine.with(|world| world.end_process(process, mode));
        let reaped = self.engine.executor.kill(process);
        self.engine.executor.bury(reaped, self.engine.now());
    }

    /// As [`Host::spawn`], for work a run must not end without: a run that falls idle while it waits reports a deadlock.
    pub fn spawn_must_finish(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.engine.executor.spawn(self.caller.process, name, true, self.engine.now(), task);
    }
}

impl fmt::Debug for SimHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimHost({:?})", self.caller)
    }
}

impl Host for SimHost {
    type Tcp = SimStream;
    type Listener = SimListener;
    type Udp = SimDatagram;

    fn now(&self) -> Instant {
        self.engine.now()
    }

    fn wall_time(&self) -> WallTime {
        self.engine.with(|world| world.wall_time(self.caller.namespace))
    }

    fn fill_random(&self, stream: &'static str, dest: &mut [u8]) {
        self.engine.with(|world| world.fill_random(self.caller.process, stream, dest));
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static {
        Sleep { engine: Arc::clone(&self.engine), at, timer: None }
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.engine.executor.spawn(self.caller.process, name, false, self.engine.now(), task);
    }

    async fn dial(&self, dial: Dial) -> io::Result<SimStream> {
        let stream = self.engine.with(|world| {
            let key = world.dial(self.caller, dial)?;
            Ok::<_, io::Error>(self.stream(key, world.shown(key)))
        })?;
        poll_fn(|context| stream.poll_connected(context.waker())).await?;
        Ok(stream)
    }

    fn listen(&self, at: SocketAddr) -> io::Result<SimListener> {
        let (key, at) = self.engine.with(|world| world.listen(self.caller, at))?;
        Ok(SimListener::new(Arc::clone(&self.engine), key, at))
    }

    fn bind_udp(&self, at: SocketAddr) -> io::Result<SimDatagram> {
        let (key, at) = self.engine.with(|world| world.bind_udp(self.caller, at))?;
        Ok(SimDatagram::new(Arc::clone(&self.engine), key, at))
    }
}

impl SimHost {
    fn stream(&self, key: Key, (local, peer): (SocketAddr, SocketAddr)) -> SimStream {
        SimStream::new(Arc::clone(&self.engine), key, local, peer)
    }
}

/// Completes at its time. Arms a timer when first polled, disarms it when dropped.
struct Sleep {
    engine: Arc<Engine>,
    at: Instant,
    timer: Option<TimerId>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.engine.now() >= self.at {
            return Poll::Ready(());
        }
        let (at, timer) = (self.at, self.timer);
        let armed = self.engine.with(|world| {
            if let Some(timer) = timer
                && let Some(place) = world.timers.armed(timer)
            {
                world.executor.park_in(place, context.waker(), &mut world.discarded);
                return timer;
            }
            let timer = world.timers.arm(world.executor.park(context.waker()));
            world.queue.push(at, Event::Timer(timer));
            timer
        });
        self.timer = Some(armed);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // One that fired needs no disarming, which saves the common case a lock.
        if let Some(timer) = self.timer
            && self.engine.now() <= self.at
        {
            self.engine.with(|world| {
                let parked = world.timers.cancel(timer);
                world.discarded.extend(parked);
            });
        }
    }
}
