//! [`Tcb`]: the state of one connection and its dispatch.

use std::sync::Arc;

use proxy_core::host::Instant;

use super::close::CloseReason;
use super::congestion::Congestion;
use super::keepalive::KeepaliveState;
use super::reassembly::Reassembly;
use super::receive_buffer::ReceiveBuffer;
use super::rto::RoundTrip;
use super::scoreboard::Scoreboard;
use super::send_buffer::SendBuffer;
use super::{Output, TcpConfig};
use crate::wire::{Flags, Options, Payload, Segment, Seq};

/// Where a connection stands (RFC 9293 §3.3.2). Listening is the host's affair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Our SYN is out.
    SynSent,
    /// Both SYNs are known, ours is unacknowledged.
    SynReceived,
    /// Open both ways.
    Established,
    /// We sent the end of our stream; it is unacknowledged.
    FinWait1,
    /// Our end is acknowledged; the peer may still send.
    FinWait2,
    /// The peer's stream ended; we may still send.
    CloseWait,
    /// Both ended at once; ours is unacknowledged.
    Closing,
    /// The peer's stream ended first, then ours, which is unacknowledged.
    LastAck,
    /// Both ended; late segments are still answered.
    TimeWait,
    /// Gone.
    Closed,
}

/// One TCP connection: a pure state machine. Owns its sequence numbers, buffers, congestion state and deadlines; owns no
/// addresses, no clock and no socket. Deterministic: the same calls leave the same output.
///
/// Memory: about 400 bytes, plus the bytes buffered, plus up to a few hundred bytes of queue once used.
#[derive(Debug)]
pub struct Tcb {
    // What nearly every call touches comes first.
    pub(super) state: State,
    /// The application asked to end our stream.
    pub(super) fin_wanted: bool,
    /// Our FIN is out, at the last number before `send_next`.
    pub(super) fin_sent: bool,
    /// The peer's FIN arrived in order.
    pub(super) fin_received: bool,
    /// `peer_fin` is known.
    pub(super) fin_seen: bool,
    /// An acknowledgement must leave with this call.
    pub(super) acknowledge_now: bool,
    /// The last window offered was short because of unread bytes.
    pub(super) window_short: bool,
    /// A write was cut short; say when there is room.
    pub(super) write_blocked: bool,
    /// The application let go: nobody will read.
    pub(super) orphaned: bool,
    /// Both sides understand selective acknowledgements.
    pub(super) sack: bool,
    /// The running retransmission deadline is a window probe's.
    pub(super) persisting: bool,
    /// We opened it (decides what a resent handshake looks like).
    pub(super) active: bool,
    pub(super) send_scale: u8,
    pub(super) receive_scale: u8,
    pub(super) quick_acknowledgements: u8,
    /// Retransmissions or probes in a row without an answer.
    pub(super) retries: u8,
    pub(super) close_reason: Option<CloseReason>,
    /// Payload of one wire packet: the lesser of both sides' limits.
    pub(super) mss: u16,

    /// First number not acknowledged by the peer.
    pub(super) send_unacknowledged: Seq,
    /// First number not sent.
    pub(super) send_next: Seq,
    pub(super) send_window: u32,
    /// Largest window the peer ever offered.
    pub(super) send_window_max: u32,
    /// Segment that last updated `send_window`: its number and acknowledgement.
    pub(super) window_update: (Seq, Seq),
    /// Next number expected.
    pub(super) receive_next: Seq,
    /// First number past the furthest window we offered.
    pub(super) receive_edge: Seq,
    /// The acknowledgement we sent last.
    pub(super) acknowledged: Seq,
    /// Number of the peer's FIN, once seen, in order or not.
    pub(super) peer_fin: Seq,
    pub(super) initial_send: Seq,
    pub(super) initial_receive: Seq,

    /// Deadlines; [`Instant::FAR_FUTURE`] when off. `retransmit_at` also serves handshake, window probe and the two
    /// waits at the end of a connection, which exclude each other.
    pub(super) retransmit_at: Instant,
    pub(super) acknowledge_at: Instant,
    /// When data or a SYN last left.
    pub(super) last_sent: Instant,
    pub(super) last_received: Instant,
    /// When an answer out of the ordinary was last given (see `challenge`).
    pub(super) last_challenge: Instant,

