//! Echo servers and clients, end to end on the simulated network, without any proxy.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proxy_core::host::Instant;
use sim::app::{
    Answer, Behaviour, Client, Delay, EchoPort, HttpExchange, HttpRequest, Load, LoadSpec, Order, PortProtocol,
    Reading, RequestKind, Schedule, StreamSpec, Target, Traffic, Tries, serve,
};
use sim::fabric::{NamespaceSpec, NodeSpec};
use sim::node::{Sim, SimConfig, SimHost};
use sim::record::{AppEvent, AppPod, Ending, FlowEnd, Journal, Observation, ObservationKind, Outcome, Tally};

struct World {
    sim: Sim,
    client: Client<SimHost>,
    server: SimHost,
    journal: Journal,
}

fn pod(name: &str, address: IpAddr) -> Arc<AppPod> {
    Arc::new(AppPod {
        uid: name.into(),
        namespace: "shop".into(),
        name: name.into(),
        node: "n1".into(),
        addresses: vec![address],
    })
}

const PORT: u16 = 8080;

fn world(behaviour: Behaviour) -> World {
    let sim = Sim::new(SimConfig::default());
    let node = sim.add_node(NodeSpec { name: "n1".into(), ..NodeSpec::default() });
    let host = |name: &str, last: u8| {
        let address = IpAddr::from([10, 0, 0, last]);
        let namespace = sim.add_namespace(NamespaceSpec { node, name: name.into(), addresses: vec![address] });
        (sim.process(namespace, name), pod(name, address))
    };
    let (client, client_pod) = host("client", 1);
    let (server, server_pod) = host("server", 2);
    let journal = Journal::new();
    let behaviour = Arc::new(behaviour);
    let ports = [PortProtocol::Http, PortProtocol::Tcp, PortProtocol::Sniffed].into_iter().zip(PORT..);
    let ports: Vec<EchoPort> = ports
        .map(|(protocol, port)| EchoPort { port, protocol, behaviour: behaviour.clone(), tries: Tries::default() })
        .collect();
    serve(&server, &server_pod, &ports, &journal).expect("the ports are free");
    let client = Client { host: client, pod: client_pod, resolver: Arc::default(), journal: journal.clone() };
    World { sim, client, server, journal }
}

fn request(target: &str) -> HttpRequest {
    HttpRequest {
        target: Target::parse(target).expect("a target"),
        method: "GET".into(),
        headers: vec![("x-a".into(), "b".into())],
        body: Bytes::new(),
        http2: false,
        kind: RequestKind::Plain,
        timeout: Duration::from_secs(5),
    }
}

impl World {
    fn ask(&self, request: HttpRequest) -> HttpExchange {
        let client = self.client.clone();
        let work = async move { client.request(&request, None).await };
        self.sim.block_on(&self.client.host, "test", work).expect("an end")
    }

    fn stream(&self, spec: StreamSpec) -> sim::app::StreamHandle {
        self.client.connect(spec)
    }

    fn settle(&self) -> Vec<Observation> {
        self.sim.run_until_idle_within(self.sim.now() + Duration::from_secs(600)).expect("idle in the end");
        self.journal.take()
    }
}

fn stream(port: u16) -> StreamSpec {
    StreamSpec {
        target: Target::parse(&format!("tcp://10.0.0.2:{port}")).expect("a target"),
        send: 100_000,
        server_first: false,
        half_close: false,
        read: Reading::All,
        hold: false,
        timeout: Duration::from_secs(10),
    }
}

struct Closed {
    ending: Ending,
    sent: Tally,
    received: Tally,
    read_to_end: bool,
}

/// What one end told of its connections, in order of opening.
fn closed(observations: &[Observation], of: FlowEnd) -> Vec<Closed> {
    let mut told = BTreeMap::new();
    for observation in observations {
        if let ObservationKind::App(AppEvent::Closed {
            connection,
            end,
            ending,
            sent,
            received,
            read_to_end,
            first_wrong_byte,
            ..
        }) = observation.kind
            && end == of
        {
            assert_eq!(first_wrong_byte, None);
            told.insert(connection, Closed { ending, sent, received, read_to_end });
        }
    }
    told.into_values().collect()
}

