//! On our engine and fabric.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proxy_core::host::{Dial, Host, Instant, Listener};
use sim::fabric::{Link, LinkTable, NamespaceSpec, NodeSpec};
use sim::node::{Sim, SimConfig, SimHost};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stopwatch::Stopwatch;

use super::{MESSAGE, Outcome, PERIOD, PORT, WARM_UP};

/// Runs the workload: every host is a pod on a node of its own.
///
/// # Panics
/// If the run stalls.
pub(super) fn run(hosts: usize, span: Duration) -> Outcome {
    let sim = Sim::new(SimConfig::default());
    sim.set_links(LinkTable { cross_node: Link::with_latency(Duration::from_millis(1)), ..LinkTable::default() });
    let echoes = Arc::new(AtomicU64::new(0));
    for pair in 0..hosts / 2 {
        let server = host(&sim, 2 * pair);
        let client = host(&sim, 2 * pair + 1);
        server.spawn("echo", serve(server.clone()));
        client.spawn("client", drive(client.clone(), SocketAddr::new(address(2 * pair), PORT), Arc::clone(&echoes)));
    }
    let start = Instant::START + WARM_UP;
    sim.run_until(start).expect("connections open");
    let before = echoes.load(Ordering::Relaxed);
    let stopwatch = Stopwatch::start();
    sim.run_until(start + span).expect("the run goes on");
    Outcome { worked: stopwatch.elapsed(), echoes: echoes.load(Ordering::Relaxed) - before }
}

fn address(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + index as u32))
}

fn host(sim: &Sim, index: usize) -> SimHost {
    let node = sim.add_node(NodeSpec {
        name: format!("node-{index}"),
        zone: "zone".into(),
        region: "region".into(),
        addresses: Vec::new(),
    });
    let namespace =
        sim.add_namespace(NamespaceSpec { node, name: format!("pod-{index}"), addresses: vec![address(index)] });
    sim.process(namespace, "main")
}

async fn serve(host: SimHost) {
    let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
    let listener = host.listen(at).expect("the port is free");
    let mut stream = listener.accept().await.expect("a client comes").stream;
    let mut message = [0; MESSAGE];
    while stream.read_exact(&mut message).await.is_ok() {
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
}

async fn drive(host: SimHost, server: SocketAddr, echoes: Arc<AtomicU64>) {
    let mut stream = host.dial(Dial::to(server)).await.expect("the server listens");
    let mut message = [7; MESSAGE];
    let mut next = host.now();
    loop {
        stream.write_all(&message).await.expect("the server lives");
        stream.read_exact(&mut message).await.expect("the server answers");
        echoes.fetch_add(1, Ordering::Relaxed);
        next += PERIOD;
        host.sleep_until(next).await;
    }
}
