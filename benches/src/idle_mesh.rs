//! An idle mesh: 200 nodes and 2,000 enrolled pods, one virtual hour.

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};

use crate::mesh_under_load::{NODES, PODS, settled};
use crate::stopwatch::Stopwatch;

const HOUR: Duration = Duration::from_secs(3600);

/// Registers the benchmark; prints what building and settling took.
///
/// # Panics
/// If the mesh cannot be built or stalls.
pub fn benchmarks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("idle_mesh");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(HOUR.as_secs()));
    let mut built = None;
    group.bench_function("virtual_hour_of_2000_pods", |bencher| {
        let mesh = built.get_or_insert_with(|| {
            let watch = Stopwatch::start();
            let mesh = settled(NODES, PODS).expect("the mesh settles");
            println!("idle_mesh: built and settled in {:?}", watch.elapsed());
            mesh
        });
        bencher.iter_custom(|iterations| {
            let watch = Stopwatch::start();
            for _ in 0..iterations {
                let until = mesh.now() + HOUR;
                mesh.run_until(until).expect("the mesh runs");
                mesh.journal().take();
            }
            watch.elapsed()
        });
    });
    group.finish();
}
