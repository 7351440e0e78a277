//! What goes wrong does so exactly as told, and TCP survives it.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Pair, at};
use parking_lot::Mutex;
use proxy_core::host::{Dial, Host};
use sim::fabric::{Effect, Latency, LinkEnd, Scope};
use sim::node::{KillMode, WhilePaused};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PORT: u16 = 7;

/// What came of sending bytes to an echo server: when it was over, and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Echoed {
    seconds: u64,
    result: Result<Vec<u8>, std::io::ErrorKind>,
}

fn payload(length: usize) -> Vec<u8> {
    (0..length as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Sends `length` bytes and reads as many back.
fn echo(pair: &Pair, length: usize) -> Arc<Mutex<Option<Echoed>>> {
    let outcome = Arc::new(Mutex::new(None));
    let (place, host) = (outcome.clone(), pair.client.clone());
    pair.client.spawn("client", async move {
        let exchange = async {
            let stream = host.dial(Dial::to(at("10.0.1.1:7"))).await?;
            let (mut read, mut write) = tokio::io::split(stream);
            let writer = host.clone();
            writer.spawn("writer", async move {
                let _ = write.write_all(&payload(length)).await;
                // Kept open until the reader has everything.
                std::future::pending::<()>().await;
            });
            let mut back = vec![0; length];
            read.read_exact(&mut back).await?;
            Ok(back)
        };
        let result = exchange.await.map_err(|error: std::io::Error| error.kind());
        *place.lock() = Some(Echoed { seconds: host.now().as_nanos() / 1_000_000_000, result });
    });
    outcome
}

fn run_for(pair: &Pair, seconds: u64) {
    pair.sim.run_for(Duration::from_secs(seconds)).expect("runs");
}

fn everywhere() -> Scope {
    Scope::default()
}

fn counter(pair: &Pair, name: &str) -> u64 {
    pair.sim.counters().get(name).copied().unwrap_or_default()
}

#[test]
fn whatever_loses_doubles_or_shuffles_packets_no_byte_changes_and_nothing_hangs() {
    let bursts = Effect::Bursts { begin: 0.02, end: 0.25, good: 0.0, bad: 1.0 };
    let held = Effect::Reorder { share: 0.2, by: 3_000_000 };
    let jitter = Latency::Uniform { from: Duration::ZERO, to: Duration::from_millis(5) };
    let all: [&[Effect]; 8] = [
        &[Effect::Loss(0.05)],
        &[Effect::Loss(0.3)],
        &[bursts],
        &[held],
        &[Effect::Duplicate(0.3)],
        &[Effect::Delay(jitter)],
        &[Effect::Bandwidth { rate: 2_000_000, queue: 16_384 }],
        &[Effect::Loss(0.1), held, Effect::Duplicate(0.1), Effect::Delay(jitter)],
    ];
    for (number, effects) in all.into_iter().enumerate() {
        for seed in 1..=3 {
            let pair = Pair::new(seed);
            pair.serve_echo(PORT);
            for (index, effect) in effects.iter().enumerate() {
                pair.sim.impair(&format!("test/{index}"), everywhere(), *effect);
            }
            let echoed = echo(&pair, 100_000);
            run_for(&pair, 600);
            let echoed = echoed.lock().clone().unwrap_or_else(|| panic!("effects {number}, seed {seed}: it hangs"));
            // With almost a third lost, TCP may give up after fifteen tries; what it must not do is wait for ever.
            match echoed.result {
                Ok(back) => assert!(back == payload(100_000), "effects {number}, seed {seed}: other bytes"),
                Err(error) => assert_eq!((number, error), (1, std::io::ErrorKind::TimedOut)),
            }
        }
    }
}

#[test]
fn what_is_wrong_is_wrong_from_then_to_then_and_every_lost_packet_is_accounted_for() {
    let pair = Pair::new(1);
    pair.serve_echo(PORT);
    let cut = pair.sim.impair("cut", everywhere(), Effect::Cut);
    let echoed = echo(&pair, 1000);
    run_for(&pair, 2);
    assert_eq!(*echoed.lock(), None);
    let lost = counter(&pair, "packets_dropped.partition");
    assert!(lost >= 2, "the SYN and its repetition");
    pair.sim.mend(cut);
    run_for(&pair, 10);
    assert_eq!(echoed.lock().clone().map(|it| it.result), Some(Ok(payload(1000))));
    assert_eq!(counter(&pair, "packets_dropped.partition"), lost);
    let delivered = counter(&pair, "packets_delivered");
    assert_eq!(counter(&pair, "packets_sent"), delivered + lost, "nothing else was lost");
}

#[test]
fn a_one_way_cut_stops_one_way_only() {
    let pair = Pair::new(1);
    pair.serve_echo(PORT);
    let from = Some(vec![LinkEnd::Node(pair.nodes[1])]);
    let answers = Scope { from, to: Some(vec![LinkEnd::Node(pair.nodes[0])]), one_way: true, port: None };
    pair.sim.impair("cut", answers, Effect::Cut);
    let echoed = echo(&pair, 10);
    run_for(&pair, 5);
    assert_eq!(*echoed.lock(), None);
    assert!(counter(&pair, "packets_delivered") > 0, "requests arrive");
    let elsewhere = Scope { port: Some(8), ..everywhere() };
    let other = Pair::new(1);
    other.serve_echo(PORT);
    other.sim.impair("cut", elsewhere, Effect::Cut);
    let echoed = echo(&other, 10);
    run_for(&other, 1);
    assert!(echoed.lock().clone().is_some_and(|it| it.result.is_ok()), "another port is not concerned");
}

#[test]
fn corruption_changes_bytes_and_is_counted() {
    let pair = Pair::new(1);
    pair.serve_echo(PORT);
    pair.sim.impair("corrupt", everywhere(), Effect::Corrupt(1.0));
    let echoed = echo(&pair, 1000);
    run_for(&pair, 5);
    let back = echoed.lock().clone().expect("an answer").result.expect("nobody notices");
    let wrong = back.iter().zip(payload(1000)).filter(|(one, other)| **one != *other).count();
    assert!((1..=4).contains(&wrong), "{wrong} bytes differ");
    assert!(counter(&pair, "packets_corrupted") >= 2);
}

#[test]
fn what_a_fault_draws_shifts_nobody_elses_draws() {
    let jitter = Latency::Uniform { from: Duration::from_micros(100), to: Duration::from_micros(900) };
    let sampled = |with_fault: bool| {
        let pair = Pair::new(5);
        if with_fault {
            let nowhere = Scope { port: Some(9), ..everywhere() };
            pair.sim.impair("idle", nowhere, Effect::Loss(0.5));
        }
        let mut rng = pair.sim.rng("somebody");
        (0..4).map(|_| jitter.sample(&mut rng)).collect::<Vec<_>>()
    };
    assert_eq!(sampled(true), sampled(false));
}

#[test]
fn a_node_that_stands_still_keeps_what_comes_or_loses_it() {
    for (packets, second) in [(WhilePaused::Queue, 3), (WhilePaused::Drop, 3)] {
        let pair = Pair::new(1);
        pair.serve_echo(PORT);
        pair.sim.pause(pair.nodes[1], &[&pair.server], packets);
        let echoed = echo(&pair, 10);
        run_for(&pair, 3);
        assert_eq!(*echoed.lock(), None);
        assert_eq!(counter(&pair, "packets_delivered"), 0);
        pair.sim.resume(pair.nodes[1], &[&pair.server]);
        run_for(&pair, 10);
        let echoed = echoed.lock().clone().expect("an answer");
        assert_eq!(echoed, Echoed { seconds: second, result: Ok(payload(10)) }, "{packets:?}");
        let lost = counter(&pair, "packets_dropped.node_down");
        assert_eq!(lost > 0, packets == WhilePaused::Drop);
    }
}

#[test]
fn a_process_that_stands_still_is_acknowledged_for_and_reads_nothing() {
    let pair = Pair::new(1);
    pair.serve_echo(PORT);
    pair.sim.run_for(Duration::from_millis(1)).expect("runs");
    pair.sim.set_paused(&pair.server, true);
    let echoed = echo(&pair, 10);
    run_for(&pair, 5);
    assert_eq!(*echoed.lock(), None);
    assert_eq!(counter(&pair, "connections_accepted"), 0);
    assert!(counter(&pair, "packets_delivered") >= 3, "its kernel answers");
    pair.sim.set_paused(&pair.server, false);
    run_for(&pair, 1);
    assert!(echoed.lock().clone().is_some_and(|it| it.result.is_ok()));
}

#[test]
fn a_node_without_power_answers_nothing_and_after_boot_resets_what_it_no_longer_knows() {
    let pair = Pair::new(1);
    pair.serve_echo(PORT);
    let first = echo(&pair, 10);
    run_for(&pair, 1);
    assert!(first.lock().clone().is_some_and(|it| it.result.is_ok()));
    let stuck = echo(&pair, 1_000_000);
    pair.sim.run_for(Duration::from_micros(1200)).expect("runs");
    pair.sim.cut_power(pair.nodes[1]);
    pair.server.kill(KillMode::Silent);
    pair.sim.wipe(pair.server_namespace);
    run_for(&pair, 5);
    assert_eq!(*stuck.lock(), None, "nobody told the client");
    pair.sim.resume(pair.nodes[1], &[]);
    run_for(&pair, 60);
    assert_eq!(stuck.lock().clone().map(|it| it.result), Some(Err(std::io::ErrorKind::ConnectionReset)));
}

#[test]
fn a_slow_reader_reads_at_its_rate_and_a_stuck_one_not_at_all() {
    for (rate, within) in [(0, None), (10_000, Some(8..=14)), (1_000_000, Some(0..=1))] {
        let pair = Pair::new(1);
        pair.serve_echo(PORT);
        pair.sim.slow_reads(&pair.server, Some(rate));
        let echoed = echo(&pair, 100_000);
        run_for(&pair, 30);
        let seconds = echoed.lock().clone().map(|it| it.seconds);
        match within {
            None => assert_eq!(seconds, None),
            Some(range) => assert!(seconds.is_some_and(|it| range.contains(&it)), "{rate} B/s: {seconds:?}"),
        }
        pair.sim.slow_reads(&pair.server, None);
        run_for(&pair, 5);
        assert_eq!(echoed.lock().clone().map(|it| it.result), Some(Ok(payload(100_000))));
    }
}
