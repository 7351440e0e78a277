//! Links: latency, jitter, order, bandwidth, queues, loss, cuts; and where packets that do not arrive went.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Pair, at, namespace, node};
use parking_lot::Mutex;
use proxy_core::host::{Datagram, Dial, Host, Instant, Listener};
use sim::fabric::{Latency, Link, LinkEnd, LinkTable};
use sim::node::{Sim, SimConfig};
use sim::wire::{Body, DropReason, NamespaceId, Sight, SightKind, Tap};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Remembers every datagram's fate.
#[derive(Default)]
struct Fates(Mutex<Vec<(u64, SightKind, NamespaceId, u8)>>);

impl Tap for Fates {
    fn packet(&self, sight: &Sight<'_>) {
        if let Body::Udp(payload) = &sight.packet.body {
            let first = payload.first().copied().unwrap_or(0);
            self.0.lock().push((sight.at.as_nanos() / 1000, sight.what, sight.namespace, first));
        }
    }
}

/// Sends datagrams numbered 0.. back to back over `link`; returns (microsecond, number) as they arrive, and the pair.
fn datagrams_over(link: Link, count: u8, size: usize, seed: u64) -> (Vec<(u64, u8)>, Pair, Arc<Fates>) {
    let pair = Pair::new(seed);
    pair.sim.set_links(LinkTable { cross_node: link, ..LinkTable::default() });
    let fates = Arc::new(Fates::default());
    pair.sim.add_tap(fates.clone());
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let (server, client, seen) = (pair.server.clone(), pair.client.clone(), Arc::clone(&arrived));
    let socket = pair.server.bind_udp(at("0.0.0.0:9")).expect("binds");
    pair.server.spawn("receiver", async move {
        let mut buffer = [0; 2000];
        while socket.recv_from(&mut buffer).await.is_ok() {
            seen.lock().push((server.now().as_nanos() / 1000, buffer[0]));
        }
    });
    pair.client.spawn("sender", async move {
        let socket = client.bind_udp(at("0.0.0.0:0")).expect("binds");
        for number in 0..count {
            socket.send_to(&vec![number; size], at("10.0.1.1:9")).await.expect("sends");
        }
    });
    pair.sim.run_until_idle().expect("runs");
    let arrived = arrived.lock().clone();
    (arrived, pair, fates)
}

#[test]
fn constant_latency_is_exact() {
    let (arrived, ..) = datagrams_over(Link::with_latency(Duration::from_micros(70)), 2, 10, 1);
    assert_eq!(arrived, vec![(70, 0), (70, 1)]);
}

#[test]
fn jitter_stays_in_bounds_and_keeps_order_unless_told_otherwise() {
    let jitter = Latency::Uniform { from: Duration::from_micros(100), to: Duration::from_micros(900) };
    let link = Link { latency: jitter, ..Link::with_latency(Duration::ZERO) };
    let (arrived, ..) = datagrams_over(link, 100, 10, 1);
    assert!(arrived.iter().map(|&(_, number)| number).eq(0..100));
    assert!(arrived.iter().all(|&(at, _)| (100..=900).contains(&at)));
    let (arrived, ..) = datagrams_over(Link { reorder: true, ..link }, 100, 10, 1);
    assert!(!arrived.iter().map(|&(_, number)| number).eq(0..100));
    let (again, ..) = datagrams_over(Link { reorder: true, ..link }, 100, 10, 1);
    let (other, ..) = datagrams_over(Link { reorder: true, ..link }, 100, 10, 2);
    assert!(arrived == again && arrived != other);
}

#[test]
fn bell_shaped_latency_has_the_mean_and_deviation_asked_for() {
    let mut rng = proxy_core::host::Rng::from_number(1);
    let latency = Latency::Normal {
        mean: Duration::from_micros(500),
        deviation: Duration::from_micros(100),
        least: Duration::from_micros(100),
    };
    let samples: Vec<f64> = (0..20_000).map(|_| latency.sample(&mut rng) as f64 / 1000.0).collect();
    let mean = samples.iter().sum::<f64>() / samples.len() as f64;
    let deviation = (samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / samples.len() as f64).sqrt();
    assert!((mean - 500.0).abs() < 3.0 && (deviation - 100.0).abs() < 3.0, "{mean} {deviation}");
    assert!(samples.iter().all(|&sample| sample >= 100.0));
}

