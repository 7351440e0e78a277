//! [`Congestion`]: how much may be in flight (RFC 5681), and what counts as lost (RFC 6582, RFC 6675).

use super::scoreboard::Scoreboard;
use crate::wire::Seq;

/// What the connection is recovering from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Nothing.
    Open,
    /// A loss seen from later bytes arriving; ends when everything sent before it was seen is acknowledged.
    Recovery,
    /// A timeout; ends likewise, and the window grows in slow start meanwhile.
    Loss,
}

/// Congestion window and loss bookkeeping of one direction. Bytes throughout; the window counts bytes acknowledged, not
/// acknowledgements (RFC 3465), so one acknowledgement of a large segment grows it as many small ones would.
#[derive(Debug)]
pub(super) struct Congestion {
    pub(super) window: u32,
    pub(super) threshold: u32,
    /// Bytes acknowledged towards the next packet of growth.
    credit: u32,
    pub(super) phase: Phase,
    /// Acknowledgements in a row that repeated the last one; evidence only without selective acknowledgements.
    pub(super) duplicates: u16,
    /// While recovering: the phase ends once this is acknowledged.
    recovery_point: Seq,
    /// While recovering: holes before this are lost.
    lost_below: Seq,
    /// While recovering: holes before this were resent.
    pub(super) resend_next: Seq,
}

/// Duplicate acknowledgements that mean a loss.
const DUPLICATES_FOR_LOSS: u16 = 3;

impl Congestion {
    pub(super) fn new(initial_window: u32) -> Self {
        Congestion {
            window: initial_window,
            threshold: u32::MAX,
            credit: 0,
            phase: Phase::Open,
            duplicates: 0,
            recovery_point: Seq(0),
            lost_below: Seq(0),
            resend_next: Seq(0),
        }
    }

    /// `bytes` were newly acknowledged when `flight` were out. Grows the window only if it was what held sending back.
    #[inline]
    pub(super) fn acknowledged(&mut self, bytes: u32, flight: u32, mss: u32) {
        if self.phase == Phase::Recovery {
            return;
        }
        if self.window < self.threshold {
            if flight.saturating_mul(2) >= self.window {
                self.window = self.window.saturating_add(bytes).min(self.threshold);
            }
        } else if flight.saturating_add(mss) >= self.window {
            self.credit = self.credit.saturating_add(bytes);
            if self.credit >= self.window {
                self.credit -= self.window;
                self.window = self.window.saturating_add(mss);
            }
        }
    }

    /// Whether the evidence says that the first unacknowledged byte is lost.
    pub(super) fn sees_loss(&self, unacknowledged: Seq, scoreboard: &Scoreboard, mss: u32) -> bool {
        self.duplicates >= DUPLICATES_FOR_LOSS
            || scoreboard.lost_below(mss).is_some_and(|edge| edge.after(unacknowledged))
    }

    /// Fast retransmit: halves the window (RFC 5681 §3.2) and marks the first packet lost.
    pub(super) fn enter_recovery(&mut self, unacknowledged: Seq, next: Seq, mss: u32) {
        self.halve(next.since(unacknowledged), mss);
        self.window = self.threshold;
        self.credit = 0;
        self.phase = Phase::Recovery;
        self.recovery_point = next;
        self.lost_below = unacknowledged.plus(mss).min(next);
        self.resend_next = unacknowledged;
    }

    /// The new threshold is half of what was in flight, or half the window if that is less: while bytes selectively
    /// acknowledged wait for one before them, far more than a window is unacknowledged (Linux halves the window).
    fn halve(&mut self, flight: u32, mss: u32) {
        self.threshold = (flight.min(self.window) / 2).max(2 * mss);
    }

    /// A timeout: one packet, and everything not known to have arrived is lost. `again` if the one before brought nothing.
    pub(super) fn enter_loss(&mut self, unacknowledged: Seq, next: Seq, mss: u32, again: bool) {
        if !again {
            self.halve(next.since(unacknowledged), mss);
        }
        self.window = mss;
        self.credit = 0;
        self.duplicates = 0;
        self.phase = Phase::Loss;
        self.recovery_point = next;
        self.lost_below = next;
        self.resend_next = unacknowledged;
    }

