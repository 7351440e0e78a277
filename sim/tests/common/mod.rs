//! Two namespaces on two nodes, for tests.
#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

use std::net::SocketAddr;

use proxy_core::host::{Host, Listener};
use sim::exec::TaskOrder;
use sim::fabric::{NamespaceSpec, NodeSpec};
use sim::node::{Sim, SimConfig, SimHost};
use sim::wire::{NamespaceId, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub fn at(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

pub fn node(sim: &Sim, name: &str, zone: &str) -> NodeId {
    sim.add_node(NodeSpec { name: name.into(), zone: zone.into(), region: "r".into(), addresses: vec![] })
}

pub fn namespace(sim: &Sim, node: NodeId, name: &str, addresses: &[&str]) -> NamespaceId {
    let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
    sim.add_namespace(NamespaceSpec { node, name: name.into(), addresses })
}

/// A client at 10.0.0.1 and fd00::1, a server at 10.0.1.1 and fd00::1:1, on two nodes 250 us apart.
pub struct Pair {
    pub sim: Sim,
    pub nodes: [NodeId; 2],
    pub client_namespace: NamespaceId,
    pub server_namespace: NamespaceId,
    pub client: SimHost,
    pub server: SimHost,
}

impl Pair {
    pub fn new(seed: u64) -> Pair {
        Pair::with_config(SimConfig { seed, ..SimConfig::default() })
    }

    pub fn seeded_order(seed: u64) -> Pair {
        Pair::with_config(SimConfig { seed, task_order: TaskOrder::Seeded, ..SimConfig::default() })
    }

    pub fn with_config(config: SimConfig) -> Pair {
        let sim = Sim::new(config);
        let nodes = [node(&sim, "n1", "z"), node(&sim, "n2", "z")];
        let client_namespace = namespace(&sim, nodes[0], "client", &["10.0.0.1", "fd00::1"]);
        let server_namespace = namespace(&sim, nodes[1], "server", &["10.0.1.1", "fd00::1:1"]);
        let client = sim.process(client_namespace, "client");
        let server = sim.process(server_namespace, "server");
        Pair { sim, nodes, client_namespace, server_namespace, client, server }
    }

    pub fn serve_echo(&self, port: u16) {
        serve_echo(&self.server, port);
    }
}

/// Echoes every connection to the port, on every address, from now on.
pub fn serve_echo(host: &SimHost, port: u16) {
    let listener = host.listen(SocketAddr::new(std::net::IpAddr::from([0u16; 8]), port)).expect("the port is free");
    let host = host.clone();
    host.clone().spawn("echo listener", async move {
        while let Ok(accepted) = listener.accept().await {
            host.spawn("echo connection", async move {
                let mut stream = accepted.stream;
                let mut buffer = vec![0; 16 * 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
}