#[test]
fn bandwidth_spaces_packets_and_a_full_queue_drops_with_its_reason() {
    // 1,000-byte packets at 8 Mbit/s leave one a millisecond; 3,000 bytes may wait.
    let link = Link { bandwidth: Some(8_000_000), queue: 3000, ..Link::with_latency(Duration::from_micros(10)) };
    let (arrived, pair, fates) = datagrams_over(link, 10, 1000 - 28, 1);
    assert_eq!(arrived, vec![(1010, 0), (2010, 1), (3010, 2)]);
    assert_eq!(pair.sim.counters()["packets_dropped.queue_full"], 7);
    let dropped = fates.0.lock().iter().filter(|fate| fate.1 == SightKind::Dropped(DropReason::QueueFull)).count();
    assert_eq!(dropped, 7);
}

#[test]
fn loss_is_seeded_and_near_its_probability() {
    let link = Link { loss: 0.3, ..Link::with_latency(Duration::from_micros(10)) };
    let (arrived, pair, _) = datagrams_over(link, 200, 10, 1);
    let lost = pair.sim.counters()["packets_dropped.loss"];
    assert_eq!(arrived.len() as u64 + lost, 200);
    assert!((40..80).contains(&lost), "{lost}");
    assert_eq!(datagrams_over(link, 200, 10, 1).0, arrived);
}

