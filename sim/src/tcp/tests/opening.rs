use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;

use super::pair::{CLIENT, Fate, Pair, SERVER};
use crate::tcp::{Changes, CloseReason, Output, State, Tcb, TcpConfig, reset_for};
use crate::wire::{Flags, Segment, Seq};

#[test]
fn three_segments_open_a_connection() {
    let pair = Pair::connected(TcpConfig::default(), TcpConfig::default());
    for end in &pair.ends {
        assert_eq!(end.tcb.state(), State::Established);
        assert!(end.changes.has(Changes::CONNECTED));
        assert_eq!(end.tcb.round_trip_time(), Duration::from_millis(10));
        assert_eq!(end.tcb.next_deadline(), None);
    }
    assert_eq!((pair.ends[CLIENT].sent_segments, pair.ends[SERVER].sent_segments), (2, 1));
}

#[test]
fn lost_syn_is_resent_with_doubling_waits() {
    let mut out = Output::default();
    let start = Instant::START;
    let mut tcb = Tcb::open_active(Arc::new(TcpConfig::default()), start, Seq(5), &mut out);
    let mut waits = Vec::new();
    let mut last = start;
    while let Some(at) = tcb.next_deadline() {
        waits.push((at - last).as_secs());
        last = at;
        out.clear();
        tcb.on_timer(at, &mut out);
        assert!(out.segments.iter().all(|segment| segment.flags == Flags::SYN && segment.seq == Seq(5)));
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(tcb.close_reason(), Some(CloseReason::TimedOut));
}

#[test]
fn every_segment_of_the_handshake_may_be_lost_once() {
    for lost in 0..3 {
        let mut sent = 0;
        let mut pair = Pair::new(TcpConfig::default(), TcpConfig::default()).seeded(1, move |_, _| {
            sent += 1;
            // The client's first SYN left before this network was installed.
            Fate { drop: sent == lost + 1, ..Fate::default() }
        });
        pair.ends[CLIENT].to_write = b"hello".to_vec();
        pair.run();
        assert_eq!(pair.ends[SERVER].read, b"hello", "segment {lost} lost");
    }
}

#[test]
fn reset_refuses_only_with_the_right_acknowledgement() {
    let mut out = Output::default();
    let mut tcb = Tcb::open_active(Arc::new(TcpConfig::default()), Instant::START, Seq(5), &mut out);
    let refusal = reset_for(&out.segments[0]).unwrap_or_default();
    out.clear();
    tcb.on_segment(Instant::START, Segment { ack: Seq(99), ..refusal.clone() }, &mut out);
    assert_eq!(tcb.state(), State::SynSent);
    tcb.on_segment(Instant::START, refusal, &mut out);
    assert_eq!(tcb.close_reason(), Some(CloseReason::Refused));
    assert!(out.changes.has(Changes::CLOSED));
}

#[test]
fn unreachable_ends_dialling_but_not_a_connection() {
    let mut pair = Pair::new(TcpConfig::default(), TcpConfig::default());
    pair.on(CLIENT, |tcb, _, out| tcb.on_unreachable(out));
    assert_eq!(pair.ends[CLIENT].tcb.close_reason(), Some(CloseReason::Unreachable));
    let mut pair = Pair::connected(TcpConfig::default(), TcpConfig::default());
    pair.on(CLIENT, |tcb, _, out| tcb.on_unreachable(out));
    assert_eq!(pair.ends[CLIENT].tcb.state(), State::Established);
}

#[test]
fn both_sides_may_dial_at_once() {
    let mut pair = Pair::numbered(TcpConfig::default(), TcpConfig::default(), u32::MAX, 77);
    let mut out = Output::default();
    let server = Tcb::open_active(Arc::new(TcpConfig::default()), pair.now, Seq(77), &mut out);
    pair.add(server);
    pair.on(SERVER, |_, _, real| real.segments.append(&mut out.segments));
    pair.ends[CLIENT].to_write = b"from one".to_vec();
    pair.ends[SERVER].to_write = b"from the other".to_vec();
    pair.run();
    assert_eq!(pair.ends[SERVER].read, b"from one");
    assert_eq!(pair.ends[CLIENT].read, b"from the other");
    assert!(pair.ends.iter().all(|end| end.tcb.state() == State::Established));
}

#[test]
fn the_smaller_segment_size_and_missing_options_win() {
    let small = TcpConfig {
        mss: 500,
        window_scaling: false,
        selective_acknowledgements: false,
        receive_buffer: 1 << 20,
        ..TcpConfig::default()
    };
    let mut pair = Pair::connected(TcpConfig::default(), small);
    assert_eq!((pair.ends[CLIENT].tcb.mss(), pair.ends[SERVER].tcb.mss()), (500, 500));
    pair.ends[CLIENT].to_write = super::pair::pattern(300_000);
    pair.ends[SERVER].to_write = super::pair::pattern(300_000);
    pair.run();
    assert_eq!(pair.ends[SERVER].read, pair.ends[CLIENT].to_write);
    assert_eq!(pair.ends[CLIENT].read, pair.ends[SERVER].to_write);
}

#[test]
fn a_connection_is_compact() {
    assert!(size_of::<Tcb>() <= 480, "{}", size_of::<Tcb>());
    assert!(size_of::<Segment>() <= 72, "{}", size_of::<Segment>());
}
