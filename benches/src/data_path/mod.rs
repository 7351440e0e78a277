//! The data path on real loopback sockets, each way beside a direct connection in the same run.
//!
//! - [`world`]: an application, two node proxies and a waypoint in this process, configured as a control plane would.
//! - [`application`]: what answers at the far end.
//! - [`client`]: blocking clients, so that what is measured is the path.
//! - [`process`]: what the operating system says of this process.
//! - [`figures`]: the table of all of it, and the watch for leaks.
//!
//! Clients, proxies and application share this machine's processors, which makes every figure worse than on three machines,
//! and the ratio to `direct` the one that counts.

pub mod application;
pub mod client;
pub mod figures;
pub mod process;
pub mod world;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use self::world::{Way, World};

/// What one echo carries.
pub const ECHO_BYTES: usize = 1 << 10;
/// What one stream carries in a bulk transfer.
const BULK_BYTES: u64 = 16 << 20;

/// Registers the benchmarks: echo latency, opening connections, bulk throughput.
///
/// # Panics
/// If the proxies do not come up or a byte goes astray.
pub fn benchmarks(criterion: &mut Criterion, world: &World) {
    let mut group = criterion.benchmark_group("data_path_echo_1k");
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    for way in Way::MEASURED {
        let mut stream = None;
        group.bench_function(way.name(), |bencher| {
            let stream = stream.get_or_insert_with(|| client::open(world.echo(way)));
            bencher.iter(|| client::echo(stream, ECHO_BYTES));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("data_path_connect");
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    for way in Way::MEASURED.into_iter().chain([Way::HboneNewTunnel]) {
        group.bench_function(way.name(), |bencher| {
            bencher.iter(|| client::echo(&mut client::open(world.echo(way)), 1));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("data_path_bulk");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(3));
    for streams in [1, 2, 8] {
        group.throughput(Throughput::Bytes(BULK_BYTES * streams));
        for way in Way::MEASURED {
            group.bench_function(BenchmarkId::new(way.name(), streams), |bencher| {
                bencher.iter_custom(|iterations| {
                    let started = Instant::now();
                    for _ in 0..iterations {
                        client::send(world.sink(way), streams, BULK_BYTES);
                    }
                    started.elapsed()
                });
            });
        }
    }
    group.finish();
}
