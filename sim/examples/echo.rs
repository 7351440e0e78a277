//! How fast the engine is: hosts in pairs, each on a node of its own, a 1 KiB echo every 10 ms over one TCP connection
//! a pair. Prints simulated seconds per wall second.
//!
//! Usage: `cargo run --release -p sim --example echo -- [hosts] [virtual seconds]`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use proxy_core::host::{Dial, Host, Instant, Listener};
use sim::fabric::{NamespaceSpec, NodeSpec};
use sim::node::{Sim, SimConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + number))
}

#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "measures the simulator from outside of it")]
fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u32>().ok());
    let hosts = arguments.next().flatten().unwrap_or(1000);
    let seconds = arguments.next().flatten().unwrap_or(20);
    let sim = Sim::new(SimConfig::default());
    let host = |number: u32| {
        let node = sim.add_node(NodeSpec { name: format!("n{number}"), ..NodeSpec::default() });
        let addresses = vec![address(number)];
        let namespace = sim.add_namespace(NamespaceSpec { node, name: format!("h{number}"), addresses });
        sim.process(namespace, "app")
    };
    for pair in 0..hosts / 2 {
        let server = host(2 * pair);
        let listener = server.listen(SocketAddr::new(address(2 * pair), 7)).expect("the port is free");
        server.spawn("server", async move {
            let mut stream = listener.accept().await.expect("accepts").stream;
            let mut buffer = vec![0; 1024];
            while stream.read_exact(&mut buffer).await.is_ok() {
                if stream.write_all(&buffer).await.is_err() {
                    break;
                }
            }
        });
        let client = host(2 * pair + 1);
        client.clone().spawn("client", async move {
            let mut stream = client.dial(Dial::to(SocketAddr::new(address(2 * pair), 7))).await.expect("connects");
            let mut buffer = vec![pair as u8; 1024];
            // Clients start at different phases of the 10 ms.
            let mut next = Instant::from_nanos(10_000_000 + u64::from(pair).wrapping_mul(7_368_787) % 10_000_000);
            loop {
                client.sleep_until(next).await;
                next += Duration::from_millis(10);
                stream.write_all(&buffer).await.expect("writes");
                stream.read_exact(&mut buffer).await.expect("reads");
            }
        });
    }
    sim.run_for(Duration::from_secs(1)).expect("runs");
    let start = std::time::Instant::now();
    sim.run_for(Duration::from_secs(u64::from(seconds))).expect("runs");
    let wall = start.elapsed().as_secs_f64();
    let echoes = f64::from(hosts / 2 * 100 * seconds);
    println!(
        "{hosts} hosts: {:.2} simulated seconds per wall second, {:.0} ns an echo",
        f64::from(seconds) / wall,
        wall * 1e9 / echoes
    );
    println!("{:?} {}", sim.counters(), sim.digest());
}