#[test]
fn a_request_is_echoed_over_both_versions_of_http_on_one_port() {
    let world = world(Behaviour::default());
    for (http2, proto) in [(false, "HTTP/1.1"), (true, "HTTP/2")] {
        for port in [PORT, PORT + 2] {
            let asked = HttpRequest { http2, ..request(&format!("http://10.0.0.2:{port}/x?y=1")) };
            let exchange = world.ask(asked);
            assert_eq!(exchange.outcome, Outcome::Completed, "{exchange:?}");
            let answer = exchange.answer.expect("an answer");
            let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert_eq!(answer.status, 200);
            assert_eq!(body["proto"], proto);
            assert_eq!(body["path"], "/x?y=1");
            assert_eq!(body["host"], format!("10.0.0.2:{port}"));
            assert_eq!(body["headers"], serde_json::json!({ "x-a": "b" }));
            assert_eq!(body["source_ip"], "10.0.0.1");
            assert_eq!(body["pod"], "server");
        }
    }
    let observations = world.settle();
    let (client, server) = (closed(&observations, FlowEnd::Client), closed(&observations, FlowEnd::Server));
    assert_eq!((client.len(), server.len()), (4, 4));
    for (ours, theirs) in client.iter().zip(&server) {
        assert_eq!((ours.ending, theirs.ending), (Ending::Finished, Ending::Finished));
        assert!(!theirs.read_to_end || theirs.received == ours.sent);
        assert!(!ours.read_to_end || ours.received == theirs.sent);
    }
}

#[test]
fn a_body_is_read_and_a_large_answer_comes_back_whole() {
    let world = world(Behaviour { body_bytes: 300_000, status: 201, ..Behaviour::default() });
    for http2 in [false, true] {
        let body = Bytes::from(vec![b'x'; 200_000]);
        let exchange = world.ask(HttpRequest { body, http2, ..request("http://10.0.0.2:8080/") });
        let answer = exchange.answer.expect("an answer");
        assert_eq!((answer.status, answer.body.len()), (201, 64 * 1024));
        assert!(exchange.bytes_received > 300_000 && exchange.bytes_sent > 200_000);
    }
}

#[test]
fn every_way_not_to_answer_is_told_apart() {
    for (answer, outcome) in
        [(Answer::Never, Outcome::TimedOut), (Answer::Close, Outcome::ClosedEarly), (Answer::Reset, Outcome::Reset)]
    {
        let world = world(Behaviour { answer, ..Behaviour::default() });
        assert_eq!(world.ask(request("http://10.0.0.2:8080/")).outcome, outcome, "{answer:?}");
    }
    let world = world(Behaviour::default());
    assert_eq!(world.ask(request("http://10.0.0.2:9999/")).outcome, Outcome::Refused);
    assert_eq!(world.ask(request("http://nowhere/")).outcome, Outcome::NoSuchHost);
}

#[test]
fn a_kept_connection_carries_many_requests_and_is_replaced_when_the_server_closed_it() {
    let world = world(Behaviour { answer: Answer::EchoThenClose, ..Behaviour::default() });
    let client = world.client.clone();
    let work = async move {
        let mut kept = None;
        let mut locals = Vec::new();
        for _ in 0..3 {
            let exchange = client.request(&request("http://10.0.0.2:8080/"), Some(&mut kept)).await;
            assert_eq!(exchange.outcome, Outcome::Completed);
            locals.push(exchange.local);
        }
        locals
    };
    let mut locals = world.sim.block_on(&world.client.host, "test", work).expect("an end");
    locals.dedup();
    assert_eq!(locals.len(), 3);
}

#[test]
fn a_stream_comes_back_byte_for_byte() {
    for port in [PORT + 1, PORT + 2] {
        for half_close in [false, true] {
            let world = world(Behaviour::default());
            let handle = world.stream(StreamSpec { half_close, ..stream(port) });
            let observations = world.settle();
            let report = handle.report();
            assert!(report.whole, "{report:?}");
            assert_eq!(report.closed.map(|(_, outcome)| outcome), Some(Outcome::Completed));
            let (client, server) = (closed(&observations, FlowEnd::Client), closed(&observations, FlowEnd::Server));
            assert_eq!((client[0].sent, client[0].received), (server[0].received, server[0].sent));
            assert!(server[0].ending == Ending::Finished && server[0].read_to_end);
        }
    }
}

