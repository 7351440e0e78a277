use std::time::Duration;

use super::pair::{CLIENT, Fate, Pair, SERVER, pattern};
use crate::tcp::{Changes, ReadState, TcpConfig, WriteState};
use crate::wire::{Flags, Payload};

#[test]
fn a_large_write_leaves_as_one_segment_of_shared_bytes() {
    let mut pair = Pair::connected(TcpConfig::default(), TcpConfig::default());
    let payload = Payload::copy_from(&pattern(14_600));
    let before = payload.as_slice().as_ptr();
    let segments = pair.ends[CLIENT].sent_segments;
    assert_eq!(pair.on(CLIENT, |tcb, now, out| tcb.write_payload(now, payload, out)), 14_600);
    assert_eq!(pair.ends[CLIENT].sent_segments, segments + 1);
    pair.ends[SERVER].reads = false;
    pair.run();
    let chunk = pair.on(SERVER, |tcb, _, out| tcb.read_chunk(out));
    assert_eq!(chunk.map(|chunk| chunk.as_slice().as_ptr()), Some(before));
}

#[test]
fn slow_start_doubles_what_leaves_each_round_trip() {
    let mut pair = Pair::connected(TcpConfig::default(), TcpConfig::default());
    pair.ends[CLIENT].to_write = pattern(1_000_000);
    let start = pair.now;
    while pair.ends[SERVER].read.len() < 1_000_000 {
        assert!(pair.step(start + Duration::from_secs(9)));
    }
    // 14.6 kB, 29.2, 58.4, … : a million bytes take seven rounds, the last one half a round trip.
    let rounds = (pair.now - start).as_millis() / 10;
    assert!((6..=8).contains(&rounds), "{rounds}");
}

#[test]
fn an_answer_carries_the_acknowledgement() {
    let mut pair = Pair::connected(TcpConfig::default(), TcpConfig::default());
    for _ in 0..20 {
        let counts = [pair.ends[CLIENT].sent_segments, pair.ends[SERVER].sent_segments];
        pair.on(CLIENT, |tcb, now, out| tcb.write(now, &[1; 1024], out));
        pair.run_for(Duration::from_millis(5));
        pair.on(SERVER, |tcb, now, out| tcb.write(now, &[2; 1024], out));
        pair.run_for(Duration::from_millis(15));
        let extra = pair.ends[CLIENT].sent_segments + pair.ends[SERVER].sent_segments - counts[0] - counts[1];
        assert!(extra <= 4);
    }
    let counts = pair.ends[CLIENT].sent_segments + pair.ends[SERVER].sent_segments;
    pair.on(CLIENT, |tcb, now, out| tcb.write(now, &[1; 1024], out));
    pair.run_for(Duration::from_millis(5));
    pair.on(SERVER, |tcb, now, out| tcb.write(now, &[2; 1024], out));
    pair.run_for(Duration::from_millis(15));
    assert_eq!(pair.ends[CLIENT].sent_segments + pair.ends[SERVER].sent_segments - counts, 2);
}

#[test]
fn a_lone_segment_is_acknowledged_after_forty_milliseconds() {
    let config = TcpConfig { quick_acknowledgements: 0, ..TcpConfig::default() };
    let mut pair = Pair::connected(config.clone(), config);
    let start = pair.now;
    pair.on(CLIENT, |tcb, now, out| tcb.write(now, b"x", out));
    pair.run();
    assert_eq!(pair.now - start, Duration::from_millis(50));
    assert_eq!(pair.ends[CLIENT].tcb.send_queue(), 0);
}

#[test]
fn an_unread_receiver_stops_the_sender_and_reading_starts_it_again() {
    let server = TcpConfig { receive_buffer: 10_000, ..TcpConfig::default() };
    let client = TcpConfig { send_buffer: 20_000, ..TcpConfig::default() };
    let mut pair = Pair::connected(client, server);
    pair.ends[SERVER].reads = false;
    pair.ends[CLIENT].to_write = pattern(100_000);
    pair.run_for(Duration::from_secs(300));
    assert!(pair.ends[SERVER].tcb.receive_queue() <= 10_000);
    assert!(pair.ends[SERVER].tcb.receive_queue() > 10_000 - 1460);
    assert_eq!(pair.ends[CLIENT].tcb.send_queue(), 20_000);
    assert_eq!(pair.ends[CLIENT].tcb.write_state(), WriteState::Full);
    assert_eq!(pair.ends[CLIENT].tcb.close_reason(), None, "an answered probe is no reason to give up");
    pair.ends[CLIENT].changes = Changes::NONE;
    pair.ends[SERVER].reads = true;
    pair.run();
    assert!(pair.ends[CLIENT].changes.has(Changes::WRITABLE));
    assert_eq!(pair.ends[SERVER].read, pair.ends[CLIENT].to_write);
}

