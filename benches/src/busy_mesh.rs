//! A busy mesh: 200 nodes and 2,000 enrolled pods under 2,000 requests a second over mutual TLS, tunnels up.
//!
//! One iteration is a virtual second. The speed printed afterwards is virtual seconds per second of work.

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};

use crate::mesh_under_load::{Connections, MeshUnderLoad, NODES, PODS, Shape};
use crate::stopwatch::Stopwatch;

/// Requests a second.
const RATE: u64 = 2_000;
/// Virtual time in which tunnels come up.
const WARM_UP: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

const KINDS: [(&str, Connections, bool); 3] = [
    ("kept_connections", Connections::Kept, false),
    ("kept_connections_checked", Connections::Kept, true),
    ("new_connections", Connections::New, false),
];

/// Registers the benchmarks; prints speeds.
///
/// # Panics
/// If the mesh cannot be built, stalls, or leaves requests unanswered.
pub fn benchmarks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("busy_mesh");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(RATE));
    for (name, connections, checked) in KINDS {
        let mut warm = None;
        let mut worked = (Duration::ZERO, 0);
        group.bench_function(name, |bencher| {
            let busy = warm.get_or_insert_with(|| {
                let shape = Shape { nodes: NODES, pods: PODS, rate: RATE, connections, checked };
                let mut busy = MeshUnderLoad::new(shape).expect("the mesh settles");
                busy.run(WARM_UP).expect("the mesh runs");
                busy
            });
            bencher.iter_custom(|iterations| {
                let before = busy.tally().succeeded;
                let watch = Stopwatch::start();
                for _ in 0..iterations {
                    busy.run(SECOND).expect("the mesh runs");
                }
                let took = watch.elapsed();
                let answered = busy.tally().succeeded - before;
                assert!(answered * 10 >= iterations * RATE * 9, "{answered} answers in {iterations} s");
                worked = (worked.0 + took, worked.1 + iterations);
                took
            });
        });
        if worked.1 > 0 {
            let speed = worked.1 as f64 / worked.0.as_secs_f64();
            println!("busy_mesh/{name}: {speed:.1} virtual seconds per second of work");
        }
    }
    group.finish();
}