#[test]
fn a_held_stream_takes_orders() {
    let world = world(Behaviour::default());
    let handle = world.stream(StreamSpec { hold: true, ..stream(PORT + 1) });
    world.sim.run_for(Duration::from_secs(30)).expect("no stall");
    assert!(handle.report().whole && handle.report().closed.is_none());
    handle.order(Order::Send(5000));
    assert!(!handle.report().whole);
    world.sim.run_for(Duration::from_secs(1)).expect("no stall");
    assert!(handle.report().whole);
    handle.order(Order::Finish);
    let observations = world.settle();
    assert_eq!(handle.report().closed.map(|(_, outcome)| outcome), Some(Outcome::Completed));
    assert_eq!(closed(&observations, FlowEnd::Server).len(), 1);
}

#[test]
fn a_stream_no_one_reads_fills_up_and_stays() {
    let world = world(Behaviour::default());
    let spec = StreamSpec { hold: true, read: Reading::Nothing, send: 64 << 20, ..stream(PORT + 1) };
    let handle = world.stream(spec);
    world.sim.run_for(Duration::from_secs(60)).expect("no stall");
    let report = handle.report();
    assert!(report.established.is_some() && report.closed.is_none());
    assert!(report.sent < 64 << 20, "{report:?}");
}

#[test]
fn a_slow_reader_gets_everything_in_the_end() {
    let world = world(Behaviour { read_rate: Some(50_000), ..Behaviour::default() });
    let handle = world.stream(stream(PORT + 1));
    let observations = world.settle();
    assert!(handle.report().whole, "{:?}", handle.report());
    let last = observations.last().expect("observations").at;
    assert!(last > Instant::START + Duration::from_millis(1900), "{last}");
}

#[test]
fn a_killed_server_still_tells_how_far_it_came() {
    let world = world(Behaviour::default());
    let handle = world.stream(StreamSpec { hold: true, ..stream(PORT + 1) });
    world.sim.run_for(Duration::from_secs(1)).expect("no stall");
    world.server.kill(sim::node::KillMode::Reset);
    let observations = world.settle();
    assert_eq!(handle.report().closed.map(|(_, outcome)| outcome), Some(Outcome::Reset));
    assert_eq!(closed(&observations, FlowEnd::Server)[0].ending, Ending::Killed);
}

struct OneClient(Client<SimHost>, Arc<HttpRequest>);

impl Traffic<SimHost> for OneClient {
    fn request(&self, _number: u64) -> Option<(Client<SimHost>, Arc<HttpRequest>)> {
        Some((self.0.clone(), self.1.clone()))
    }
}

fn load(world: &World, concurrency: u32) -> Arc<Load<SimHost>> {
    let schedule = Schedule {
        start: Instant::START + Duration::from_secs(1),
        end: Instant::START + Duration::from_secs(3),
        count: 100,
        per: Duration::from_secs(1),
        random: false,
    };
    let spec = LoadSpec { schedule, concurrency, keep_alive: true, good: vec![] };
    let traffic = OneClient(world.client.clone(), Arc::new(request("http://10.0.0.2:8080/")));
    Load::start(&world.client.host, spec, Arc::new(traffic))
}

#[test]
fn load_is_open_loop_and_waiting_counts_as_latency() {
    // Each answer takes 20 ms and requests come every 10 ms: with one at a time, the last of 200 waits for two seconds.
    let slow = Behaviour { delay: Delay::Fixed(Duration::from_millis(20)), ..Behaviour::default() };
    let world = world(slow.clone());
    let one = load(&world, 1);
    world.settle();
    assert!(one.is_over());
    let tally = one.tally();
    assert_eq!((tally.sent, tally.succeeded), (200, 200));
    assert!(tally.quantiles().max > 1_900_000_000, "{:?}", tally.quantiles());
    let world = self::world(slow);
    let many = load(&world, 100);
    let observations = world.settle();
    assert!(many.tally().quantiles().max < 21_000_000, "{:?}", many.tally().quantiles());
    let dialled =
        |observation: &&Observation| matches!(observation.kind, ObservationKind::App(AppEvent::Dialled { .. }));
    assert!(observations.iter().filter(dialled).count() <= 3);
}