    /// While recovering: takes in the new first unacknowledged byte and what the peer reports; ends the phase when due.
    pub(super) fn recover(&mut self, unacknowledged: Seq, progress: u32, scoreboard: &Scoreboard, mss: u32) {
        if !unacknowledged.before(self.recovery_point) {
            if self.phase == Phase::Recovery {
                self.window = self.threshold;
            }
            self.phase = Phase::Open;
            self.duplicates = 0;
            return;
        }
        self.resend_next = self.resend_next.max(unacknowledged);
        if self.phase == Phase::Recovery {
            if let Some(edge) = scoreboard.lost_below(mss) {
                self.lost_below = self.lost_below.max(edge).min(self.recovery_point);
            } else if progress > 0 {
                // A partial acknowledgement: the packet after it is lost as well (RFC 6582 §3.2 step 3).
                self.duplicates = self.duplicates.saturating_sub((progress / mss).min(u32::from(u16::MAX)) as u16);
                self.lost_below = self.lost_below.max(unacknowledged.plus(mss)).min(self.recovery_point);
            }
        }
    }

    /// The next lost range to resend, empty if there is none.
    pub(super) fn next_lost(&self, scoreboard: &Scoreboard) -> (Seq, Seq) {
        if self.phase == Phase::Open || !self.resend_next.before(self.lost_below) {
            return (self.resend_next, self.resend_next);
        }
        scoreboard.hole(self.resend_next, self.lost_below)
    }

    /// Bytes believed to be in the network (RFC 6675 §4, `SetPipe`).
    #[inline]
    pub(super) fn pipe(&self, unacknowledged: Seq, next: Seq, scoreboard: &Scoreboard, mss: u32) -> u32 {
        let flight = next.since(unacknowledged);
        if self.phase == Phase::Open && self.duplicates == 0 && scoreboard.is_empty() {
            return flight;
        }
        let arrived = scoreboard.total().max(u32::from(self.duplicates) * mss);
        let mut lost = 0;
        if self.phase != Phase::Open {
            let from = self.resend_next.max(unacknowledged);
            if from.before(self.lost_below) {
                lost = self.lost_below.since(from) - scoreboard.within(from, self.lost_below);
            }
        }
        flight.saturating_sub(arrived).saturating_sub(lost)
    }

    /// Nothing was sent for a timeout: the network may have changed (RFC 5681 §4.1).
    pub(super) fn restart_after_idle(&mut self, initial_window: u32) {
        self.window = self.window.min(initial_window);
        self.credit = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    #[test]
    fn slow_start_doubles_and_avoidance_adds_one_packet_a_round() {
        let mut congestion = Congestion::new(10 * MSS);
        congestion.acknowledged(10 * MSS, 10 * MSS, MSS);
        assert_eq!(congestion.window, 20 * MSS);
        congestion.threshold = 20 * MSS;
        congestion.acknowledged(20 * MSS, 20 * MSS, MSS);
        assert_eq!(congestion.window, 21 * MSS);
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut congestion = Congestion::new(10 * MSS);
        congestion.acknowledged(MSS, MSS, MSS);
        assert_eq!(congestion.window, 10 * MSS);
    }

    #[test]
    fn recovery_halves_and_ends_at_its_point() {
        let mut congestion = Congestion::new(20 * MSS);
        let (first, next) = (Seq(0), Seq(20 * MSS));
        let mut board = Scoreboard::default();
        board.insert(Seq(MSS), Seq(5 * MSS));
        assert!(congestion.sees_loss(first, &board, MSS));
        congestion.enter_recovery(first, next, MSS);
        assert_eq!(congestion.window, 10 * MSS);
        assert_eq!(congestion.next_lost(&board), (Seq(0), Seq(MSS)));
        assert_eq!(congestion.pipe(first, next, &board, MSS), 15 * MSS);
        congestion.resend_next = Seq(MSS);
        assert_eq!(congestion.pipe(first, next, &board, MSS), 16 * MSS);
        congestion.recover(next, 20 * MSS, &board, MSS);
        assert_eq!((congestion.phase, congestion.window), (Phase::Open, 10 * MSS));
    }

    #[test]
    fn a_timeout_leaves_one_packet_and_remembers_half() {
        let mut congestion = Congestion::new(20 * MSS);
        congestion.enter_loss(Seq(0), Seq(20 * MSS), MSS, false);
        congestion.enter_loss(Seq(0), Seq(20 * MSS), MSS, true);
        assert_eq!((congestion.window, congestion.threshold), (MSS, 10 * MSS));
        assert_eq!(congestion.pipe(Seq(0), Seq(20 * MSS), &Scoreboard::default(), MSS), 0);
    }
}