    pub(super) config: Arc<TcpConfig>,
    pub(super) congestion: Congestion,
    pub(super) round_trip: RoundTrip,
    pub(super) send_buffer: SendBuffer,
    pub(super) receive_buffer: ReceiveBuffer,
    pub(super) reassembly: Option<Box<Reassembly>>,
    pub(super) scoreboard: Scoreboard,
    pub(super) keepalive: Option<Box<KeepaliveState>>,
    pub(super) resent_packets: u32,
}

/// The shortest time between two answers to segments that carry nothing and fit nowhere, so that two confused ends
/// cannot keep answering each other (RFC 5961 §7).
const CHALLENGE_INTERVAL: std::time::Duration = std::time::Duration::from_millis(100);

impl Tcb {
    pub(super) fn new(config: Arc<TcpConfig>, state: State, initial_send: Seq, now: Instant) -> Self {
        let mss = config.mss.max(1);
        Tcb {
            state,
            fin_wanted: false,
            fin_sent: false,
            fin_received: false,
            fin_seen: false,
            peer_fin: Seq(0),
            acknowledge_now: false,
            window_short: false,
            write_blocked: false,
            orphaned: false,
            sack: false,
            persisting: false,
            active: state == State::SynSent,
            send_scale: 0,
            receive_scale: 0,
            quick_acknowledgements: config.quick_acknowledgements,
            retries: 0,
            close_reason: None,
            mss,
            send_unacknowledged: initial_send,
            send_next: initial_send,
            send_window: 0,
            send_window_max: 0,
            window_update: (Seq(0), Seq(0)),
            receive_next: Seq(0),
            receive_edge: Seq(0),
            acknowledged: Seq(0),
            initial_send,
            initial_receive: Seq(0),
            retransmit_at: Instant::FAR_FUTURE,
            acknowledge_at: Instant::FAR_FUTURE,
            last_sent: now,
            last_received: now,
            last_challenge: Instant::START,
            congestion: Congestion::new(u32::from(mss) * u32::from(config.initial_window.max(1))),
            round_trip: RoundTrip::new(&config),
            send_buffer: SendBuffer::default(),
            receive_buffer: ReceiveBuffer::default(),
            reassembly: None,
            scoreboard: Scoreboard::default(),
            keepalive: None,
            resent_packets: 0,
            config,
        }
    }

    /// Takes in a segment from the peer.
    pub fn on_segment(&mut self, now: Instant, segment: Segment, out: &mut Output) {
        match self.state {
            State::Closed => {}
            State::SynSent => self.on_segment_in_syn_sent(now, segment, out),
            _ => self.on_segment_synchronized(now, segment, out),
        }
    }

    /// RFC 9293 §3.10.7.4, in its order: number, RST, SYN, ACK, text, FIN.
    fn on_segment_synchronized(&mut self, now: Instant, mut segment: Segment, out: &mut Output) {
        if self.state == State::SynReceived && self.answer_repeated_handshake(now, &segment, out) {
            return;
        }
        if !self.acceptable(&segment) {
            if !segment.flags.contains(Flags::RST) {
                // An unanswered FIN or lost acknowledgement looks like this too: the answer repeats what we have.
                self.challenge(now, segment.sequence_len() > 0, out);
                if self.state == State::TimeWait && segment.flags.contains(Flags::FIN) {
                    self.enter_time_wait(now);
                }
            }
            return;
        }
        if segment.flags.contains(Flags::RST) {
            self.on_reset(now, segment.seq, out);
            return;
        }
        if segment.flags.contains(Flags::SYN) {
            self.challenge(now, false, out);
            return;
        }
        if !segment.flags.contains(Flags::ACK) {
            return;
        }
        self.last_received = now;
        if let Some(keepalive) = &mut self.keepalive {
            keepalive.answered();
        }
        if self.state == State::SynReceived && !self.on_handshake_acknowledged(now, &segment, out) {
            return;
        }
        if !self.on_acknowledgement(now, &segment, out) {
            return;
        }
        let fin = segment.flags.contains(Flags::FIN);
        let payload = std::mem::take(&mut segment.payload);
        if fin || !payload.is_empty() {
            self.on_data(now, segment.seq, payload, fin, out);
        }
        self.finish(now, out);
    }

