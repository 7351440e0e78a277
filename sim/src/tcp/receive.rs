//! Arriving data: what is accepted, what waits for its turn, when it is acknowledged; reading and the offered window.

use bytes::BufMut;
use proxy_core::host::Instant;

use super::tcb::{State, Tcb};
use super::{Changes, CloseReason, Output};
use crate::wire::{Payload, Segment, Seq};

/// What a reader gets now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadState {
    /// So many bytes.
    Bytes(u32),
    /// Nothing yet.
    Empty,
    /// The end of the stream: the peer sent FIN and everything before it was read.
    End,
    /// The connection is gone, and not by both ends finishing.
    Failed(CloseReason),
}

impl Tcb {
    /// Whether the segment touches the window (RFC 9293 §3.10.7.4, as lenient as Linux: bytes that were received but not
    /// yet acknowledged count, so that an old bare acknowledgement overtaken by data is still heard).
    #[inline]
    pub(super) fn acceptable(&self, segment: &Segment) -> bool {
        !segment.seq.after(self.receive_edge) && !segment.seq.plus(segment.sequence_len()).before(self.acknowledged)
    }

    /// Takes in payload and FIN of an acceptable segment.
    pub(super) fn on_data(&mut self, now: Instant, seq: Seq, payload: Payload, fin: bool, out: &mut Output) {
        if !matches!(self.state, State::Established | State::FinWait1 | State::FinWait2) {
            // The peer's stream has ended: this is a repetition.
            self.acknowledge_now = true;
            if self.state == State::TimeWait {
                self.enter_time_wait(now);
            }
            return;
        }
        let (mut seq, mut payload) = (seq, payload);
        let end = seq.plus(payload.len() as u32);
        let mut limit = self.receive_edge;
        if self.fin_seen {
            limit = limit.min(self.peer_fin);
        } else if fin && !end.before(self.receive_next) && !end.after(self.receive_edge) {
            self.fin_seen = true;
            self.peer_fin = end;
            if let Some(reassembly) = &mut self.reassembly {
                reassembly.cut(end);
            }
        }
        if end.after(limit) {
            payload.truncate(limit.saturating_since(seq) as usize);
            self.acknowledge_now = true;
        }
        if seq.before(self.receive_next) {
            payload.advance(self.receive_next.since(seq) as usize);
            seq = self.receive_next;
            // Something of it was known: an acknowledgement was lost or is late.
            self.acknowledge_now = true;
        }
        if !payload.is_empty() {
            if self.orphaned {
                // Nobody will ever read this; Linux answers likewise.
                self.abort(out);
                return;
            }
            if seq == self.receive_next {
                self.deliver(now, payload, out);
            } else {
                self.reassembly.get_or_insert_default().insert(seq, payload);
                self.acknowledge_now = true;
            }
        }
        if self.fin_seen && self.receive_next == self.peer_fin {
            self.on_fin(now, out);
        } else if fin {
            self.acknowledge_now = true;
        }
    }

    fn deliver(&mut self, now: Instant, payload: Payload, out: &mut Output) {
        self.receive_next = self.receive_next.plus(payload.len() as u32);
        self.receive_buffer.push(payload);
        if let Some(reassembly) = &mut self.reassembly {
            self.acknowledge_now = true;
            while let Some(next) = reassembly.pop(self.receive_next) {
                self.receive_next = self.receive_next.plus(next.len() as u32);
                self.receive_buffer.push(next);
            }
            if reassembly.is_empty() {
                self.reassembly = None;
            }
        }
        out.changes.insert(Changes::READABLE);
        if self.acknowledge_now {
            return;
        }
        // RFC 5681 §4.2: at least every second full packet, and never later than the delay. Like Linux, a full packet and
        // anything beside it are enough.
        if self.quick_acknowledgements > 0 {
            self.quick_acknowledgements -= 1;
            self.acknowledge_now = true;
        } else if self.receive_next.since(self.acknowledged) > u32::from(self.mss) {
            self.acknowledge_now = true;
        } else {
            self.acknowledge_at = self.acknowledge_at.min(now + self.config.delayed_acknowledgement);
        }
    }

    /// The window field of the next segment; remembers what it promises.
    ///
    /// The edge never moves back, and moves on only by full packets or half the buffer, whichever is less (receiver's
    /// silly-window avoidance, RFC 1122 §4.2.3.3). Scaling rounds down what is said, never what is accepted.
    #[inline]
    pub(super) fn offer_window(&mut self) -> u16 {
        let free = self.config.receive_buffer.saturating_sub(self.receive_buffer.len());
        let promised = self.receive_edge.saturating_since(self.receive_next);
        let step = (self.config.receive_buffer / 2).min(u32::from(self.mss)).max(1);
        let offer = promised + free.saturating_sub(promised) / step * step;
        self.window_short = free < self.config.receive_buffer / 4 * 3;
        let window = (offer >> self.receive_scale).min(u32::from(u16::MAX));
        self.receive_edge = self.receive_edge.max(self.receive_next.plus(window << self.receive_scale));
        window as u16
    }

    /// Moves received bytes to `dest` until it is full or nothing is left; returns how many. Never blocks: 0 with room in
    /// `dest` means look at [`Tcb::read_state`].
    pub fn read(&mut self, dest: &mut impl BufMut, out: &mut Output) -> usize {
        let count = self.receive_buffer.read(dest);
        if count > 0 {
            self.update_window(out);
        }
        count
    }

    /// Takes the next received chunk whole, sharing its bytes with the segment that brought it.
    pub fn read_chunk(&mut self, out: &mut Output) -> Option<Payload> {
        let chunk = self.receive_buffer.pop()?;
        self.update_window(out);
        Some(chunk)
    }

    /// Tells the peer about room that reading made, when it matters: the last offer was short for lack of room, and it
    /// can now be doubled or grow by a quarter of the buffer. Large buffers are thus read with few updates.
    fn update_window(&mut self, out: &mut Output) {
        let promised = self.receive_edge.saturating_since(self.receive_next);
        let size = self.config.receive_buffer;
        if !self.window_short || !matches!(self.state, State::Established | State::FinWait1 | State::FinWait2) {
            return;
        }
        let free = size.saturating_sub(self.receive_buffer.len());
        let step = (size / 2).min(u32::from(self.mss)).max(1);
        let gain = free.saturating_sub(promised);
        if gain >= step && (gain >= promised || gain >= size / 4) {
            self.send_acknowledgement(out);
        }
    }

    /// What a reader gets now.
    pub fn read_state(&self) -> ReadState {
        match (self.receive_buffer.len(), self.close_reason) {
            (0, _) if self.fin_received => ReadState::End,
            (0, Some(CloseReason::Finished)) => ReadState::End,
            (0, Some(reason)) => ReadState::Failed(reason),
            (0, None) => ReadState::Empty,
            (count, _) => ReadState::Bytes(count),
        }
    }
}
