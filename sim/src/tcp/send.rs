//! Writing, and what may leave now: lost bytes first, then new ones, then FIN.

use proxy_core::host::Instant;

use super::congestion::Phase;
use super::tcb::{State, Tcb};
use super::{CloseReason, Output};
use crate::wire::{Flags, Payload, Seq};

/// What a writer may do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteState {
    /// Write up to so many bytes.
    Room(u32),
    /// Wait: the buffer is full.
    Full,
    /// Our stream was ended by `shutdown_write` or `close`.
    Ended,
    /// The connection is gone.
    Failed(CloseReason),
}

impl Tcb {
    /// Copies what fits of `data` and sends what may leave; returns how many bytes were taken. After fewer than
    /// offered, [`super::Changes::WRITABLE`] tells when to try again.
    pub fn write(&mut self, now: Instant, data: &[u8], out: &mut Output) -> usize {
        let count = self.admit(data.len());
        if count > 0 {
            self.send_buffer.push(&data[..count]);
            self.transmit(now, false, out);
        }
        count
    }

    /// As [`Tcb::write`], sharing the bytes instead of copying them.
    pub fn write_payload(&mut self, now: Instant, mut payload: Payload, out: &mut Output) -> usize {
        let count = self.admit(payload.len());
        if count > 0 {
            payload.truncate(count);
            self.send_buffer.push_payload(payload);
            self.transmit(now, false, out);
        }
        count
    }

    fn admit(&mut self, wanted: usize) -> usize {
        let room = match self.write_state() {
            WriteState::Room(room) => room as usize,
            WriteState::Full => 0,
            WriteState::Ended | WriteState::Failed(_) => return 0,
        };
        self.write_blocked |= room < wanted;
        room.min(wanted)
    }

    /// What a writer may do now.
    pub fn write_state(&self) -> WriteState {
        match (self.close_reason, self.fin_wanted, self.send_room()) {
            (Some(reason), _, _) => WriteState::Failed(reason),
            (None, true, _) => WriteState::Ended,
            (None, false, 0) => WriteState::Full,
            (None, false, room) => WriteState::Room(room),
        }
    }

    /// Sends what may leave. With `force`, at least one lost packet leaves whatever the congestion window says.
    #[inline]
    pub(super) fn transmit(&mut self, now: Instant, force: bool, out: &mut Output) {
        if self.state == State::Closed {
            return;
        }
        if self.congestion.phase != Phase::Open {
            self.resend_lost(now, force, out);
        }
        if self.send_buffer.unsent() > 0 || (self.fin_wanted && !self.fin_sent) {
            self.send_new(now, out);
        }
    }

    fn resend_lost(&mut self, now: Instant, force: bool, out: &mut Output) {
        let mss = u32::from(self.mss);
        let mut force = force;
        loop {
            let (start, end) = self.congestion.next_lost(&self.scoreboard);
            let mut count = end.saturating_since(start);
            if count == 0 {
                return;
            }
            let pipe = self.congestion.pipe(self.send_unacknowledged, self.send_next, &self.scoreboard, mss);
            let room = self.congestion.window.saturating_sub(pipe);
            if room < count {
                let whole = room / mss * mss;
                if whole == 0 && !force {
                    return;
                }
                count = whole.max(mss).min(count);
            }
            force = false;
            let sent = self.resend(now, start, count, out);
            if sent == 0 {
                return;
            }
            self.congestion.resend_next = start.plus(sent);
        }
    }

    /// Sends again at most `count` numbers from `start`; returns how many.
    fn resend(&mut self, now: Instant, start: Seq, count: u32, out: &mut Output) -> u32 {
        let data_end = self.send_unacknowledged.plus(self.send_buffer.sent());
        let data = data_end.saturating_since(start).min(count);
        let payload = match data {
            0 => Payload::EMPTY,
            _ => self.send_buffer.get(start.since(self.send_unacknowledged), data),
        };
        let length = payload.len() as u32;
        let fin = self.fin_sent && start.plus(length) == data_end && count > length;
        let flags = if fin { Flags::ACK.with(Flags::FIN) } else { Flags::ACK };
        if length == 0 && !fin {
            return 0;
        }
        self.resent_packets = self.resent_packets.saturating_add(length.div_ceil(u32::from(self.mss)).max(1));
        self.round_trip.cancel_sample();
        self.last_sent = now;
        self.emit(start, flags, payload, out);
        if start == self.send_unacknowledged || self.retransmit_at == Instant::FAR_FUTURE {
            self.retransmit_at = now + self.round_trip.timeout(&self.config);
        }
        length + u32::from(fin)
    }

