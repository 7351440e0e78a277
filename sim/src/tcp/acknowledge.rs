//! What an arriving acknowledgement means: bytes delivered, window, loss, and how far a close has come.

use proxy_core::host::Instant;

use super::congestion::Phase;
use super::tcb::{State, Tcb};
use super::{Changes, CloseReason, Output};
use crate::wire::{Flags, Segment};

impl Tcb {
    /// Takes in acknowledgement, window and blocks of an acceptable segment; returns whether the rest of the segment may
    /// be looked at.
    #[inline]
    pub(super) fn on_acknowledgement(&mut self, now: Instant, segment: &Segment, out: &mut Output) -> bool {
        let ack = segment.ack;
        let first = self.send_unacknowledged;
        // RFC 5961 §5: neither what we never sent nor what is older than any window.
        if ack.after(self.send_next) || ack.before(first.minus(self.send_window_max.max(u32::from(self.mss)))) {
            self.challenge(now, false, out);
            return false;
        }
        let flight = self.send_next.since(first);
        let progress = ack.saturating_since(first);
        let window_before = self.send_window;
        let (update_seq, update_ack) = self.window_update;
        if update_seq.before(segment.seq) || (update_seq == segment.seq && !ack.before(update_ack)) {
            self.send_window = u32::from(segment.window) << self.send_scale;
            self.send_window_max = self.send_window_max.max(self.send_window);
            self.window_update = (segment.seq, ack);
        }
        if self.persisting {
            // Whoever answers is alive, even with its window shut.
            self.retries = 0;
            if self.send_window > flight {
                self.persisting = false;
                self.round_trip.backoff = 0;
                self.retransmit_at = Instant::FAR_FUTURE;
            }
        }
        if let Some(sack) = &segment.options.sack
            && self.sack
        {
            let data_end = first.plus(self.send_buffer.sent());
            for &(start, end) in sack.blocks() {
                let start = start.max(ack).max(first);
                if start.before(end) && !end.after(data_end) {
                    self.scoreboard.insert(start, end);
                }
            }
        }
        let mss = u32::from(self.mss);
        if progress > 0 {
            self.on_progress(now, segment, flight, progress, out);
        } else if ack == first
            && !self.sack
            && flight > 0
            && segment.payload.is_empty()
            && !segment.flags.contains(Flags::FIN)
            && self.send_window == window_before
        {
            self.congestion.duplicates = self.congestion.duplicates.saturating_add(1);
        }
        if self.state == State::Closed {
            return false;
        }
        let first = self.send_unacknowledged;
        if self.congestion.phase != Phase::Open {
            self.congestion.recover(first, progress, &self.scoreboard, mss);
        } else if first != self.send_next && self.congestion.sees_loss(first, &self.scoreboard, mss) {
            self.congestion.enter_recovery(first, self.send_next, mss);
            self.congestion.recover(first, 0, &self.scoreboard, mss);
            self.transmit(now, true, out);
        }
        true
    }

    /// `progress` numbers were acknowledged for the first time.
    #[inline]
    fn on_progress(&mut self, now: Instant, segment: &Segment, flight: u32, progress: u32, out: &mut Output) {
        let ack = segment.ack;
        let fin_acknowledged = self.fin_sent && ack == self.send_next;
        self.send_buffer.acknowledge(progress - u32::from(fin_acknowledged));
        self.send_unacknowledged = ack;
        let reported_before = self.scoreboard.total();
        self.scoreboard.advance(ack);
        // Bytes reported earlier have left the network long ago: a hole that closes must not open the window by all
        // that lay behind it.
        let delivered = progress.saturating_sub(reported_before - self.scoreboard.total());
        self.round_trip.acknowledged(now, ack, &self.config);
        self.round_trip.backoff = 0;
        self.retries = 0;
        if self.congestion.phase == Phase::Open {
            self.congestion.duplicates = 0;
        }
        self.congestion.acknowledged(delivered, flight, u32::from(self.mss));
        self.retransmit_at =
            if ack == self.send_next { Instant::FAR_FUTURE } else { now + self.round_trip.timeout(&self.config) };
        // A third of the buffer, so that writers wake for something worth it (Linux: `sk_stream_is_writeable`).
        if self.write_blocked && self.send_room() >= self.config.send_buffer / 3 {
            self.write_blocked = false;
            out.changes.insert(Changes::WRITABLE);
        }
        if fin_acknowledged {
            match self.state {
                State::FinWait1 => {
                    self.state = State::FinWait2;
                    if self.orphaned {
                        self.retransmit_at = now + self.config.fin_wait;
                    }
                }
                State::Closing => self.enter_time_wait(now),
                State::LastAck => self.close_with(CloseReason::Finished, out),
                _ => {}
            }
        }
    }
}
