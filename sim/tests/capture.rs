//! Capture in a pod's namespace: what is redirected, what is not, what both ends see.

mod common;

use std::time::Duration;

use common::{Pair, at, serve_echo};
use proxy_core::host::{Datagram, Dial, Host, Listener, Stream};
use sim::node::{Capture, PROXY_MARK, SimHost};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers every connection to `port` with who it is and what it sees: `name peer original local`.
fn serve_sight(host: &SimHost, name: &'static str, port: u16) {
    let listener = host.listen(at(&format!("[::]:{port}"))).expect("the port is free");
    host.spawn(name, async move {
        while let Ok(accepted) = listener.accept().await {
            let mut stream = accepted.stream;
            let (peer, local) = (accepted.peer.ip(), stream.local_addr());
            let text = format!("{name} {peer} {} {local}", accepted.original_dst);
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
}

/// What a dial from `host` is told, or why it failed.
fn dial(pair: &Pair, host: &SimHost, dial: Dial) -> String {
    let dialler = host.clone();
    let told = pair.sim.block_on(host, "dial", async move {
        let mut stream = match dialler.dial(dial).await {
            Ok(stream) => stream,
            Err(error) => return error.kind().to_string(),
        };
        assert_eq!(stream.peer_addr(), dial.to, "the client sees whom it dialled");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("answers");
        text
    });
    told.expect("finishes")
}

/// The client's namespace is captured; a proxy listens in it, an application on the server.
fn captured(capture: Capture) -> (Pair, SimHost) {
    let pair = Pair::new(1);
    let proxy = pair.sim.process(pair.client_namespace, "ztunnel").marked(PROXY_MARK);
    serve_sight(&proxy, "outbound", 15001);
    serve_sight(&proxy, "inbound", 15006);
    serve_sight(&proxy, "hbone", 15008);
    serve_sight(&pair.client, "app", 8080);
    serve_sight(&pair.server, "server", 80);
    pair.sim.set_capture(pair.client_namespace, Some(capture));
    (pair, proxy)
}

#[test]
fn outgoing_connections_reach_the_proxy_with_their_original_destination() {
    let (pair, _) = captured(Capture::default());
    let told = dial(&pair, &pair.client, Dial::to(at("10.0.1.1:80")));
    assert_eq!(told, "outbound 10.0.0.1 10.0.1.1:80 127.0.0.1:15001");
    let told = dial(&pair, &pair.client, Dial::to(at("[fd00::1:1]:80")));
    assert_eq!(told, "outbound fd00::1 [fd00::1:1]:80 [::1]:15001");
    // Nobody has this address, and nobody needs to: the proxy will decide.
    let told = dial(&pair, &pair.client, Dial::to(at("10.96.0.1:443")));
    assert_eq!(told, "outbound 10.0.0.1 10.96.0.1:443 127.0.0.1:15001");
}

#[test]
fn the_proxys_own_connections_are_not_captured() {
    let (pair, proxy) = captured(Capture::default());
    assert_eq!(dial(&pair, &proxy, Dial::to(at("10.0.1.1:80"))), "server 10.0.0.1 10.0.1.1:80 10.0.1.1:80");
    let unmarked = proxy.marked(0);
    assert!(dial(&pair, &unmarked, Dial::to(at("10.0.1.1:80"))).starts_with("outbound"));
}

#[test]
fn calls_to_itself_stay_away_from_the_proxy() {
    let (pair, _) = captured(Capture::default());
    assert_eq!(dial(&pair, &pair.client, Dial::to(at("10.0.0.1:8080"))), "app 10.0.0.1 10.0.0.1:8080 10.0.0.1:8080");
    assert_eq!(
        dial(&pair, &pair.client, Dial::to(at("127.0.0.1:8080"))),
        "app 127.0.0.1 127.0.0.1:8080 127.0.0.1:8080"
    );
}

#[test]
fn incoming_connections_reach_the_proxy_except_hbone() {
    let (pair, _) = captured(Capture::default());
    let told = dial(&pair, &pair.server, Dial::to(at("10.0.0.1:8080")));
    assert_eq!(told, "inbound 10.0.1.1 10.0.0.1:8080 10.0.0.1:15006");
    let told = dial(&pair, &pair.server, Dial::to(at("10.0.0.1:15008")));
    assert_eq!(told, "hbone 10.0.1.1 10.0.0.1:15008 10.0.0.1:15008");
    let marked_elsewhere = pair.server.marked(PROXY_MARK);
    assert!(dial(&pair, &marked_elsewhere, Dial::to(at("10.0.0.1:8080"))).starts_with("inbound"));
}

#[test]
fn probes_and_bypassed_pods_are_left_alone() {
    let (pair, _) = captured(Capture::default());
    // The node's kubelet, whose probes the agent gives this source.
    let kubelet = common::namespace(&pair.sim, pair.nodes[0], "kubelet", &["169.254.7.127"]);
    let kubelet = pair.sim.process(kubelet, "kubelet");
    assert!(dial(&pair, &kubelet, Dial::to(at("10.0.0.1:8080"))).starts_with("app 169.254.7.127"));
    let (pair, _) = captured(Capture { bypass_inbound: true, dns: false });
    assert!(dial(&pair, &pair.server, Dial::to(at("10.0.0.1:8080"))).starts_with("app"));
    assert!(dial(&pair, &pair.client, Dial::to(at("10.0.1.1:80"))).starts_with("outbound"));
}

#[test]
fn a_captured_pod_without_a_proxy_fails_closed() {
    let (pair, proxy) = captured(Capture::default());
    proxy.kill(sim::node::KillMode::Close);
    assert_eq!(dial(&pair, &pair.client, Dial::to(at("10.0.1.1:80"))), "connection refused");
    assert_eq!(dial(&pair, &pair.server, Dial::to(at("10.0.0.1:8080"))), "connection refused");
    pair.sim.set_capture(pair.client_namespace, None);
    assert!(dial(&pair, &pair.client, Dial::to(at("10.0.1.1:80"))).starts_with("server"));
}

#[test]
fn the_application_sees_the_preserved_source_and_its_answers_find_the_proxy() {
    let (pair, proxy) = captured(Capture::default());
    let from = "10.0.1.1".parse().expect("an address");
    let told = dial(&pair, &proxy, Dial::to(at("10.0.0.1:8080")).preserving(from));
    assert_eq!(told, "app 10.0.1.1 10.0.0.1:8080 10.0.0.1:8080");
    let stranger = "192.0.2.7".parse().expect("an address");
    let told = dial(&pair, &proxy, Dial::to(at("10.0.0.1:8080")).preserving(stranger));
    assert_eq!(told, "app 192.0.2.7 10.0.0.1:8080 10.0.0.1:8080");
    let other_family = "fd00::9".parse().expect("an address");
    let told = dial(&pair, &proxy, Dial::to(at("10.0.0.1:8080")).preserving(other_family));
    assert_eq!(told, "address not available");
}

#[test]
fn many_preserved_connections_share_a_pod_with_those_they_stand_for() {
    let pair = Pair::new(1);
    let proxy = pair.sim.process(pair.client_namespace, "ztunnel").marked(PROXY_MARK);
    serve_echo(&pair.client, 8080);
    let listener = proxy.listen(at("[::]:15006")).expect("listens");
    let host = proxy.clone();
    proxy.spawn("inbound", async move {
        while let Ok(accepted) = listener.accept().await {
            let inner = host.clone();
            host.spawn("connection", async move {
                let to = Dial::to(accepted.original_dst).preserving(accepted.peer.ip());
                let mut app = inner.dial(to).await.expect("the application listens");
                assert_eq!(app.local_addr().ip(), accepted.peer.ip());
                let mut stream = accepted.stream;
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut app).await;
            });
        }
    });
    pair.sim.set_capture(pair.client_namespace, Some(Capture::default()));
    for number in 0..50u8 {
        let client = pair.server.clone();
        pair.server.spawn_must_finish("client", async move {
            let mut stream = client.dial(Dial::to(at("10.0.0.1:8080"))).await.expect("connects");
            stream.write_all(&[number; 3000]).await.expect("writes");
            stream.shutdown().await.expect("ends");
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.expect("reads");
            assert_eq!(back, [number; 3000]);
        });
    }
    pair.sim.run_until_idle().expect("all finish");
    assert_eq!(pair.sim.crashes(), vec![]);
    assert_eq!(pair.sim.counters()["connections_open"], 0);
}

#[test]
fn captured_dns_reaches_the_resolver_and_answers_come_from_whom_was_asked() {
    for (capture, expected) in [(true, "proxy"), (false, "server")] {
        let pair = Pair::new(1);
        pair.sim.set_capture(pair.client_namespace, Some(Capture { bypass_inbound: false, dns: capture }));
        let proxy = pair.sim.process(pair.client_namespace, "ztunnel").marked(PROXY_MARK);
        for (host, address, answer) in [(&proxy, "127.0.0.1:15053", "proxy"), (&pair.server, "0.0.0.0:53", "server")] {
            let socket = host.bind_udp(at(address)).expect("binds");
            host.spawn("resolver", async move {
                while let Ok((_, from)) = socket.recv_from(&mut [0; 512]).await {
                    socket.send_to(answer.as_bytes(), from).await.expect("answers");
                }
            });
        }
        let client = pair.client.clone();
        let answer = pair.sim.block_on(&pair.client, "query", async move {
            let socket = client.bind_udp(at("0.0.0.0:0")).expect("binds");
            socket.send_to(b"who?", at("10.0.1.1:53")).await.expect("asks");
            let mut buffer = [0; 512];
            let (count, from) = socket.recv_from(&mut buffer).await.expect("is answered");
            (String::from_utf8_lossy(&buffer[..count]).into_owned(), from)
        });
        assert_eq!(answer.expect("finishes"), (expected.to_owned(), at("10.0.1.1:53")));
    }
}

#[test]
fn old_and_new_proxy_listen_side_by_side_and_both_are_chosen() {
    let (pair, _) = captured(Capture::default());
    let new = pair.sim.process(pair.client_namespace, "ztunnel").marked(PROXY_MARK);
    serve_sight(&new, "new", 15001);
    let told: Vec<String> = (0..40).map(|_| dial(&pair, &pair.client, Dial::to(at("10.0.1.1:80")))).collect();
    let of_new = told.iter().filter(|text| text.starts_with("new")).count();
    assert!((5..35).contains(&of_new), "{of_new} of 40");
    let other = pair.sim.process(pair.client_namespace, "other app");
    assert_eq!(other.listen(at("0.0.0.0:8080")).expect_err("taken").kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn virtual_services_spread_over_backends_and_refuse_without() {
    let pair = Pair::new(1);
    serve_sight(&pair.server, "server", 80);
    let vip = at("10.96.0.1:80");
    pair.sim.set_virtual_services([(vip, vec![at("10.0.1.1:80")]), (at("10.96.0.2:80"), vec![])].into());
    assert_eq!(dial(&pair, &pair.client, Dial::to(vip)), "server 10.0.0.1 10.0.1.1:80 10.0.1.1:80");
    assert_eq!(dial(&pair, &pair.client, Dial::to(at("10.96.0.2:80"))), "connection refused");
    pair.sim.run_for(Duration::from_secs(1)).expect("runs");
}
