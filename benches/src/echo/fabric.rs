//! On our engine and fabric.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::stopwatch::Stopwatch;
use proxy_core::host::{Dial, Host, Instant, Listener};
use sim::fabric::{Link, LinkTable, NamespaceSpec, NodeSpec};
use sim::node::{Sim, SimConfig, SimHost};

use super::{Form, Outcome, PERIOD, PORT, WARM_UP, application};

/// Runs the workload: every host is a pod on a node of its own.
///
/// # Panics
/// If the run stalls.
pub(super) fn run(form: Form, hosts: usize, span: Duration) -> Outcome {
    let sim = Sim::new(SimConfig::default());
    sim.set_links(LinkTable { cross_node: Link::with_latency(Duration::from_millis(1)), ..LinkTable::default() });
    let echoes = Arc::new(AtomicU64::new(0));
    for pair in 0..hosts / 2 {
        let server = host(&sim, 2 * pair);
        let client = host(&sim, 2 * pair + 1);
        server.spawn("echo", serve(server.clone()));
        let (server_at, phase) = (SocketAddr::new(address(2 * pair), PORT), form.phase(pair, hosts / 2));
        client.spawn("client", drive(client.clone(), server_at, phase, Arc::clone(&echoes)));
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
    application::serve(listener.accept().await.expect("a client comes").stream).await;
}

async fn drive(host: SimHost, server: SocketAddr, phase: Duration, echoes: Arc<AtomicU64>) {
    let mut stream = host.dial(Dial::to(server)).await.expect("the server listens");
    let mut next = host.now() + phase;
    loop {
        host.sleep_until(next).await;
        application::exchange(&mut stream).await.expect("the server answers");
        echoes.fetch_add(1, Ordering::Relaxed);
        next += PERIOD;
    }
}
