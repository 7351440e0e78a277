use std::time::Duration;

use super::pair::{CLIENT, Fate, Pair, SERVER, pattern};
use crate::tcp::TcpConfig;
use crate::wire::Segment;

fn without_sack() -> TcpConfig {
    TcpConfig { selective_acknowledgements: false, ..TcpConfig::default() }
}

/// Sends `count` bytes over a connection that loses the data packets whose place (from 0, resent ones too) is in `lost`;
/// returns the time taken in milliseconds and the packets resent.
fn transfer(config: TcpConfig, count: usize, lost: &'static [u32]) -> (u128, u32) {
    let mut pair = Pair::connected(config.clone(), config);
    let mut place = 0;
    pair.network = Box::new(move |_, segment: &Segment| {
        if segment.payload.is_empty() {
            return Fate::default();
        }
        place += 1;
        Fate { drop: lost.contains(&(place - 1)), ..Fate::default() }
    });
    pair.ends[CLIENT].to_write = pattern(count);
    let start = pair.now;
    pair.run();
    assert_eq!(pair.ends[SERVER].read, pair.ends[CLIENT].to_write);
    ((pair.now - start).as_millis(), pair.ends[CLIENT].tcb.resent_packets())
}

#[test]
fn one_lost_packet_is_resent_within_a_round_trip() {
    for config in [TcpConfig::default(), without_sack()] {
        let (clean, _) = transfer(config.clone(), 14_600, &[]);
        let (lossy, resent) = transfer(config, 14_600, &[3]);
        assert_eq!(resent, 1);
        assert!(lossy <= clean + 20, "{lossy} ms against {clean} ms");
    }
}

#[test]
fn several_lost_packets_need_no_timeout() {
    let (elapsed, resent) = transfer(TcpConfig::default(), 14_600, &[0, 2, 5]);
    assert_eq!(resent, 3);
    assert!(elapsed < 100, "{elapsed} ms");
    // Without selective acknowledgements: one a round trip (RFC 6582).
    let (elapsed, resent) = transfer(without_sack(), 14_600, &[0, 2, 5]);
    assert_eq!(resent, 3);
    assert!(elapsed < 100, "{elapsed} ms");
}

#[test]
fn a_lost_tail_needs_a_timeout() {
    let (elapsed, resent) = transfer(TcpConfig::default(), 14_600, &[9]);
    assert_eq!(resent, 1);
    assert!((200..300).contains(&elapsed), "{elapsed} ms");
}

#[test]
fn a_resent_packet_lost_again_needs_a_timeout() {
    let (elapsed, _) = transfer(TcpConfig::default(), 14_600, &[3, 10]);
    assert!((200..300).contains(&elapsed), "{elapsed} ms");
}

#[test]
fn everything_lost_once_is_recovered_in_slow_start() {
    let (elapsed, resent) = transfer(TcpConfig::default(), 14_600, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(resent, 10);
    assert!((200..300).contains(&elapsed), "{elapsed} ms");
}

#[test]
fn mild_reordering_resends_nothing() {
    let mut pair = Pair::connected(TcpConfig::default(), TcpConfig::default());
    let mut place = 0;
    pair.network = Box::new(move |_, _| {
        place += 1;
        Fate { extra_delay: Duration::from_micros(if place % 5 == 0 { 2 } else { 0 }), ..Fate::default() }
    });
    // Two packets at most are overtaken: each write is two packets.
    for _ in 0..50 {
        pair.on(CLIENT, |tcb, now, out| tcb.write(now, &[7; 2_920], out));
        pair.run_for(Duration::from_millis(20));
    }
    assert_eq!(pair.ends[SERVER].read.len(), 50 * 2_920);
    assert_eq!(pair.ends[CLIENT].tcb.resent_packets(), 0);
}

#[test]
fn duplicates_deliver_nothing_twice() {
    for config in [TcpConfig::default(), without_sack()] {
        let mut pair = Pair::connected(config.clone(), config);
        pair.network = Box::new(|_, _| Fate { duplicate: true, ..Fate::default() });
        pair.ends[CLIENT].to_write = pattern(200_000);
        pair.run();
        assert_eq!(pair.ends[SERVER].read, pair.ends[CLIENT].to_write);
    }
}

#[test]
fn a_timeout_halves_the_threshold_and_restarts_from_one_packet() {
    let mut pair = Pair::connected(TcpConfig::default(), TcpConfig::default());
    pair.ends[CLIENT].to_write = pattern(14_600);
    pair.network = Box::new(|_, _| Fate { drop: true, ..Fate::default() });
    pair.run_for(Duration::from_millis(250));
    assert_eq!(pair.ends[CLIENT].tcb.congestion_window(), 1_460);
    pair.network = Box::new(|_, _| Fate::default());
    pair.run();
    assert_eq!(pair.ends[SERVER].read.len(), 14_600);
}