#[test]
fn tcp_delivers_everything_over_a_lossy_jittery_narrow_link() {
    let pair = Pair::new(3);
    let jitter = Latency::Uniform { from: Duration::from_micros(200), to: Duration::from_millis(2) };
    let link = Link {
        latency: jitter,
        loss: 0.03,
        reorder: true,
        bandwidth: Some(50_000_000),
        queue: 64 * 1024,
        ..Link::with_latency(Duration::ZERO)
    };
    pair.sim.set_links(LinkTable { cross_node: link, ..LinkTable::default() });
    pair.serve_echo(80);
    let client = pair.client.clone();
    let data: Vec<u8> = (0..500_000u32).map(|number| (number * 7 / 3) as u8).collect();
    let expected = data.clone();
    let back = pair.sim.block_on(&pair.client, "client", async move {
        let stream = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect("connects");
        let (mut reader, mut writer) = tokio::io::split(stream);
        client.spawn("writer", async move {
            writer.write_all(&data).await.expect("writes");
            writer.shutdown().await.expect("ends");
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await.expect("reads");
        back
    });
    assert!(back.expect("finishes") == expected);
    let counters = pair.sim.counters();
    assert!(counters["packets_resent"] > 0 && counters["packets_dropped.loss"] > 0);
}

#[test]
fn a_large_write_on_a_clean_link_is_few_events_but_every_packet_is_counted() {
    let pair = Pair::new(1);
    let server = pair.server.clone();
    let read = Arc::new(Mutex::new(0));
    let total = Arc::clone(&read);
    pair.server.spawn("sink", async move {
        let listener = server.listen(at("0.0.0.0:80")).expect("listens");
        let mut stream = listener.accept().await.expect("accepts").stream;
        *total.lock() = stream.read_to_end(&mut Vec::new()).await.expect("reads");
    });
    let client = pair.client.clone();
    pair.client.spawn("client", async move {
        let mut stream = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect("connects");
        stream.write_all(&vec![1; 1_000_000]).await.expect("writes");
    });
    pair.sim.run_until_idle().expect("runs");
    assert_eq!(*read.lock(), 1_000_000);
    let counters = pair.sim.counters();
    assert!(counters["packets_sent"] > 1_000_000 / 1460, "{counters:?}");
    assert!(counters["events"] < 400, "{counters:?}");
}

#[test]
fn an_override_of_one_direction_cuts_that_direction_only() {
    let pair = Pair::new(1);
    pair.serve_echo(80);
    let [from, to] = pair.nodes.map(LinkEnd::Node);
    let client = pair.client.clone();
    let cut = Link { cut: true, ..Link::with_latency(Duration::from_micros(250)) };
    pair.sim.set_link(from, to, Some(cut));
    let dialled = pair.sim.block_on(&pair.client, "client", async move {
        client.dial(Dial::to(at("10.0.1.1:80"))).await.map(|_| ()).map_err(|error| error.kind())
    });
    assert_eq!(dialled.expect("gives up after its retries"), Err(std::io::ErrorKind::TimedOut));
    assert_eq!(pair.sim.counters()["packets_dropped.cut"], 7);
    pair.sim.set_link(from, to, None);
    let client = pair.client.clone();
    let healed = pair
        .sim
        .block_on(&pair.client, "client", async move { client.dial(Dial::to(at("10.0.1.1:80"))).await.is_ok() });
    assert!(healed.expect("finishes"));
}

#[test]
fn distance_decides_the_link() {
    let sim = Sim::new(SimConfig::default());
    let nodes = [node(&sim, "a", "z1"), node(&sim, "b", "z1"), node(&sim, "c", "z2")];
    let home = namespace(&sim, nodes[0], "home", &["10.0.0.1"]);
    let places = [(nodes[0], "10.0.0.2"), (nodes[1], "10.0.0.3"), (nodes[2], "10.0.0.4")];
    let client = sim.process(home, "client");
    let mut servers = vec![(client.clone(), "10.0.0.1")];
    for (node, address) in places {
        servers.push((sim.process(namespace(&sim, node, address, &[address]), "server"), address));
    }
    let mut trips = Vec::new();
    for (server, address) in servers {
        common::serve_echo(&server, 80);
        let host = client.clone();
        let took = sim.block_on(&client, "client", async move {
            let start = host.now();
            host.dial(Dial::to(at(&format!("{address}:80")))).await.expect("connects");
            (host.now() - start).as_micros()
        });
        trips.push(took.expect("finishes"));
    }
    assert_eq!(trips, vec![10, 60, 500, 2000]);
}

#[test]
fn a_listener_that_accepts_nothing_drops_what_exceeds_its_backlog() {
    let pair = Pair::new(1);
    let _listener = pair.server.listen(at("0.0.0.0:80")).expect("listens");
    let connected = Arc::new(Mutex::new(0));
    for _ in 0..sim::node::BACKLOG + 20 {
        let (client, connected) = (pair.client.clone(), Arc::clone(&connected));
        pair.client.spawn("client", async move {
            let _stream = client.dial(Dial::to(at("10.0.1.1:80"))).await;
            *connected.lock() += 1;
            client.sleep(Duration::from_secs(1000)).await;
        });
    }
    pair.sim.run_until(Instant::START + Duration::from_millis(900)).expect("runs");
    assert_eq!(*connected.lock(), sim::node::BACKLOG);
    assert_eq!(pair.sim.counters()["packets_dropped.backlog_full"], 20);
}

#[test]
fn accept_returns_connections_in_the_order_they_opened() {
    let pair = Pair::new(1);
    let server = pair.server.clone();
    for number in 0..5u8 {
        let client = pair.client.clone();
        pair.client.spawn("client", async move {
            let mut stream = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect("connects");
            stream.write_u8(number).await.expect("writes");
            client.sleep(Duration::from_secs(1)).await;
        });
    }
    let listener = server.listen(at("0.0.0.0:80")).expect("listens");
    let order = pair.sim.block_on(&pair.server, "server", async move {
        let mut order = Vec::new();
        for _ in 0..5 {
            order.push(listener.accept().await.expect("accepts").stream.read_u8().await.expect("reads"));
        }
        order
    });
    assert_eq!(order.expect("finishes"), vec![0, 1, 2, 3, 4]);
}

#[test]
fn a_link_that_gets_faster_keeps_the_order_of_what_is_under_way() {
    let pair = Pair::new(1);
    let slow = LinkTable { cross_node: Link::with_latency(Duration::from_millis(10)), ..LinkTable::default() };
    pair.sim.set_links(slow);
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let (server, seen) = (pair.server.clone(), Arc::clone(&arrived));
    let socket = pair.server.bind_udp(at("0.0.0.0:9")).expect("binds");
    pair.server.spawn("receiver", async move {
        let mut buffer = [0; 8];
        while socket.recv_from(&mut buffer).await.is_ok() {
            seen.lock().push((server.now().as_nanos() / 1000, buffer[0]));
        }
    });
    let client = pair.client.clone();
    pair.client.spawn("sender", async move {
        let socket = client.bind_udp(at("0.0.0.0:0")).expect("binds");
        for number in 0..3 {
            socket.send_to(&[number], at("10.0.1.1:9")).await.expect("sends");
            client.sleep(Duration::from_millis(6)).await;
        }
    });
    pair.sim.run_for(Duration::from_millis(3)).expect("runs");
    pair.sim.set_links(LinkTable::default());
    pair.sim.run_until_idle().expect("runs");
    // Sent at 0, 6 and 12 ms; the second may not overtake the first, the third need not wait.
    assert_eq!(*arrived.lock(), vec![(10_000, 0), (10_000, 1), (12_250, 2)]);
}