    /// Sends what may leave, then a bare acknowledgement if one is due and nothing carried it.
    pub(super) fn finish(&mut self, now: Instant, out: &mut Output) {
        self.transmit(now, false, out);
        if self.acknowledge_now && self.state != State::Closed {
            self.send_acknowledgement(out);
        }
    }

    /// Sends a segment that carries no data and uses no sequence number.
    pub(super) fn send_acknowledgement(&mut self, out: &mut Output) {
        self.emit(self.send_next, Flags::ACK, Payload::EMPTY, out);
    }

    /// Answers a segment that does not fit with what we have and expect. Segments that used no number are answered
    /// rarely.
    pub(super) fn challenge(&mut self, now: Instant, carried: bool, out: &mut Output) {
        if carried || self.last_challenge == Instant::START || now - self.last_challenge >= CHALLENGE_INTERVAL {
            if !carried {
                self.last_challenge = now.max(Instant::from_nanos(1));
            }
            self.send_acknowledgement(out);
        }
    }

    /// Leaves a segment with our current acknowledgement, window and (if anything is out of order) blocks.
    #[inline]
    pub(super) fn emit(&mut self, seq: Seq, flags: Flags, payload: Payload, out: &mut Output) {
        let window = self.offer_window();
        let mut options = Options::default();
        if let Some(reassembly) = &self.reassembly
            && self.sack
            && !reassembly.is_empty()
        {
            options.sack = Some(Box::new(reassembly.blocks()));
        }
        self.acknowledge_now = false;
        self.acknowledge_at = Instant::FAR_FUTURE;
        self.acknowledged = self.receive_next;
        out.segments.push(Segment {
            seq,
            ack: self.receive_next,
            flags,
            window,
            packet_payload: self.mss,
            options,
            payload,
        });
    }

    /// Reads a little of everything the next call will need. For hosts that know which connections are next: reading
    /// ahead has memory fetch for many connections at once. The result means nothing.
    #[inline]
    pub fn touch(&self) -> u64 {
        (self.state as u64)
            ^ self.retransmit_at.as_nanos()
            ^ self.last_received.as_nanos()
            ^ u64::from(self.send_next.0 ^ self.receive_edge.0 ^ self.congestion.window ^ self.resent_packets)
            ^ u64::from(self.send_buffer.len() ^ self.receive_buffer.len() ^ self.scoreboard.total())
    }

    /// Reads ahead the bytes that the next acknowledgement will free; see [`Tcb::touch`].
    #[inline]
    pub fn touch_sent(&self) -> u64 {
        self.send_buffer.first().map_or(0, Payload::touch)
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the handshake is done and the connection is not gone.
    pub fn is_connected(&self) -> bool {
        !matches!(self.state, State::SynSent | State::SynReceived | State::Closed)
    }

    /// Payload of one wire packet.
    pub fn mss(&self) -> u16 {
        self.mss
    }

    /// Congestion window in bytes.
    pub fn congestion_window(&self) -> u32 {
        self.congestion.window
    }

    /// Smoothed round-trip time, zero before the first measurement.
    pub fn round_trip_time(&self) -> std::time::Duration {
        self.round_trip.smoothed()
    }

    /// Wire packets sent more than once, handshake included.
    pub fn resent_packets(&self) -> u32 {
        self.resent_packets
    }

    /// Bytes written and not yet acknowledged.
    pub fn send_queue(&self) -> u32 {
        self.send_buffer.len()
    }

    /// Bytes ready to be read.
    pub fn receive_queue(&self) -> u32 {
        self.receive_buffer.len()
    }

    /// Room for bytes to write.
    pub fn send_room(&self) -> u32 {
        self.config.send_buffer.saturating_sub(self.send_buffer.len())
    }
}
