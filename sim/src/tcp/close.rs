//! Ending: FIN, half-close, RST, and what is left afterwards.

use proxy_core::host::Instant;

use super::tcb::{State, Tcb};
use super::{Changes, Output};
use crate::wire::{Flags, Payload, Segment, Seq};

/// Why a connection is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// Both streams ended and were acknowledged.
    Finished,
    /// The peer answered our SYN with RST: nobody listens.
    Refused,
    /// The peer sent RST.
    Reset,
    /// The peer stopped answering.
    TimedOut,
    /// The network reported that the peer cannot be reached.
    Unreachable,
    /// Our side gave up: `abort`, or `close` with bytes unread.
    Aborted,
}

/// The RST that answers a segment nobody expects (RFC 9293 §3.5.2); none if it is itself a RST.
pub fn reset_for(segment: &Segment) -> Option<Segment> {
    if segment.flags.contains(Flags::RST) {
        return None;
    }
    let (seq, ack, flags) = if segment.flags.contains(Flags::ACK) {
        (segment.ack, Seq(0), Flags::RST)
    } else {
        (Seq(0), segment.seq.plus(segment.sequence_len()), Flags::RST.with(Flags::ACK))
    };
    Some(Segment { seq, ack, flags, ..Segment::default() })
}

impl Tcb {
    /// Ends our stream after what was written; reading goes on. Before the handshake is done the end waits for it.
    pub fn shutdown_write(&mut self, now: Instant, out: &mut Output) {
        if self.fin_wanted || self.state == State::Closed {
            return;
        }
        self.fin_wanted = true;
        self.transmit(now, false, out);
    }

    /// The application lets go of the connection. What was written is still delivered, then FIN; bytes received and
    /// unread, or arriving later, make it a reset. [`Changes::CLOSED`] tells when the host may forget it.
    pub fn close(&mut self, now: Instant, out: &mut Output) {
        if self.state == State::Closed {
            return;
        }
        self.orphaned = true;
        if self.state == State::SynSent || self.receive_buffer.len() > 0 {
            self.abort(out);
            return;
        }
        self.shutdown_write(now, out);
        if self.state == State::FinWait2 {
            self.retransmit_at = now + self.config.fin_wait;
        }
    }

    /// Gives up at once: a RST tells the peer, and bytes in either direction are lost.
    pub fn abort(&mut self, out: &mut Output) {
        match self.state {
            State::Closed => return,
            State::SynSent | State::TimeWait => {}
            _ => self.emit(self.send_next, Flags::RST.with(Flags::ACK), Payload::EMPTY, out),
        }
        self.receive_buffer.clear();
        self.close_with(CloseReason::Aborted, out);
    }

    /// The network reports (by ICMP) that the peer cannot be reached. Fatal while connecting; afterwards the
    /// connection keeps trying (RFC 1122 §4.2.3.9).
    pub fn on_unreachable(&mut self, out: &mut Output) {
        if matches!(self.state, State::SynSent | State::SynReceived) {
            self.close_with(CloseReason::Unreachable, out);
        }
    }

    /// Why the connection is gone; `None` while it is not.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close_reason
    }

    /// A RST touching the window. Only one with exactly the next number is believed, any other is answered so that an
    /// honest peer can repeat it rightly (RFC 5961 §3).
    pub(super) fn on_reset(&mut self, now: Instant, seq: Seq, out: &mut Output) {
        if seq != self.receive_next {
            self.challenge(now, false, out);
            return;
        }
        match self.state {
            // A late RST must not cut the wait short (RFC 1337).
            State::TimeWait => {}
            State::SynReceived if self.active => self.close_with(CloseReason::Refused, out),
            _ => self.close_with(CloseReason::Reset, out),
        }
    }

    /// The peer's stream ended: everything before its FIN is here.
    pub(super) fn on_fin(&mut self, now: Instant, out: &mut Output) {
        self.receive_next = self.receive_next.plus(1);
        self.receive_edge = self.receive_edge.max(self.receive_next);
        self.fin_received = true;
        self.reassembly = None;
        self.acknowledge_now = true;
        out.changes.insert(Changes::READABLE);
        match self.state {
            State::Established => self.state = State::CloseWait,
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.enter_time_wait(now),
            _ => {}
        }
    }

    /// Both streams ended and ours is acknowledged: stay to answer a repeated FIN.
    pub(super) fn enter_time_wait(&mut self, now: Instant) {
        self.state = State::TimeWait;
        self.send_buffer.clear();
        self.keepalive = None;
        self.retransmit_at = now + self.config.time_wait;
    }

    /// Whether a new connection with the same addresses may take this one's place: this one only waits, and the SYN is
    /// newer than anything it saw (RFC 9293 §3.6.1).
    pub fn yields_to(&self, syn: &Segment) -> bool {
        self.state == State::Closed || (self.state == State::TimeWait && syn.seq.after(self.receive_next))
    }

    /// The end. Received bytes stay readable, as on Linux.
    pub(super) fn close_with(&mut self, reason: CloseReason, out: &mut Output) {
        self.state = State::Closed;
        self.close_reason = Some(reason);
        self.acknowledge_now = false;
        self.write_blocked = false;
        self.retransmit_at = Instant::FAR_FUTURE;
        self.acknowledge_at = Instant::FAR_FUTURE;
        self.send_buffer.clear();
        self.scoreboard.clear();
        self.reassembly = None;
        self.keepalive = None;
        out.changes.insert(Changes::CLOSED);
        out.changes.insert(Changes::READABLE);
        out.changes.insert(Changes::WRITABLE);
    }
}
