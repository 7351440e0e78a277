//! The DNS proxy of a pod, on simulated sockets and behind capture.

mod common;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use common::{Pair, at};
use proxy_core::dns::message::{Data, Name, Query, Record, Response, ResponseCode, TYPE_A};
use proxy_core::dns::{DnsConfig, DnsProxy};
use proxy_core::host::{Datagram, Dial, Host, timer};
use proxy_core::net::drain::{self, DrainTrigger};
use proxy_core::state::{
    LocalWorkload, NamespacedHostname, NetworkAddress, Resource, Service, SharedUpdate, StateHandle, Update, Workload,
};
use proxy_core::telemetry::NullSink;
use sim::node::{Capture, PROXY_MARK, SimHost};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where applications believe their resolver is.
const RESOLVER: &str = "10.96.0.10:53";

fn query(name: &str, id: u16) -> Vec<u8> {
    let mut message = vec![(id >> 8) as u8, id as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(Name::from_text(name).expect("a name").wire());
    message.extend_from_slice(&[0, TYPE_A as u8, 0, 1]);
    message
}

/// Id, flags, response code, answers, and the last four bytes.
fn summary(answer: &[u8]) -> (u16, u8, u8, u16, IpAddr) {
    let u16_at = |at| u16::from_be_bytes([answer[at], answer[at + 1]]);
    let last: [u8; 4] = answer[answer.len() - 4..].try_into().expect("four bytes");
    (u16_at(0), answer[2], answer[3] & 15, u16_at(6), last.into())
}

/// Answers every query with 192.0.2.1, authoritatively, after a lie from a stranger's guess at the id.
async fn serve_upstream(host: SimHost) {
    let socket = host.bind_udp(at("10.0.1.1:53")).expect("binds");
    let mut buffer = [0; 512];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.expect("receives");
        let query = Query::parse(&buffer[..length]).expect("a query");
        for (id, address) in [(query.id ^ 1, [6, 6, 6, 6]), (query.id, [192, 0, 2, 1])] {
            let query = Query { id, ..query.clone() };
            let answers = vec![Record { name: query.name.clone(), ttl: 5, data: Data::Address(address.into()) }];
            let response = Response { query: &query, code: ResponseCode::NoError, authoritative: true, answers };
            socket.send_to(&response.encode(512), client).await.expect("sends");
        }
    }
}

struct Setting {
    pair: Pair,
    state: StateHandle,
    drain: DrainTrigger,
}

fn setting(upstream: &[&str]) -> Setting {
    let pair = Pair::new(1);
    pair.sim.set_capture(pair.client_namespace, Some(Capture { bypass_inbound: false, dns: true }));
    let proxy = pair.sim.process(pair.client_namespace, "ztunnel").marked(PROXY_MARK);
    let state = StateHandle::new();
    let local =
        LocalWorkload { name: "client".into(), namespace: "ns".into(), service_account: "sa".into(), node: "".into() };
    let upstream = upstream.iter().map(|server| at(server)).collect();
    let config = DnsConfig { upstream, ..DnsConfig::default() };
    let (drain, watcher) = drain::channel();
    DnsProxy::start(proxy, config, state.clone(), local, Arc::new(NullSink), &watcher).expect("binds");
    drop(watcher);
    pair.server.spawn("upstream", serve_upstream(pair.server.clone()));
    Setting { pair, state, drain }
}

fn configure(state: &StateHandle) {
    let client = Workload {
        uid: "Kubernetes//Pod/ns/client".into(),
        name: "client".into(),
        namespace: "ns".into(),
        service_account: "sa".into(),
        ..Workload::default()
    };
    let service = Service {
        key: NamespacedHostname::new("ns", "svc.ns.svc.cluster.local"),
        vips: vec![NetworkAddress { network: "".into(), address: [10, 96, 0, 1].into() }],
        ..Service::default()
    };
    let upserted = vec![Resource::Workload(Arc::new(client)), Resource::Service(Arc::new(service))];
    state.apply(&SharedUpdate::new(Update { removed: vec![], upserted }));
}

async fn ask_udp(host: &SimHost, message: &[u8]) -> Option<(Vec<u8>, SocketAddr)> {
    let socket = host.bind_udp(at("0.0.0.0:0")).expect("binds");
    socket.send_to(message, at(RESOLVER)).await.expect("sends");
    let mut buffer = vec![0; 2048];
    let received = timer::timeout(host, Duration::from_secs(30), socket.recv_from(&mut buffer)).await.ok()?;
    let (length, from) = received.expect("receives");
    buffer.truncate(length);
    Some((buffer, from))
}

