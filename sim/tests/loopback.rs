//! The ground on real sockets: its hosts have every property that hosts have, and its namespaces are captured as simulated ones.
#![cfg(target_os = "linux")]

use std::net::{IpAddr, SocketAddr};

use proxy_core::Host;
use proxy_core::host::suite::{Pair, Property};
use proxy_core::host::{Dial, Listener, Stream, TokioRuntime};
use sim::fabric::{NamespaceSpec, NodeSpec};
use sim::ground::{Ground, Process};
use sim::loopback::{Block, Loopback, LoopbackHost, Stop};
use sim::node::{Capture, KillMode, PROXY_MARK};
use sim::wire::NamespaceId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct World {
    ground: Loopback,
    server: NamespaceId,
    client: NamespaceId,
}

const SERVER: &str = "10.0.0.1";
const CLIENT: &str = "10.0.0.2";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(self::ip(ip), port)
}

/// Two namespaces on two nodes.
fn world(test: impl FnOnce(World)) {
    let runtime = TokioRuntime::new(2).expect("threads");
    runtime.drive(|host| {
        let ground = Loopback::new(host.clone(), Block::choose(&host).expect("a block"), Stop::default());
        let namespace = |name: &str, addresses: [&str; 2]| {
            let node = ground.add_node(NodeSpec { name: name.to_owned(), ..NodeSpec::default() });
            let addresses = addresses.map(ip).to_vec();
            ground.add_namespace(NamespaceSpec { node, name: format!("pod/{name}"), addresses })
        };
        let server = namespace("server", [SERVER, "fd00::1"]);
        let client = namespace("client", [CLIENT, "fd00::2"]);
        test(World { ground, server, client });
    });
}

impl World {
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.ground.outside().wait(work)
    }
}

fn check(address: &str, pair: impl Fn(&World) -> (LoopbackHost, LoopbackHost)) {
    world(|world| {
        for property in Property::ALL {
            let (server, client) = pair(&world);
            let hosts = Pair { server, client, address: ip(address) };
            assert_eq!(world.wait(property.check(&hosts)), Ok(()));
        }
        assert_eq!(world.ground.crashes(), vec![]);
    });
}

fn both(world: &World) -> (LoopbackHost, LoopbackHost) {
    (world.ground.process(world.server, "server"), world.ground.process(world.client, "client"))
}

#[test]
fn every_property_holds_between_two_namespaces() {
    check(SERVER, both);
}

#[test]
fn every_property_holds_over_ipv6_which_this_machine_need_not_have() {
    check("fd00::1", both);
}

#[test]
fn every_property_holds_within_a_namespace() {
    check("127.0.0.1", |world| {
        let host = world.ground.process(world.server, "both");
        (host.clone(), host)
    });
}

#[test]
fn what_a_captured_namespace_dials_comes_to_its_proxy_with_where_it_was_meant_to_go() {
    world(|world| {
        let (server, client) = both(&world);
        world.ground.set_capture(world.client, Some(Capture::default()));
        let proxy = world.ground.process(world.server, "proxy").in_namespace(world.client).marked(PROXY_MARK);
        let outbound = proxy.listen(at("0.0.0.0", 15001)).expect("free");
        let app = server.listen(at("0.0.0.0", 8080)).expect("free");
        world.wait(async {
            let dialled = client.dial(Dial::to(at(SERVER, 8080))).await.expect("redirected");
            let accepted = outbound.accept().await.expect("a connection");
            assert_eq!(accepted.original_dst, at(SERVER, 8080));
            assert_eq!(accepted.peer, dialled.local_addr());
            assert_eq!(accepted.peer.ip(), ip(CLIENT));
            assert_eq!(dialled.peer_addr(), at(SERVER, 8080));
            // The proxy goes on as the client: nobody redirects it, and the server sees the client's address.
            let onward = proxy.dial(Dial::to(at(SERVER, 8080)).preserving(ip(CLIENT))).await.expect("reached");
            let arrived = app.accept().await.expect("a connection");
            assert_eq!((arrived.peer, arrived.original_dst), (onward.local_addr(), at(SERVER, 8080)));
            assert_eq!(arrived.peer.ip(), ip(CLIENT));
        });
    });
}

#[test]
fn what_comes_from_outside_to_a_captured_namespace_comes_to_its_proxy_first() {
    world(|world| {
        let (server, _) = both(&world);
        let app = server.listen(at("0.0.0.0", 8080)).expect("free");
        let proxy = world.ground.process(world.client, "proxy").in_namespace(world.server).marked(PROXY_MARK);
        let inbound = proxy.listen(at("0.0.0.0", 15006)).expect("free");
        let place = SocketAddr::from((world.ground.place_of(ip(SERVER)).expect("a place"), 8080));
        let outside = world.ground.outside();
        world.wait(async {
            let mut direct = outside.dial(Dial::to(place)).await.expect("reached");
            let mut arrived = app.accept().await.expect("a connection").stream;
            direct.write_all(b"x").await.expect("sent");
            assert_eq!(arrived.read_u8().await.expect("a byte"), b'x', "nothing is captured yet");
        });
        world.ground.set_capture(world.server, Some(Capture::default()));
        let accepting = server.clone();
        accepting.spawn("application", async move { while app.accept().await.is_ok() {} });
        world.wait(async {
            let direct = outside.dial(Dial::to(place)).await.expect("reached");
            let accepted = inbound.accept().await.expect("a connection");
            assert_eq!((accepted.peer, accepted.original_dst), (direct.local_addr(), at(SERVER, 8080)));
        });
    });
}

#[test]
fn a_killed_process_closes_or_resets_its_connections_and_does_nothing_more() {
    world(|world| {
        for (mode, ended) in [(KillMode::Close, Ok(0)), (KillMode::Reset, Err(std::io::ErrorKind::ConnectionReset))] {
            let (server, client) = both(&world);
            let listener = server.listen(at("0.0.0.0", 8080)).expect("free");
            let mut dialled = world.wait(async {
                let dialled = client.dial(Dial::to(at(SERVER, 8080))).await.expect("reached");
                let accepted = listener.accept().await.expect("a connection");
                server.spawn("holder", async move {
                    let _held = (listener, accepted);
                    std::future::pending::<()>().await;
                });
                dialled
            });
            server.kill(mode);
            let read = world.wait(dialled.read(&mut [0; 1]));
            assert_eq!(read.map_err(|error| error.kind()), ended, "{mode:?}");
            assert!(!server.is_alive() && server.listen(at("0.0.0.0", 1)).is_err());
        }
    });
}

#[test]
fn two_meshes_never_have_the_same_block_and_one_that_ended_gives_its_own_back() {
    let runtime = TokioRuntime::new(1).expect("threads");
    runtime.drive(|host| {
        let block = Block::exactly(&host, 201).expect("nobody has it");
        let refused = Block::exactly(&host, 201).expect_err("it is taken").to_string();
        assert!(refused.contains("another mesh has 127.201.0.0/16"), "{refused}");
        drop(Loopback::new(host.clone(), block, Stop::default()));
        Block::exactly(&host, 201).expect("it was given back");
    });
}
