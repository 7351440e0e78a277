//! The workload every engine can run: half of the hosts send 1 KiB every 10 ms to the other half, which echo it.
//!
//! It comes in two forms, for the words leave open when the pairs send: `in_phase`, all at the same instant, and
//! `staggered`, spread evenly over the 10 ms, as clients that know nothing of each other are. In phase, engines that
//! look at every host on each tick find most ticks empty, and ours finds what it works on in the order of memory;
//! staggered, every tick finds a tenth of the hosts busy.
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

/// When the pairs send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// All at the same instant.
    InPhase,
    /// Spread evenly over [`PERIOD`].
    Staggered,
}

impl Form {
    /// Both, in the order they are measured.
    pub const ALL: [Form; 2] = [Form::InPhase, Form::Staggered];

    /// As in the names of benchmarks.
    pub const fn as_str(self) -> &'static str {
        match self {
            Form::InPhase => "in_phase",
            Form::Staggered => "staggered",
        }
    }

    /// When the client of this pair sends its first message, after it is connected.
    fn phase(self, pair: usize, pairs: usize) -> Duration {
        match self {
            Form::InPhase => Duration::ZERO,
            Form::Staggered => PERIOD * u32::try_from(pair).unwrap_or(0) / u32::try_from(pairs.max(1)).unwrap_or(1),
        }
    }
}

/// A way to run the workload: `hosts` hosts for `span` of virtual time after [`WARM_UP`].
type Engine = fn(form: Form, hosts: usize, span: Duration) -> Outcome;

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
    let mut speeds = Speeds::new();
    let mut group = criterion.benchmark_group("echo");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(500));
    for form in Form::ALL {
        for (name, engine, sizes) in ENGINES {
            for &(hosts, span_ms) in sizes {
                group.throughput(Throughput::Elements(span_ms));
                group.bench_function(BenchmarkId::new(format!("{}/{name}", form.as_str()), hosts), |bencher| {
                    bencher.iter_custom(|iterations| {
                        let mut total = Duration::ZERO;
                        for _ in 0..iterations {
                            let outcome = run_checked(engine, form, hosts, Duration::from_millis(span_ms));
                            let speed = span_ms as f64 / 1e3 / outcome.worked.as_secs_f64();
                            speeds.entry((form, hosts, name)).or_default().push(speed);
                            total += outcome.worked;
                        }
                        total
                    });
                });
            }
        }
    }
    group.finish();
    for form in Form::ALL {
        report(form, &mut speeds);
    }
}

/// Samples of speed by form, number of hosts and engine.
type Speeds = BTreeMap<(Form, usize, &'static str), Vec<f64>>;

/// Runs an engine and makes sure it did the work.
///
/// # Panics
/// If less than nine tenths of the messages, less one a pair, came back.
pub fn run_checked(engine: Engine, form: Form, hosts: usize, span: Duration) -> Outcome {
    let outcome = engine(form, hosts, span);
    let pairs = hosts as u128 / 2;
    let due = (span.as_micros() / PERIOD.as_micros() * 9 / 10).saturating_sub(1) * pairs;
    assert!(u128::from(outcome.echoes) >= due, "{} of {due} echoes at {hosts} hosts", outcome.echoes);
    outcome
}

fn report(form: Form, speeds: &mut Speeds) {
    if !speeds.keys().any(|&(measured, ..)| measured == form) {
        return;
    }
    let mut median = |hosts: usize, name: &'static str| -> Option<f64> {
        let samples = speeds.get_mut(&(form, hosts, name))?;
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    };
    println!("\n{}: virtual seconds per second of work (and how many times slower than meshsim)\n", form.as_str());
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