#[test]
fn mesh_names_are_answered_and_the_rest_is_forwarded() {
    let setting = setting(&["10.0.1.1:53"]);
    configure(&setting.state);
    let client = setting.pair.client.clone();
    let answers = setting.pair.sim.block_on(&setting.pair.client, "application", async move {
        let ours = ask_udp(&client, &query("svc", 7)).await.expect("an answer");
        let theirs = ask_udp(&client, &query("www.example.com", 8)).await.expect("an answer");
        let bad = ask_udp(&client, &[0, 9, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await.expect("an answer");
        (ours, theirs, bad)
    });
    let (ours, theirs, bad) = answers.expect("finishes");
    assert_eq!(ours.1, at(RESOLVER), "the application sees its own resolver answer");
    assert_eq!(summary(&ours.0), (7, 0x85, 0, 1, [10, 96, 0, 1].into()));
    assert_eq!(summary(&theirs.0), (8, 0x81, 0, 1, [192, 0, 2, 1].into()), "the upstream's, not authoritative");
    assert_eq!((bad.0.len(), bad.0[3] & 15), (12, 1), "a response is no query");
}

#[test]
fn dead_upstream_is_passed_over_and_no_upstream_is_a_server_failure() {
    for (upstream, code) in [(&["10.0.1.1:54", "10.0.1.1:53"][..], 0), (&["10.9.9.9:53"], 2), (&[], 2)] {
        let setting = setting(upstream);
        configure(&setting.state);
        let client = setting.pair.client.clone();
        let answer = setting.pair.sim.block_on(&setting.pair.client, "application", async move {
            ask_udp(&client, &query("www.example.com", 8)).await.expect("an answer").0
        });
        assert_eq!(answer.expect("finishes")[3] & 15, code, "{upstream:?}");
    }
}

#[test]
fn query_waits_for_the_local_workload_and_fails_without_it() {
    let early = setting(&[]);
    let client = early.pair.client.clone();
    let state = early.state.clone();
    early.pair.client.spawn("control plane", {
        let host = early.pair.client.clone();
        async move {
            host.sleep(Duration::from_secs(2)).await;
            configure(&state);
        }
    });
    let answered = early.pair.sim.block_on(&early.pair.client, "application", async move {
        let answer = ask_udp(&client, &query("svc.ns", 7)).await.expect("an answer").0;
        (summary(&answer).2, client.now().since_start().as_secs())
    });
    assert_eq!(answered.expect("finishes"), (0, 2));

    let never = setting(&[]);
    let client = never.pair.client.clone();
    let failed = never.pair.sim.block_on(&never.pair.client, "application", async move {
        let answer = ask_udp(&client, &query("svc.ns", 7)).await.expect("an answer").0;
        (answer[3] & 15, client.now().since_start().as_secs())
    });
    assert_eq!(failed.expect("finishes"), (2, 5));
}

#[test]
fn several_queries_are_answered_on_one_tcp_connection_and_a_silent_client_is_let_go() {
    let setting = setting(&[]);
    configure(&setting.state);
    let client = setting.pair.client.clone();
    let took = setting.pair.sim.block_on(&setting.pair.client, "application", async move {
        let mut stream = client.dial(Dial::to(at(RESOLVER))).await.expect("connects");
        for id in [1, 2] {
            let message = query("svc.ns.svc.cluster.local", id);
            let mut framed = (message.len() as u16).to_be_bytes().to_vec();
            framed.extend_from_slice(&message);
            stream.write_all(&framed).await.expect("writes");
            let length = stream.read_u16().await.expect("reads");
            let mut answer = vec![0; usize::from(length)];
            stream.read_exact(&mut answer).await.expect("reads");
            assert_eq!(summary(&answer), (id, 0x85, 0, 1, [10, 96, 0, 1].into()));
        }
        let start = client.now();
        assert_eq!(stream.read(&mut [0]).await.expect("an end"), 0);
        (client.now() - start).as_secs()
    });
    assert_eq!(took.expect("finishes"), 5);
}

#[test]
fn drained_proxy_answers_nothing_new_and_leaves_nothing_behind() {
    let setting = setting(&["10.9.9.9:53"]);
    configure(&setting.state);
    let client = setting.pair.client.clone();
    let drain = setting.drain;
    let answered = setting.pair.sim.block_on(&setting.pair.client, "application", async move {
        // One in flight to a dead upstream; it is cut.
        let socket = client.bind_udp(at("0.0.0.0:0")).expect("binds");
        socket.send_to(&query("www.example.com", 1), at(RESOLVER)).await.expect("sends");
        client.sleep(Duration::from_millis(10)).await;
        drain.cut();
        drain.finished().await;
        (ask_udp(&client, &query("svc", 2)).await, client.now().since_start() < Duration::from_secs(40))
    });
    assert_eq!(answered.expect("finishes"), (None, true));
}
