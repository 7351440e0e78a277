//! How much an idle mesh costs: 200 nodes and 2,000 enrolled pods (or `idle_mesh NODES PODS HOURS`), built, settled, and
//! left alone for one virtual hour.
//!
//! Run with `cargo run --release -p sim --example idle_mesh`. Wall-clock figures are of this machine; the rest is exact.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a tool that measures the simulator from outside"
)]

use std::time::{Duration, Instant};

use sim::cluster::{ClusterConfig, yaml};
use sim::control::translate;
use sim::mesh::{Mesh, MeshConfig, NoApps};

#[path = "support/manifests.rs"]
mod manifests;

/// Pods of one Deployment.
const PODS_PER_DEPLOYMENT: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let nodes = arguments.next().transpose()?.unwrap_or(200);
    let pods = arguments.next().transpose()?.unwrap_or(2_000);
    let hours = arguments.next().transpose()?.unwrap_or(1);
    let documents = yaml::parse("idle.yaml", &manifests::manifests(pods, PODS_PER_DEPLOYMENT))
        .map_err(|errors| format!("{errors:?}"))?;
    let before = resident();
    let start = Instant::now();
    let config = MeshConfig { cluster: ClusterConfig::with_nodes(nodes), ..MeshConfig::default() };
    let (mut mesh, _) = Mesh::new(config, &documents, NoApps)?;
    let built = start.elapsed();
    mesh.settle(Duration::from_secs(600))?;
    let settled = start.elapsed();
    let settled_at = mesh.now();
    mesh.journal().take();
    mesh.run_until(settled_at + Duration::from_secs(3600) * hours as u32)?;
    let total = start.elapsed();
    let captured = mesh.cluster().pods().filter(|pod| mesh.is_captured(&pod.meta.key)).count();
    let start = Instant::now();
    let records = translate(mesh.cluster()).resources.len();
    println!("a full translation of {records} records takes {:?}", start.elapsed());
    let used = resident().saturating_sub(before);
    println!("nodes {nodes}, pods {pods}, captured {captured}, certificates signed {}", mesh.authority().signed());
    println!("built in {built:?}; settled at virtual {settled_at}, wall {:?}", settled - built);
    println!("{hours} idle virtual hour(s) in {:?}; total wall {total:?}", total - settled);
    println!("memory: {} KiB in all, {:.1} KiB a pod (peak {} KiB)", used, used as f64 / pods as f64, peak());
    println!("digest {}", mesh.sim().digest());
    for (name, count) in mesh.sim().counters() {
        println!("  {name} {count}");
    }
    Ok(())
}

/// Resident memory in KiB; 0 where the system does not say.
fn resident() -> u64 {
    status("VmRSS:")
}

/// Most resident memory so far, in KiB.
fn peak() -> u64 {
    status("VmHWM:")
}

fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
