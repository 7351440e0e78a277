use std::time::Duration;

use proxy_core::host::Keepalive;

use super::pair::{CLIENT, Fate, Pair, SERVER};
use crate::tcp::{CloseReason, State, TcpConfig};

fn cut(pair: &mut Pair) {
    pair.network = Box::new(|_, _| Fate { drop: true, ..Fate::default() });
}

#[test]
fn a_vanished_peer_times_out_after_the_configured_retries() {
    let config = TcpConfig { data_retries: 5, ..TcpConfig::default() };
    let mut pair = Pair::connected(config.clone(), config);
    cut(&mut pair);
    let start = pair.now;
    pair.on(CLIENT, |tcb, now, out| tcb.write(now, b"hello?", out));
    pair.run();
    assert_eq!(pair.ends[CLIENT].tcb.close_reason(), Some(CloseReason::TimedOut));
    // 200 ms doubling: 0.2 + 0.4 + 0.8 + 1.6 + 3.2 + 6.4.
    assert_eq!(pair.now - start, Duration::from_millis(12_600));
}

#[test]
fn a_window_shut_by_a_vanished_peer_times_out() {
    let config = TcpConfig { data_retries: 5, ..TcpConfig::default() };
    let mut pair = Pair::connected(config, TcpConfig { receive_buffer: 4_000, ..TcpConfig::default() });
    pair.ends[SERVER].reads = false;
    pair.ends[CLIENT].to_write = vec![1; 20_000];
    pair.run_for(Duration::from_secs(30));
    cut(&mut pair);
    pair.run();
    assert_eq!(pair.ends[CLIENT].tcb.close_reason(), Some(CloseReason::TimedOut));
}

#[test]
fn keepalive_finds_a_vanished_peer_and_leaves_a_live_one_alone() {
    let keepalive = Keepalive { idle: Duration::from_secs(10), interval: Duration::from_secs(2), probes: 3 };
    let mut pair = Pair::connected(TcpConfig::default(), TcpConfig::default());
    pair.on(CLIENT, |tcb, _, _| tcb.set_keepalive(Some(keepalive)));
    pair.run_for(Duration::from_secs(600));
    assert_eq!(pair.ends[CLIENT].tcb.state(), State::Established);
    assert!(!pair.ends[CLIENT].changes.has(crate::tcp::Changes::CLOSED));
    assert!((58..=62).contains(&pair.ends[CLIENT].sent_segments));
    cut(&mut pair);
    let start = pair.now;
    pair.run();
    assert_eq!(pair.ends[CLIENT].tcb.close_reason(), Some(CloseReason::TimedOut));
    let elapsed = pair.now - start;
    assert!(elapsed <= Duration::from_secs(16), "{elapsed:?}");
    // The idle server has noticed nothing: it has nobody to ask for.
    assert_eq!(pair.ends[SERVER].tcb.state(), State::Established);
}

#[test]
fn an_idle_connection_has_no_deadline() {
    let mut pair = Pair::connected(TcpConfig::default(), TcpConfig::default());
    pair.on(CLIENT, |tcb, now, out| tcb.write(now, b"word", out));
    pair.run();
    assert!(pair.ends.iter().all(|end| end.tcb.next_deadline().is_none()));
    pair.on(CLIENT, |tcb, _, _| tcb.set_keepalive(Some(Keepalive::default())));
    let deadline = pair.ends[CLIENT].tcb.next_deadline();
    assert!(deadline.is_some_and(|at| at - pair.now >= Duration::from_secs(179)));
}
