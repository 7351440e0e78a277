//! Properties that every [`Host`] must have, as code that runs on any.
//!
//! Each property takes a [`Pair`] and says in words what does not hold. Run all of [`Property::ALL`] on each
//! implementation: what a proxy meets in simulation is then what it meets on real sockets.

mod datagram;
mod stream;
mod time;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Accepted, Dial, Host, Listener, timer};

/// Two hosts (or one twice) and an address of the server's that the client can reach.
#[derive(Clone, Debug)]
pub struct Pair<H> {
    /// Listens.
    pub server: H,
    /// Dials.
    pub client: H,
    /// Where the server listens; ports are chosen by the network.
    pub address: IpAddr,
}

macro_rules! properties {
    ($($(#[$doc:meta])* $variant:ident = $module:ident::$function:ident;)*) => {
        /// What must hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Property { $($(#[$doc])* $variant,)* }

        impl Property {
            /// All of them.
            pub const ALL: &'static [Property] = &[$(Property::$variant,)*];

            /// Checks it.
            ///
            /// # Errors
            /// What did not hold, in words.
            pub async fn check<H: Host>(self, pair: &Pair<H>) -> Result<(), String> {
                let outcome = match self { $(Property::$variant => bounded(pair, $module::$function(pair)).await,)* };
                outcome.map_err(|failure| format!("{self:?}: {failure}"))
            }
        }
    };
}

properties! {
    /// What is sent comes back.
    Echo = stream::echo;
    /// Both ends agree on the addresses, and nothing was redirected.
    AddressesAgree = stream::addresses_agree;
    /// Several connections at once keep to themselves.
    ConnectionsAreIndependent = stream::connections_are_independent;
    /// Slices written together arrive together and in order.
    VectoredWrite = stream::vectored_write;
    /// A writer whose peer does not read is held up, and loses nothing when the peer reads again.
    Backpressure = stream::backpressure;
    /// Megabytes pass unchanged in both directions at once.
    LargeTransfer = stream::large_transfer;
    /// The client ends first; the server goes on sending.
    HalfCloseByClient = stream::half_close_by_client;
    /// The server ends first; the client goes on sending.
    HalfCloseByServer = stream::half_close_by_server;
    /// Data written just before closing arrives before the end.
    DropDeliversThenEnds = stream::drop_delivers_then_ends;
    /// A reset is an error at the other end, not an end.
    ResetIsSeen = stream::reset_is_seen;
    /// Closing with data unread resets.
    DropWithUnreadResets = stream::drop_with_unread_resets;
    /// Nobody listens: refused.
    DialRefused = stream::dial_refused;
    /// A listener that is gone refuses; connections it accepted live on.
    ListenerDropRefuses = stream::listener_drop_refuses;
    /// Ports chosen by the network differ.
    PortsAreDistinct = stream::ports_are_distinct;
    /// A read of a silent peer can be given up by time, and the stream still works.
    SilentPeerTimesOut = stream::silent_peer_times_out;
    /// Datagrams come back, keep their boundaries, and name their sender.
    UdpEcho = datagram::echo;
    /// What does not fit is lost, and only that.
    UdpTruncates = datagram::truncates;
    /// Timers fire in the order of their deadlines and never early.
    TimersAreOrdered = time::timers_are_ordered;
    /// A deadline in the past is now.
    PastDeadlineIsNow = time::past_deadline_is_now;
    /// Work ready at once beats a deadline of zero.
    ReadyWorkBeatsDeadline = time::ready_work_beats_deadline;
    /// A spawned task runs on its own and may spawn.
    SpawnedTasksRun = time::spawned_tasks_run;
    /// Draws differ from each other.
    DrawsDiffer = time::draws_differ;
}

/// No property takes this long, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn bounded<H: Host>(pair: &Pair<H>, check: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    timer::timeout(&pair.client, PATIENCE, check).await.unwrap_or_else(|_| Err("did not end in a minute".to_owned()))
}

impl<H: Host> Pair<H> {
    fn listen(&self) -> Result<H::Listener, String> {
        or(self.server.listen(SocketAddr::new(self.address, 0)), "listen")
    }

    /// A connection: the client's end and what the server accepted.
    async fn connect(&self) -> Result<(H::Tcp, Accepted<H::Tcp>), String> {
        let listener = self.listen()?;
        self.connect_to(&listener).await
    }

    async fn connect_to(&self, listener: &H::Listener) -> Result<(H::Tcp, Accepted<H::Tcp>), String> {
        let client = self.client.clone();
        let to = listener.local_addr();
        let dialled = run(&self.client, async move { client.dial(Dial::to(to)).await });
        let accepted = or(listener.accept().await, "accept")?;
        Ok((or(finished(dialled).await?, "dial")?, accepted))
    }
}

/// Runs `work` as a task of `host`; the receiver gets its outcome.
fn run<H: Host, T: Send + 'static>(host: &H, work: impl Future<Output = T> + Send + 'static) -> oneshot::Receiver<T> {
    let (done, outcome) = oneshot::channel();
    host.spawn("host suite", async move {
        // Nobody waits any more when the property failed elsewhere.
        let _ = done.send(work.await);
    });
    outcome
}

async fn finished<T>(outcome: oneshot::Receiver<T>) -> Result<T, String> {
    outcome.await.map_err(|_| "a task disappeared".to_owned())
}

fn or<T>(outcome: io::Result<T>, what: &str) -> Result<T, String> {
    outcome.map_err(|error| format!("{what}: {error} ({:?})", error.kind()))
}

fn hold(holds: bool, otherwise: impl fmt::Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_string()) }
}

/// Bytes that show any loss, repetition or exchange: a function of the position alone.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}
