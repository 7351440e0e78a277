//! Keepalive: asking a silent peer whether it is still there (RFC 9293 §3.8.4).

use proxy_core::host::{Instant, Keepalive};

use super::tcb::{State, Tcb};
use super::{CloseReason, Output};
use crate::wire::{Flags, Payload};

/// Settings and progress. Boxed: connections without keepalive do not pay for it.
#[derive(Debug)]
pub(super) struct KeepaliveState {
    settings: Keepalive,
    /// Probes without an answer, and when the last one left.
    sent: u32,
    sent_at: Instant,
}

impl KeepaliveState {
    #[inline]
    pub(super) fn answered(&mut self) {
        self.sent = 0;
    }
}

impl Tcb {
    /// Turns probes on (starting the count anew) or off.
    pub fn set_keepalive(&mut self, keepalive: Option<Keepalive>) {
        self.keepalive = match keepalive {
            Some(settings) if self.state != State::Closed => {
                Some(Box::new(KeepaliveState { settings, sent: 0, sent_at: Instant::START }))
            }
            _ => None,
        };
    }

    /// When the next probe (or the verdict) is due. Unacknowledged bytes are probes enough, so then there is none.
    #[inline]
    pub(super) fn keepalive_at(&self) -> Instant {
        match &self.keepalive {
            Some(keepalive) if self.is_connected() && self.send_next == self.send_unacknowledged => {
                if keepalive.sent == 0 {
                    self.last_received + keepalive.settings.idle
                } else {
                    keepalive.sent_at + keepalive.settings.interval
                }
            }
            _ => Instant::FAR_FUTURE,
        }
    }

    /// A keepalive deadline passed.
    pub(super) fn on_keepalive(&mut self, now: Instant, out: &mut Output) {
        let Some(keepalive) = &mut self.keepalive else { return };
        if keepalive.sent >= keepalive.settings.probes {
            self.emit(self.send_next, Flags::RST.with(Flags::ACK), Payload::EMPTY, out);
            self.close_with(CloseReason::TimedOut, out);
            return;
        }
        keepalive.sent += 1;
        keepalive.sent_at = now;
        self.send_probe(out);
    }
}
