//! [`Record`]: one live connection: what is known of it, how much it carried, and the order to end it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use super::error::Failure;
use crate::host::Instant;
use crate::net::copy::{ByteCounts, Meter, Side};
use crate::policy::{Connection, Decision};
use crate::telemetry::{ConnectionInfo, Event, Reason, Sink};

/// Bytes carried before they are told of, so that events do not outnumber chunks. The rest is told at the close.
const REPORT_EVERY: u64 = 1024 * 1024;

/// One live connection. Tells its own story to the sink: bytes as they pass, and its end.
pub(super) struct Record {
    pub(super) info: Arc<ConnectionInfo>,
    /// What policy is asked about; `None` for outbound connections, which policy does not concern.
    pub(super) judged: Option<Connection>,
    pub(super) opened: Instant,
    counts: ByteCounts,
    /// Of `counts`, what events have told.
    told_to_client: AtomicU64,
    told_to_server: AtomicU64,
    cut: Mutex<Cut>,
    sink: Arc<dyn Sink>,
}

#[derive(Default)]
struct Cut {
    failure: Option<Failure>,
    waker: Option<Waker>,
}

impl Record {
    pub(super) fn new(
        info: Arc<ConnectionInfo>,
        judged: Option<Connection>,
        opened: Instant,
        sink: Arc<dyn Sink>,
    ) -> Self {
        Record {
            info,
            judged,
            opened,
            counts: ByteCounts::default(),
            told_to_client: AtomicU64::new(0),
            told_to_server: AtomicU64::new(0),
            cut: Mutex::default(),
            sink,
        }
    }

    /// Server to client so far.
    pub(super) fn sent(&self) -> u64 {
        self.counts.to_client()
    }

    /// Client to server so far.
    pub(super) fn received(&self) -> u64 {
        self.counts.to_server()
    }

    /// Orders the connection to end. The first order stands.
    pub(super) fn cut(&self, failure: Failure) {
        let waker = {
            let mut cut = self.cut.lock();
            if cut.failure.is_some() {
                return;
            }
            cut.failure = Some(failure);
            cut.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.lock().failure.is_some()
    }

    /// Completes when the connection has to end. One waiter at a time: the task that carries it.
    pub(super) async fn ordered_to_end(&self) -> Failure {
        poll_fn(|context| {
            let mut cut = self.cut.lock();
            if let Some(failure) = &cut.failure {
                return Poll::Ready(failure.clone());
            }
            match &mut cut.waker {
                Some(waker) if waker.will_wake(context.waker()) => {}
                slot => *slot = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }

    pub(super) fn tell_opened(&self) {
        self.sink.record(Event::Opened { at: self.opened, connection: self.info.clone() });
    }

    pub(super) fn tell_judged(&self, at: Instant, decision: Decision) {
        self.sink.record(Event::Judged {
            at,
            connection: self.info.clone(),
            verdict: decision.verdict,
            dry_run: decision.dry_run,
        });
    }

    /// Called once, when the carrying task is done with it.
    pub(super) fn tell_closed(&self, at: Instant, outcome: Result<(), Failure>) {
        self.tell_bytes();
        let (reason, error) = match outcome {
            Ok(()) => (Reason::Completed, None),
            Err(failure) => (failure.reason, Some(failure.text)),
        };
        self.sink.record(Event::Closed {
            at,
            connection: self.info.clone(),
            sent: self.sent(),
            received: self.received(),
            duration: at - self.opened,
            reason,
            error,
        });
    }

    fn tell_bytes(&self) {
        let (sent, received) = (self.sent(), self.received());
        let sent_before = self.told_to_client.swap(sent, Ordering::Relaxed);
        let received_before = self.told_to_server.swap(received, Ordering::Relaxed);
        if sent == sent_before && received == received_before {
            return;
        }
        self.sink.record(Event::Bytes {
            connection: self.info.clone(),
            sent: sent - sent_before,
            received: received - received_before,
        });
    }
}

impl Meter for Record {
    fn forwarded(&self, to: Side, bytes: u64) {
        self.counts.forwarded(to, bytes);
        let untold = match to {
            Side::Client => self.sent() - self.told_to_client.load(Ordering::Relaxed),
            Side::Server => self.received() - self.told_to_server.load(Ordering::Relaxed),
        };
        if untold >= REPORT_EVERY {
            self.tell_bytes();
        }
    }
}