#[test]
fn a_lost_window_update_is_found_by_a_probe() {
    let server = TcpConfig { receive_buffer: 8_192, ..TcpConfig::default() };
    let mut pair = Pair::connected(TcpConfig::default(), server);
    pair.ends[SERVER].reads = false;
    pair.ends[CLIENT].to_write = pattern(50_000);
    pair.run_for(Duration::from_secs(1));
    let mut dropped = 0;
    pair.network = Box::new(move |_, _| {
        dropped += 1;
        Fate { drop: dropped <= 2, ..Fate::default() }
    });
    pair.ends[SERVER].reads = true;
    pair.run();
    assert_eq!(pair.ends[SERVER].read, pair.ends[CLIENT].to_write);
}

#[test]
fn tiny_reads_do_not_make_tiny_segments() {
    let server = TcpConfig { receive_buffer: 4_096, ..TcpConfig::default() };
    let mut pair = Pair::connected(TcpConfig::default(), server);
    pair.ends[SERVER].reads = false;
    pair.ends[CLIENT].to_write = pattern(40_000);
    pair.network = Box::new(|_, segment| {
        let length = segment.payload.len();
        assert!(length == 0 || length >= 1_000 || segment.flags.contains(Flags::PSH), "{length} bytes");
        Fate::default()
    });
    let mut read = Vec::new();
    while read.len() < 40_000 {
        let mut byte = [0; 7];
        let count = pair.on(SERVER, |tcb, _, out| tcb.read(&mut &mut byte[..], out));
        read.extend_from_slice(&byte[..count]);
        pair.run_for(Duration::from_millis(if count == 0 { 500 } else { 0 }));
    }
    assert_eq!(read, pair.ends[CLIENT].to_write);
}

#[test]
fn a_buffer_smaller_than_a_segment_still_works() {
    let server = TcpConfig { receive_buffer: 100, ..TcpConfig::default() };
    let client = TcpConfig { send_buffer: 64, ..TcpConfig::default() };
    let mut pair = Pair::connected(client, server);
    pair.ends[CLIENT].to_write = pattern(5_000);
    pair.ends[CLIENT].finish = true;
    pair.run();
    assert_eq!(pair.ends[SERVER].read, pair.ends[CLIENT].to_write);
    assert_eq!(pair.ends[SERVER].tcb.read_state(), ReadState::End);
}

#[test]
fn nagle_holds_small_writes_back_until_the_first_is_acknowledged() {
    let nagle = TcpConfig { nagle: true, ..TcpConfig::default() };
    for (config, expected) in [(nagle, 2), (TcpConfig::default(), 10)] {
        let mut pair = Pair::connected(config, TcpConfig::default());
        let before = pair.ends[CLIENT].sent_segments;
        for _ in 0..10 {
            pair.on(CLIENT, |tcb, now, out| tcb.write(now, b"word", out));
        }
        pair.run();
        assert_eq!(pair.ends[CLIENT].sent_segments - before, expected);
        assert_eq!(pair.ends[SERVER].read.len(), 40);
    }
}

#[test]
fn a_rested_connection_starts_slowly_again() {
    let mut pair = Pair::connected(TcpConfig::default(), TcpConfig::default());
    pair.ends[CLIENT].to_write = pattern(500_000);
    pair.run();
    assert!(pair.ends[CLIENT].tcb.congestion_window() > 100_000);
    pair.now += Duration::from_secs(5);
    pair.ends[CLIENT].to_write.extend(pattern(500_000));
    pair.applications();
    assert_eq!(pair.ends[CLIENT].tcb.congestion_window(), 14_600);
    pair.run();
    assert_eq!(pair.ends[SERVER].read.len(), 1_000_000);
}

#[test]
fn sequence_numbers_wrap_under_a_large_window() {
    let mut pair = Pair::numbered(TcpConfig::default(), TcpConfig::default(), u32::MAX - 100_000, u32::MAX - 3);
    pair.run();
    pair.ends[CLIENT].to_write = pattern(3_000_000);
    pair.ends[SERVER].to_write = pattern(3_000_000);
    pair.run();
    assert_eq!(pair.ends[SERVER].read, pair.ends[CLIENT].to_write);
    assert_eq!(pair.ends[CLIENT].read, pair.ends[SERVER].to_write);
}
