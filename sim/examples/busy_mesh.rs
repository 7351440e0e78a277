//! How fast a busy mesh runs: 200 nodes and 2,000 enrolled pods under 2,000 requests a second over mutual TLS, for ten
//! virtual seconds after ten in which tunnels come up; connections kept or new for each request, invariants checked or not.
//!
//! Run with `cargo run --release -p sim --example busy_mesh [kept|new|all] [PODS] [SECONDS] [unchecked|checked|both]`.
//! Processor time is of this machine and thread; the rest is exact.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a tool that measures the simulator from outside"
)]

#[allow(dead_code, unreachable_pub, reason = "shared with the benchmarks, where all of it is public and used")]
#[path = "support/mesh_under_load.rs"]
mod mesh_under_load;

use std::error::Error;
use std::time::Duration;

use mesh_under_load::{Connections, MeshUnderLoad, Shape};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let which = arguments.next().unwrap_or_else(|| "all".to_owned());
    let pods: usize = arguments.next().map_or(Ok(2_000), |pods| pods.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |seconds| seconds.parse())?;
    let checks = arguments.next().unwrap_or_else(|| "both".to_owned());
    let modes = [("kept", Connections::Kept), ("new", Connections::New)];
    for (_, connections) in modes.into_iter().filter(|(name, _)| which == "all" || which == *name) {
        for (_, checked) in
            [("unchecked", false), ("checked", true)].iter().filter(|(name, _)| checks == "both" || checks == *name)
        {
            let nodes = pods.div_ceil(10);
            measure(Shape { nodes, pods, rate: pods as u64, connections, checked: *checked }, seconds)?;
        }
    }
    Ok(())
}

fn measure(shape: Shape, seconds: u64) -> Result<(), Box<dyn Error>> {
    let start = worked();
    let mut busy = MeshUnderLoad::new(shape)?;
    let built = worked();
    busy.run(Duration::from_secs(seconds))?;
    let warm = worked();
    let (before, counts_before, seen_before) = (busy.tally(), busy.mesh.sim().counters(), busy.observations());
    busy.run(Duration::from_secs(seconds))?;
    let took = worked() - warm;
    let (after, counts) = (busy.tally(), busy.mesh.sim().counters());
    let (requests, good) = (after.sent - before.sent, after.succeeded - before.succeeded);
    let per_request = |name: &str| {
        let count = |counts: &std::collections::BTreeMap<String, u64>| counts.get(name).copied().unwrap_or(0);
        (count(&counts) - count(&counts_before)) as f64 / requests as f64
    };
    println!("{shape:?}");
    println!("  built and settled in {:?}; {seconds} virtual seconds of warm-up in {:?}", built - start, warm - built);
    println!("  {requests} requests, {good} good, latency p50 {} us", after.quantiles().p50 / 1_000);
    println!(
        "  {:.1} virtual seconds a processor second; {:.1} us a request",
        seconds as f64 / took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / requests as f64
    );
    println!(
        "  a request: {:.2} events, {:.2} packets sent, {:.2} polls, {:.2} tasks, {:.2} dials, {:.2} observations",
        per_request("events"),
        per_request("packets_sent"),
        per_request("polls"),
        per_request("tasks_spawned"),
        per_request("connections_dialled"),
        (busy.observations() - seen_before) as f64 / requests as f64
    );
    println!("  memory {} MiB, most so far {} MiB", status("VmRSS:") / 1024, status("VmHWM:") / 1024);
    println!("  digest {}", busy.mesh.sim().digest());
    if std::env::var_os("COUNTERS").is_some() {
        println!("  {counts:?}");
    }
    if let Some(findings) = busy.findings() {
        println!("  invariants found {} wrong", findings.len());
        findings.iter().take(3).for_each(|finding| println!("    {finding}"));
    }
    Ok(())
}

/// Time this thread had the processor, as Linux tells; zero elsewhere.
fn worked() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// A figure of this process in KiB; 0 where the system does not say.
fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
