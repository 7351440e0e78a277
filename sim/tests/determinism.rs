//! The same seed makes the same run, another seed another one; streams of chance do not disturb each other.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Pair, at};
use parking_lot::Mutex;
use proxy_core::host::{Dial, Host};
use sim::fabric::{Latency, Link, LinkTable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A busy run: jitter, loss, draws, many tasks. Returns digest, counters, and the order in which clients finished.
fn run(pair: &Pair) -> (String, String, Vec<u32>) {
    let latency = Latency::Uniform { from: Duration::from_micros(50), to: Duration::from_micros(400) };
    let link = Link { latency, loss: 0.01, ..Link::with_latency(Duration::ZERO) };
    pair.sim.set_links(LinkTable { cross_node: link, ..LinkTable::default() });
    pair.serve_echo(80);
    let finished = Arc::new(Mutex::new(Vec::new()));
    for number in 0..30 {
        let (client, finished) = (pair.client.clone(), Arc::clone(&finished));
        pair.client.spawn("client", async move {
            let mut draw = [0; 8];
            client.fill_random("client", &mut draw);
            let mut stream = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect("connects");
            stream.write_all(&draw.repeat(500)).await.expect("writes");
            let mut back = [0; 4000];
            stream.read_exact(&mut back).await.expect("reads");
            finished.lock().push(number);
        });
    }
    pair.sim.run_until_idle().expect("finishes");
    let order = finished.lock().clone();
    (pair.sim.digest().to_string(), format!("{:?}", pair.sim.counters()), order)
}

#[test]
fn one_seed_one_run_and_another_seed_another() {
    let first = run(&Pair::new(7));
    assert_eq!(first, run(&Pair::new(7)));
    assert_ne!(first.0, run(&Pair::new(8)).0);
}

#[test]
fn a_drawn_task_order_repeats_and_differs_from_the_order_of_waking() {
    let seeded = run(&Pair::seeded_order(7));
    assert_eq!(seeded, run(&Pair::seeded_order(7)));
    assert_ne!(seeded.2, run(&Pair::seeded_order(8)).2);
    assert_ne!(seeded.0, run(&Pair::new(7)).0);
}

#[test]
fn one_process_drawing_more_does_not_shift_another() {
    let draw = |extra: usize| {
        let pair = Pair::new(5);
        pair.server.fill_random("tls", &mut vec![0; extra]);
        let mut seen = [0; 16];
        pair.client.fill_random("tls", &mut seen);
        (seen, pair.sim.digest().to_string())
    };
    let ((few, few_digest), (many, many_digest)) = (draw(1), draw(1000));
    assert_eq!(few, many);
    assert_ne!(few_digest, many_digest, "every draw is in the fingerprint");
}

#[test]
fn a_restarted_process_draws_anew() {
    let pair = Pair::new(5);
    let again = pair.sim.process(pair.client_namespace, "client");
    let (mut first, mut second) = ([0; 16], [0; 16]);
    pair.client.fill_random("tls", &mut first);
    again.fill_random("tls", &mut second);
    assert_ne!(first, second);
}

#[test]
fn another_process_at_another_log_level_runs_the_same() {
    let here = run(&Pair::new(1)).0;
    if std::env::var_os("MESHSIM_PRINT_FINGERPRINT").is_some() {
        println!("fingerprint={here}=");
        return;
    }
    let this_test = std::env::current_exe().expect("the test binary has a path");
    let output = std::process::Command::new(this_test)
        .args(["--exact", "another_process_at_another_log_level_runs_the_same", "--nocapture"])
        .envs([("MESHSIM_PRINT_FINGERPRINT", "1"), ("RUST_LOG", "trace")])
        .output()
        .expect("runs itself");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.split('=').nth(1), Some(here.as_str()), "{text}");
}
