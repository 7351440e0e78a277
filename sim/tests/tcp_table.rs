//! Goodput of our TCP by loss and buffer size, in virtual time, as one readable table.
//!
//! The link has a round trip of 10 ms, no bandwidth limit, and loses each wire packet, data and acknowledgements alike,
//! with the given probability. Beside each figure stands what the formula of Padhye, Firoiu, Towsley and Kurose ("Modeling
//! TCP Reno performance", 2000) predicts for Reno with the same window, round trip, loss and least timeout. Any change of
//! TCP's behaviour shows as a change of this table.
//!
//! Where ours differs from the formula, and why: a small buffer falls short of its limit, for acknowledgements are delayed
//! (RFC 9293 §3.8.6.3) and the window is not always full; from 1 to 15 % ours is faster, for the formula is Reno's, which
//! takes a timeout for most windows that lose two packets, where selective acknowledgements (RFC 6675) repair them
//! within a round trip; above that ours is slower, for acknowledgements are lost here as well as data, which the formula
//! leaves out, and repeated timeouts back off to 120 s (RFC 6298 §5.5) where the formula stops at 64 timeouts of 0.2 s.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::{Instant, Rng};
use sim::tcp::{Output, Tcb, TcpConfig, split};
use sim::wire::{Payload, Segment, Seq};

const ONE_WAY: Duration = Duration::from_millis(5);
const SPAN: Duration = Duration::from_secs(120);
const ENOUGH: u64 = 64 << 20;
const MSS: f64 = 1460.0;

struct Link {
    now: Instant,
    loss: f64,
    rng: Rng,
    wire: BTreeMap<(Instant, u64), (usize, Segment)>,
    order: u64,
    out: Output,
    packets: u64,
}

impl Link {
    /// Sends what an end left, losing packets one by one.
    fn carry(&mut self, to: usize) {
        for segment in std::mem::take(&mut self.out.segments) {
            self.packets += u64::from(segment.wire_packets());
            if self.loss == 0.0 {
                self.put(to, segment);
                continue;
            }
            for packet in split(segment) {
                if self.rng.unit() >= self.loss {
                    self.put(to, packet);
                }
            }
        }
    }

    fn put(&mut self, to: usize, segment: Segment) {
        self.order += 1;
        self.wire.insert((self.now + ONE_WAY, self.order), (to, segment));
    }
}

struct Outcome {
    bytes_per_second: f64,
    resent_share: f64,
}

fn transfer(loss: f64, buffer: u32) -> Outcome {
    let config = Arc::new(TcpConfig {
        send_buffer: buffer,
        receive_buffer: buffer,
        data_retries: u8::MAX,
        ..TcpConfig::default()
    });
    let mut link = Link {
        now: Instant::START,
        loss: 0.0,
        rng: Rng::from_number(1),
        wire: BTreeMap::new(),
        order: 0,
        out: Output::default(),
        packets: 0,
    };
    let mut sender = Tcb::open_active(config.clone(), link.now, Seq(1), &mut link.out);
    let syn = link.out.segments.remove(0);
    let mut receiver = Tcb::open_passive(config, link.now, Seq(2), &syn, &mut link.out);
    link.carry(0);
    let block = Payload::copy_from(&vec![0x5a; 64 * 1024]);
    let mut received = 0;
    let mut started = None;
    loop {
        if started.is_none() && sender.is_connected() {
            started = Some(link.now);
            link.loss = loss;
        }
        while sender.is_connected() && sender.send_room() > 0 {
            sender.write_payload(link.now, block.clone(), &mut link.out);
        }
        link.carry(1);
        while let Some(chunk) = receiver.read_chunk(&mut link.out) {
            received += chunk.len() as u64;
        }
        link.carry(0);
        let arrival = link.wire.keys().next().map(|key| key.0);
        let timers = [sender.next_deadline(), receiver.next_deadline()];
        let next = arrival.into_iter().chain(timers.into_iter().flatten()).min().expect("a transfer never rests");
        let elapsed = next - started.unwrap_or(link.now);
        if elapsed > SPAN || received > ENOUGH {
            return Outcome {
                bytes_per_second: received as f64 / (link.now - started.unwrap_or(link.now)).as_secs_f64(),
                resent_share: f64::from(sender.resent_packets()) / link.packets as f64,
            };
        }
        link.now = next;
        if arrival == Some(next)
            && let Some((_, (to, segment))) = link.wire.pop_first()
        {
            let end = if to == 0 { &mut sender } else { &mut receiver };
            end.on_segment(link.now, segment, &mut link.out);
            link.carry(1 - to);
        } else {
            sender.on_timer(link.now, &mut link.out);
            link.carry(1);
            receiver.on_timer(link.now, &mut link.out);
            link.carry(0);
        }
    }
}

/// Bytes a second of Reno (equation 32 of the paper, one acknowledgement a packet).
fn predicted(loss: f64, buffer: u32) -> f64 {
    let (round_trip, timeout) = (2.0 * ONE_WAY.as_secs_f64(), 0.2);
    let limit = f64::from(buffer) / round_trip;
    if loss == 0.0 {
        return limit;
    }
    let fast = round_trip * (2.0 * loss / 3.0).sqrt();
    let slow = timeout * (3.0 * (3.0 * loss / 8.0).sqrt()).min(1.0) * loss * (1.0 + 32.0 * loss * loss);
    limit.min(MSS / (fast + slow))
}

#[test]
fn goodput_by_loss_and_buffer() {
    let buffers = [8 << 10, 64 << 10, 1 << 20];
    let mut table = String::from("kB/s of payload (predicted), packets resent\n\n  loss |");
    for buffer in buffers {
        write!(table, "{:>25} KiB |", buffer >> 10).unwrap();
    }
    table.push('\n');
    for loss in [0.0, 0.001, 0.01, 0.03, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30] {
        write!(table, "{:>5}% |", loss * 100.0).unwrap();
        for buffer in buffers {
            let outcome = transfer(loss, buffer);
            let ratio = outcome.bytes_per_second / predicted(loss, buffer);
            assert!((0.4..2.0).contains(&ratio), "{loss} lost, {buffer} bytes of buffer: {ratio} of what is predicted");
            write!(
                table,
                "{:>9.1} ({:>8.1}) {:>6.2}% |",
                outcome.bytes_per_second / 1e3,
                predicted(loss, buffer) / 1e3,
                outcome.resent_share * 100.0
            )
            .unwrap();
        }
        table.push('\n');
    }
    insta::assert_snapshot!(table);
}
