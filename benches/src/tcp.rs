//! What TCP itself costs, without fabric and tasks.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use proxy_core::host::Instant;
use sim::tcp::{Output, Tcb, TcpConfig};
use sim::wire::{Payload, Segment, Seq};

/// Two connected ends; segments arrive at once.
pub struct Loop {
    now: Instant,
    ends: [Tcb; 2],
    out: Output,
    spare: Vec<Segment>,
}

impl Default for Loop {
    fn default() -> Self {
        let config = Arc::new(TcpConfig::default());
        let mut out = Output::default();
        let now = Instant::START;
        let client = Tcb::open_active(Arc::clone(&config), now, Seq(1), &mut out);
        let syn = out.segments.remove(0);
        let server = Tcb::open_passive(config, now, Seq(2), &syn, &mut out);
        let mut this = Loop { now, ends: [client, server], out, spare: Vec::new() };
        this.carry(0);
        this
    }
}

impl Loop {
    /// Delivers what waits for `to`, then the answers, until there is nothing more; returns how many segments.
    pub fn carry(&mut self, to: usize) -> usize {
        let (mut to, mut count) = (to, 0);
        while !self.out.segments.is_empty() {
            std::mem::swap(&mut self.out.segments, &mut self.spare);
            self.out.clear();
            for segment in self.spare.drain(..) {
                count += 1;
                self.ends[to].on_segment(self.now, segment, &mut self.out);
            }
            to = 1 - to;
        }
        count
    }

    /// One end writes `data`, the other reads it; returns segments carried.
    pub fn exchange(&mut self, from: usize, data: &[u8], buffer: &mut [u8]) -> usize {
        self.now += Duration::from_millis(1);
        let mut count = 0;
        let mut written = 0;
        while written < data.len() {
            written += self.ends[from].write(self.now, &data[written..], &mut self.out);
            count += self.carry(1 - from);
            while self.ends[1 - from].read(&mut &mut *buffer, &mut self.out) > 0 {}
            count += self.carry(from);
        }
        count
    }

    /// As [`Loop::exchange`], without copying on either side.
    pub fn pass(&mut self, from: usize, payload: Payload) -> usize {
        self.now += Duration::from_millis(1);
        self.ends[from].write_payload(self.now, payload, &mut self.out);
        let count = self.carry(1 - from);
        while self.ends[1 - from].read_chunk(&mut self.out).is_some() {}
        count + self.carry(from)
    }
}

/// Registers the benchmarks of this file.
pub fn benchmarks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tcp");
    let mut buffer = vec![0; 256 * 1024];
    let mut pair = Loop::default();
    let small = [7; 1024];
    let segments: usize =
        (0..100).map(|_| pair.exchange(0, &small, &mut buffer) + pair.exchange(1, &small, &mut buffer)).sum();
    println!("tcp: a ping-pong of 1 KiB takes {} segments", segments as f64 / 100.0);
    group.throughput(Throughput::Elements(2));
    group.bench_function("ping_pong_1kib", |bencher| {
        bencher.iter(|| pair.exchange(0, &small, &mut buffer) + pair.exchange(1, &small, &mut buffer));
    });
    let mut pair = Loop::default();
    let shared = Payload::copy_from(&small);
    group.bench_function("ping_pong_1kib_shared", |bencher| {
        bencher.iter(|| pair.pass(0, shared.clone()) + pair.pass(1, shared.clone()));
    });
    let mut pair = Loop::default();
    let large = vec![7; 64 * 1024];
    group.throughput(Throughput::Bytes(64 * 1024));
    group.bench_function("stream_64kib", |bencher| bencher.iter(|| pair.exchange(0, &large, &mut buffer)));
    group.finish();
}
