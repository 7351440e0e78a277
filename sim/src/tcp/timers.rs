//! The one deadline of a connection and what happens when it passes.

use proxy_core::host::Instant;

use super::tcb::{State, Tcb};
use super::{CloseReason, Output};

impl Tcb {
    /// When [`Tcb::on_timer`] has something to do; `None` when nothing is pending. Changes with any other call.
    #[inline]
    pub fn next_deadline(&self) -> Option<Instant> {
        let at = self.retransmit_at.min(self.acknowledge_at).min(self.keepalive_at());
        (at != Instant::FAR_FUTURE).then_some(at)
    }

    /// Does what is due at `now`; nothing if called early.
    pub fn on_timer(&mut self, now: Instant, out: &mut Output) {
        if self.state != State::Closed && self.retransmit_at <= now {
            self.on_retransmission_timer(now, out);
        }
        if self.state != State::Closed && self.acknowledge_at <= now {
            self.send_acknowledgement(out);
        }
        if self.state != State::Closed && self.keepalive_at() <= now {
            self.on_keepalive(now, out);
        }
    }

    fn on_retransmission_timer(&mut self, now: Instant, out: &mut Output) {
        let limit = match self.state {
            State::TimeWait | State::FinWait2 => {
                self.close_with(CloseReason::Finished, out);
                return;
            }
            State::SynSent => self.config.syn_retries,
            State::SynReceived => self.config.syn_ack_retries,
            _ => self.config.data_retries,
        };
        if self.retries >= limit {
            self.close_with(CloseReason::TimedOut, out);
            return;
        }
        let again = self.retries > 0;
        self.retries += 1;
        self.round_trip.backoff = self.round_trip.backoff.saturating_add(1);
        match self.state {
            State::SynSent | State::SynReceived => {
                self.resent_packets += 1;
                self.round_trip.cancel_sample();
                self.send_syn(now, out);
            }
            _ if self.persisting => {
                self.probe_window(now, out);
                self.retransmit_at = now + self.round_trip.timeout(&self.config);
            }
            _ => {
                let (first, next) = (self.send_unacknowledged, self.send_next);
                self.retransmit_at = now + self.round_trip.timeout(&self.config);
                self.congestion.enter_loss(first, next, u32::from(self.mss), again);
                self.transmit(now, true, out);
            }
        }
    }
}
