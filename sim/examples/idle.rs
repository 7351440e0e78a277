//! What idle namespaces cost: each has a process with four listeners and a task waiting at each. Prints the memory a
//! namespace and how fast an hour passes.
//!
//! Usage: `cargo run --release -p sim --example idle -- [namespaces]`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use proxy_core::host::{Host, Listener};
use sim::fabric::{NamespaceSpec, NodeSpec};
use sim::node::{Sim, SimConfig};

/// Resident memory of this process in bytes; 0 where the kernel does not say.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 4096
}

#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "measures the simulator from outside of it")]
fn main() {
    let namespaces = std::env::args().nth(1).and_then(|text| text.parse::<u32>().ok()).unwrap_or(2000);
    let sim = Sim::new(SimConfig::default());
    let before = resident();
    for number in 0..namespaces {
        let node = if number % 10 == 0 { sim.add_node(NodeSpec::default()) } else { sim::wire::NodeId(number / 10) };
        let addresses = vec![IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + number))];
        let namespace = sim.add_namespace(NamespaceSpec { node, name: format!("pod{number}"), addresses });
        let host = sim.process(namespace, "proxy");
        for port in [15001, 15006, 15008, 15053] {
            let listener = host.listen(SocketAddr::from(([0, 0, 0, 0], port))).expect("the port is free");
            host.spawn("listener", async move { while listener.accept().await.is_ok() {} });
        }
    }
    sim.run_for(Duration::from_secs(1)).expect("runs");
    println!("{} bytes a namespace", (resident() - before) / u64::from(namespaces));
    let start = std::time::Instant::now();
    sim.run_for(Duration::from_secs(3600)).expect("runs");
    println!("an hour passes in {:?}", start.elapsed());
}
