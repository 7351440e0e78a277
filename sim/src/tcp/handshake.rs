//! Opening: active, passive and simultaneous.

use std::sync::Arc;

use proxy_core::host::Instant;

use super::tcb::{State, Tcb};
use super::{Changes, CloseReason, Output, TcpConfig, reset_for};
use crate::wire::{Flags, Options, Payload, Segment, Seq};

/// What a peer that names no segment size takes (RFC 9293 §3.7.1).
const MSS_UNSPECIFIED: u16 = 536;

impl Tcb {
    /// Opens towards a peer: leaves a SYN numbered `initial`.
    pub fn open_active(config: Arc<TcpConfig>, now: Instant, initial: Seq, out: &mut Output) -> Tcb {
        let mut tcb = Tcb::new(config, State::SynSent, initial, now);
        tcb.send_next = initial.plus(1);
        tcb.send_syn(now, out);
        tcb.round_trip.start_sample(now, tcb.send_next);
        tcb
    }

    /// Answers `syn`, a segment with SYN and neither ACK nor RST: leaves a SYN-ACK numbered `initial`.
    pub fn open_passive(config: Arc<TcpConfig>, now: Instant, initial: Seq, syn: &Segment, out: &mut Output) -> Tcb {
        let mut tcb = Tcb::new(config, State::SynReceived, initial, now);
        tcb.send_next = initial.plus(1);
        tcb.learn_peer(syn);
        tcb.send_syn(now, out);
        tcb.round_trip.start_sample(now, tcb.send_next);
        tcb
    }

    /// Sends or resends our SYN, with ACK if the peer's is known, and starts the timer.
    pub(super) fn send_syn(&mut self, now: Instant, out: &mut Output) {
        let answering = self.state == State::SynReceived;
        // A SYN's window is never scaled; an answer offers only what the peer offered.
        let scaling = self.config.window_scaling && (!answering || self.receive_scale > 0 || self.send_scale > 0);
        let options = Options {
            mss: Some(self.config.mss),
            window_scale: scaling.then(|| self.config.receive_scale()),
            sack_permitted: self.config.selective_acknowledgements && (!answering || self.sack),
            sack: None,
        };
        let window = self.config.receive_buffer.min(u32::from(u16::MAX));
        let flags = if answering { Flags::SYN.with(Flags::ACK) } else { Flags::SYN };
        self.acknowledge_now = false;
        self.acknowledged = self.receive_next;
        self.receive_edge = self.receive_edge.max(self.receive_next.plus(window));
        self.last_sent = now;
        self.retransmit_at = now + self.round_trip.timeout(&self.config);
        out.segments.push(Segment {
            seq: self.initial_send,
            ack: self.receive_next,
            flags,
            window: window as u16,
            packet_payload: self.mss,
            options,
            payload: Payload::EMPTY,
        });
    }

    /// Takes from the peer's SYN its number and options.
    fn learn_peer(&mut self, syn: &Segment) {
        self.initial_receive = syn.seq;
        self.receive_next = syn.seq.plus(1);
        self.receive_edge = self.receive_next.plus(self.config.receive_buffer.min(u32::from(u16::MAX)));
        self.acknowledged = self.receive_next;
        self.mss = syn.options.mss.unwrap_or(MSS_UNSPECIFIED).min(self.config.mss).max(1);
        self.congestion.window = self.initial_window();
        match syn.options.window_scale {
            Some(shift) if self.config.window_scaling => {
                self.send_scale = shift.min(14);
                self.receive_scale = self.config.receive_scale();
            }
            _ => (self.send_scale, self.receive_scale) = (0, 0),
        }
        self.sack = self.config.selective_acknowledgements && syn.options.sack_permitted;
        self.send_window = u32::from(syn.window);
        self.send_window_max = self.send_window;
        self.window_update = (syn.seq, syn.ack);
    }

    pub(super) fn initial_window(&self) -> u32 {
        u32::from(self.mss) * u32::from(self.config.initial_window.max(1))
    }

    /// RFC 9293 §3.10.7.3.
    pub(super) fn on_segment_in_syn_sent(&mut self, now: Instant, segment: Segment, out: &mut Output) {
        let acknowledges = segment.flags.contains(Flags::ACK);
        if acknowledges && segment.ack != self.send_next {
            // A leftover of an earlier connection, or a forgery.
            out.segments.extend(reset_for(&segment));
            return;
        }
        if segment.flags.contains(Flags::RST) {
            if acknowledges {
                self.close_with(CloseReason::Refused, out);
            }
            return;
        }
        if !segment.flags.contains(Flags::SYN) {
            return;
        }
        self.learn_peer(&segment);
        self.last_received = now;
        if acknowledges {
            self.established(now, segment.ack, out);
            self.acknowledge_now = true;
            self.finish(now, out);
        } else {
            // Both sides dialled each other.
            self.state = State::SynReceived;
            self.retries = 0;
            self.send_syn(now, out);
        }
    }

    /// In `SynReceived`: the peer's SYN again (our answer was lost), or its SYN-ACK when both dialled. Returns whether the
    /// segment is dealt with.
    pub(super) fn answer_repeated_handshake(&mut self, now: Instant, segment: &Segment, out: &mut Output) -> bool {
        if !segment.flags.contains(Flags::SYN)
            || segment.flags.contains(Flags::RST)
            || segment.seq != self.initial_receive
        {
            return false;
        }
        if !segment.flags.contains(Flags::ACK) {
            let at = self.retransmit_at;
            self.send_syn(now, out);
            self.round_trip.cancel_sample();
            self.retransmit_at = at;
        } else if segment.ack == self.send_next {
            self.last_received = now;
            self.send_window = u32::from(segment.window);
            self.established(now, segment.ack, out);
            self.acknowledge_now = true;
            self.finish(now, out);
        } else {
            out.segments.extend(reset_for(segment));
        }
        true
    }

    /// In `SynReceived`, an acceptable segment with ACK; returns whether it completes the handshake.
    pub(super) fn on_handshake_acknowledged(&mut self, now: Instant, segment: &Segment, out: &mut Output) -> bool {
        if segment.ack != self.send_next {
            out.segments.extend(reset_for(segment));
            return false;
        }
        self.send_window = u32::from(segment.window) << self.send_scale;
        self.send_window_max = self.send_window_max.max(self.send_window);
        self.window_update = (segment.seq, segment.ack);
        self.established(now, segment.ack, out);
        true
    }

    fn established(&mut self, now: Instant, acknowledged: Seq, out: &mut Output) {
        self.state = State::Established;
        if self.retries > 0 {
            self.round_trip.cancel_sample();
            self.round_trip.distrust_handshake();
            if self.retries > 1 {
                // RFC 6928 §3: one lost SYN is forgiven, more leave one packet to begin with.
                self.congestion.window = u32::from(self.mss);
            }
        }
        self.round_trip.acknowledged(now, acknowledged, &self.config);
        self.round_trip.backoff = 0;
        self.retries = 0;
        self.send_unacknowledged = acknowledged;
        self.retransmit_at = Instant::FAR_FUTURE;
        out.changes.insert(Changes::CONNECTED);
        if self.write_blocked {
            self.write_blocked = false;
            out.changes.insert(Changes::WRITABLE);
        }
    }
}