    fn send_new(&mut self, now: Instant, out: &mut Output) {
        if !matches!(self.state, State::Established | State::CloseWait) {
            return;
        }
        let mss = u32::from(self.mss);
        if self.send_next == self.send_unacknowledged && self.last_sent + self.round_trip.timeout(&self.config) < now {
            self.congestion.restart_after_idle(self.initial_window());
        }
        while let Some(count) = self.sendable(mss) {
            let payload = self.send_buffer.take(count, mss);
            let length = payload.len() as u32;
            if length == 0 {
                break;
            }
            self.send_segment(now, length, payload, out);
        }
        if self.send_buffer.unsent() == 0 {
            if self.fin_wanted && !self.fin_sent {
                self.send_segment(now, 0, Payload::EMPTY, out);
            }
        } else if self.send_next == self.send_unacknowledged && !self.persisting {
            // Only the window is in the way, and the segment that opens it may get lost: ask now and then.
            self.persisting = true;
            self.retries = 0;
            self.retransmit_at = now + self.round_trip.timeout(&self.config);
        }
    }

    /// Sends `payload` as the next new bytes, with FIN if it ends our stream.
    fn send_segment(&mut self, now: Instant, length: u32, payload: Payload, out: &mut Output) {
        let seq = self.send_next;
        let mut flags = Flags::ACK;
        self.send_next = seq.plus(length);
        if self.send_buffer.unsent() == 0 {
            if length > 0 {
                flags = flags.with(Flags::PSH);
            }
            if self.fin_wanted {
                flags = flags.with(Flags::FIN);
                self.send_next = self.send_next.plus(1);
                self.fin_sent = true;
                self.state = if self.state == State::CloseWait { State::LastAck } else { State::FinWait1 };
            }
        }
        if self.quick_acknowledgements > 0
            && self.receive_next != self.initial_receive.plus(1)
            && now < self.last_received + self.config.delayed_acknowledgement
        {
            // We answer what we receive: from now on answers carry the acknowledgements.
            self.quick_acknowledgements = 0;
        }
        self.round_trip.start_sample(now, self.send_next);
        if self.retransmit_at == Instant::FAR_FUTURE || self.persisting {
            self.persisting = false;
            self.retransmit_at = now + self.round_trip.timeout(&self.config);
        }
        self.last_sent = now;
        self.emit(seq, flags, payload, out);
    }

    /// How many new bytes may leave as one segment now.
    ///
    /// Everything, if both windows allow; else whole packets; else, when the peer's window is what is short, a piece of at
    /// least half the largest window it ever offered (sender's silly-window avoidance, RFC 1122 §4.2.3.4).
    #[inline]
    fn sendable(&self, mss: u32) -> Option<u32> {
        let unsent = self.send_buffer.unsent();
        if unsent == 0 {
            return None;
        }
        let flight = self.send_next.since(self.send_unacknowledged);
        let window_room = self.send_window.saturating_sub(flight);
        let pipe = self.congestion.pipe(self.send_unacknowledged, self.send_next, &self.scoreboard, mss);
        let room = window_room.min(self.congestion.window.saturating_sub(pipe));
        if unsent <= room {
            let waits = self.config.nagle && unsent < mss && flight > 0 && !self.fin_wanted;
            return (!waits).then_some(unsent);
        }
        match room / mss * mss {
            0 if room > 0 && room == window_room && room >= self.send_window_max / 2 => Some(room),
            0 => None,
            whole => Some(whole),
        }
    }

    /// A window probe fires: the peer says its window is shut or too small to be worth using.
    pub(super) fn probe_window(&mut self, now: Instant, out: &mut Output) {
        let room = self.send_window.min(self.send_buffer.unsent());
        if room > 0 {
            let payload = self.send_buffer.take(room, 0);
            self.send_segment(now, payload.len() as u32, payload, out);
        } else {
            self.send_probe(out);
        }
    }

    /// Sends a segment the peer must answer: it repeats a number already acknowledged.
    pub(super) fn send_probe(&mut self, out: &mut Output) {
        self.emit(self.send_unacknowledged.minus(1), Flags::ACK, Payload::EMPTY, out);
    }
}
