//! The workload every engine can run: half of the hosts send 1 KiB every 10 ms to the other half, which echo it. The pairs
//! are spread evenly over the 10 ms, as clients that know nothing of each other are.
//!
//! One packet takes 1 ms each way on our fabric, as it does at least on the two others, whose clocks tick in
//! milliseconds. Each engine runs for as much virtual time as takes it a moment; speed is virtual seconds per wall second
//! (see [`crate::stopwatch`]) after connections are open. Engines that cannot run a size in reasonable time sit it out.

mod application;
mod fabric;
mod turmoil_engine;
mod turmoil_net_engine;

use std::collections::BTreeMap;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

/// Bytes of one message.
pub const MESSAGE: usize = 1024;
/// Time between messages of a pair.
pub const PERIOD: Duration = Duration::from_millis(10);
/// Virtual time before measuring: connections open.
pub const WARM_UP: Duration = Duration::from_millis(100);
/// The echoing port.
pub const PORT: u16 = 7000;

/// What one run did.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// What the measured span took, by [`crate::stopwatch::Stopwatch`].
    pub worked: Duration,
    /// Round trips completed in it.
    pub echoes: u64,
}

/// A way to run the workload: `hosts` hosts for `span` of virtual time after [`WARM_UP`].
type Engine = fn(hosts: usize, span: Duration) -> Outcome;

/// Numbers of hosts, and the milliseconds of virtual time an engine is given at each.
type Sizes = &'static [(usize, u64)];

/// What is compared.
const ENGINES: [(&str, Engine, Sizes); 3] = [
    ("meshsim", fabric::run, &[(10, 300_000), (100, 30_000), (1_000, 3_000), (10_000, 300)]),
    ("turmoil-net", turmoil_net_engine::run, &[(10, 30_000), (100, 10_000), (1_000, 1_000), (10_000, 50)]),
    ("turmoil", turmoil_engine::run, &[(10, 2_000), (100, 50)]),
];

/// Registers the benchmark; afterwards prints speeds and ratios.
pub fn benchmarks(criterion: &mut Criterion) {
    let mut speeds: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
    let mut group = criterion.benchmark_group("echo");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(500));
    for (name, engine, sizes) in ENGINES {
        for &(hosts, span_ms) in sizes {
            group.throughput(Throughput::Elements(span_ms));
            group.bench_function(BenchmarkId::new(name, hosts), |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut total = Duration::ZERO;
                    for _ in 0..iterations {
                        let outcome = run_checked(engine, hosts, Duration::from_millis(span_ms));
                        let speed = span_ms as f64 / 1e3 / outcome.worked.as_secs_f64();
                        speeds.entry((hosts, name)).or_default().push(speed);
                        total += outcome.worked;
                    }
                    total
                });
            });
        }
    }
    group.finish();
    report(&mut speeds);
}

/// Runs an engine and makes sure it did the work.
///
/// # Panics
/// If less than nine tenths of the messages, less one a pair, came back.
pub fn run_checked(engine: Engine, hosts: usize, span: Duration) -> Outcome {
    let outcome = engine(hosts, span);
    let pairs = hosts as u128 / 2;
    let due = (span.as_micros() / PERIOD.as_micros() * 9 / 10).saturating_sub(1) * pairs;
    assert!(u128::from(outcome.echoes) >= due, "{} of {due} echoes at {hosts} hosts", outcome.echoes);
    outcome
}

fn report(speeds: &mut BTreeMap<(usize, &str), Vec<f64>>) {
    if speeds.is_empty() {
        return;
    }
    let mut median = |hosts: usize, name: &'static str| -> Option<f64> {
        let samples = speeds.get_mut(&(hosts, name))?;
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    };
    println!("\nvirtual seconds per second of work (and how many times slower than meshsim)\n");
    println!("{:>7} {:>12} {:>24} {:>24}", "hosts", "meshsim", "turmoil-net", "turmoil");
    for hosts in [10, 100, 1_000, 10_000] {
        let Some(ours) = median(hosts, "meshsim") else { continue };
        let mut line = format!("{hosts:>7} {ours:>12.2}");
        for name in ["turmoil-net", "turmoil"] {
            let cell = match median(hosts, name) {
                Some(theirs) => format!("{theirs:.2} ({:.1} x)", ours / theirs),
                None => "-".to_owned(),
            };
            line.push_str(&format!(" {cell:>24}"));
        }
        println!("{line}");
    }
    println!();
}
