//! Raw streams as others see them: what is asked, what came of it so far, orders for those held open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::host::Instant;
use tokio::sync::{Notify, mpsc};

use super::client::Target;
use crate::record::{FlowId, Outcome};

/// What to open and how to use it.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// Where to.
    pub target: Target,
    /// Payload bytes to send after the first line.
    pub send: u64,
    /// The server speaks first: nothing is sent before a line of it was read, and that line counts nowhere.
    pub server_first: bool,
    /// Finish our direction once all is sent.
    pub half_close: bool,
    /// How to read what comes back.
    pub read: Reading,
    /// Keep it open once the exchange is done.
    pub hold: bool,
    /// For the exchange; when held, for the first line to come back.
    pub timeout: Duration,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As fast as it comes.
    All,
    /// The first line, then nothing more.
    Nothing,
    /// So many bytes a second.
    Rate(u64),
}

/// What became of a stream so far.
#[derive(Clone, Debug)]
pub struct StreamReport {
    /// Its flow.
    pub flow: FlowId,
    /// When it was begun.
    pub started: Instant,
    /// The client's end, once connected.
    pub local: Option<SocketAddr>,
    /// The address dialled.
    pub dialled: Option<SocketAddr>,
    /// When the first line came back: the application at the other end has it.
    pub established: Option<Instant>,
    /// When it was over, and how.
    pub closed: Option<(Instant, Outcome)>,
    /// Bytes our socket took, the first line included.
    pub sent: u64,
    /// Bytes that came back, the first line included.
    pub received: u64,
    /// Whether all that was to be sent has come back, and right.
    pub whole: bool,
    /// When that was last so.
    pub caught_up: Option<Instant>,
    /// Whether it was told to end while it was open.
    pub told_to_end: bool,
    /// What the socket said, when it did not end well.
    pub error: Option<String>,
}

/// A stream as others see it while it lives. Cheap to clone.
#[derive(Clone)]
pub struct StreamHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) orders: mpsc::UnboundedSender<Order>,
}

/// What a held stream is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Send so many more bytes.
    Send(u64),
    /// Finish our direction, read to the end.
    Finish,
    /// Reset it.
    Reset,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    // Told whenever more came back.
    pub(super) progress: Notify,
}

pub(super) struct State {
    pub(super) report: StreamReport,
    // All bytes to be sent, as far as known, the first line included.
    pub(super) due: u64,
    pub(super) first_wrong: Option<u64>,
    /// Nothing more comes from the other side.
    pub(super) read_over: bool,
}

impl State {
    pub(super) fn is_whole(&self) -> bool {
        self.report.sent == self.due && self.report.received == self.due && self.first_wrong.is_none()
    }
}

impl StreamHandle {
    /// What became of it so far.
    pub fn report(&self) -> StreamReport {
        let state = self.shared.state.lock();
        StreamReport { whole: state.is_whole(), ..state.report.clone() }
    }

    /// Tells a held stream to do something; one that is over ignores it.
    pub fn order(&self, order: Order) {
        let mut state = self.shared.state.lock();
        if state.report.closed.is_none() {
            match order {
                Order::Send(bytes) => state.due += bytes,
                Order::Finish | Order::Reset => state.report.told_to_end = true,
            }
        }
        drop(state);
        let _ = self.orders.send(order);
    }
}
