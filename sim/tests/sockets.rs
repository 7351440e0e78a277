//! Sockets between namespaces, as tasks see them.

mod common;

use std::time::Duration;

use common::{Pair, at};
use proxy_core::host::{Dial, Host, Listener, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn bytes_come_back_after_two_latencies() {
    let pair = Pair::new(1);
    pair.serve_echo(80);
    let client = pair.client.clone();
    let took = pair.sim.block_on(&pair.client, "client", async move {
        let mut stream = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect("connects");
        let start = client.now();
        stream.write_all(b"hello").await.expect("writes");
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.expect("reads");
        assert_eq!(&back, b"hello");
        client.now() - start
    });
    assert_eq!(took.expect("finishes"), Duration::from_micros(500));
}

#[test]
fn nobody_listening_is_refused_and_nobody_there_is_unreachable() {
    let pair = Pair::new(1);
    let client = pair.client.clone();
    let kinds = pair.sim.block_on(&pair.client, "client", async move {
        let refused = client.dial(Dial::to(at("10.0.1.1:81"))).await.expect_err("nobody listens").kind();
        let unreachable = client.dial(Dial::to(at("10.9.9.9:80"))).await.expect_err("nobody there").kind();
        (refused, unreachable)
    });
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable};
    assert_eq!(kinds.expect("finishes"), (ConnectionRefused, HostUnreachable));
}

#[test]
fn half_close_leaves_the_other_direction_open() {
    let pair = Pair::new(1);
    let server = pair.server.clone();
    pair.server.spawn("server", async move {
        let listener = server.listen(at("0.0.0.0:80")).expect("listens");
        let mut stream = listener.accept().await.expect("accepts").stream;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.expect("reads to the end");
        stream.write_all(&all).await.expect("still writes");
    });
    let client = pair.client.clone();
    let back = pair.sim.block_on(&pair.client, "client", async move {
        client.sleep(Duration::from_millis(1)).await;
        let mut stream = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect("connects");
        stream.write_all(&[7; 100_000]).await.expect("writes");
        stream.shutdown().await.expect("half-closes");
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.expect("reads");
        back
    });
    assert_eq!(back.expect("finishes"), vec![7; 100_000]);
}

#[test]
fn dropping_with_unread_data_resets_the_peer() {
    let pair = Pair::new(1);
    let server = pair.server.clone();
    pair.server.spawn("server", async move {
        let listener = server.listen(at("0.0.0.0:80")).expect("listens");
        let stream = listener.accept().await.expect("accepts").stream;
        server.sleep(Duration::from_secs(1)).await;
        drop(stream);
    });
    let client = pair.client.clone();
    let kind = pair.sim.block_on(&pair.client, "client", async move {
        client.sleep(Duration::from_millis(1)).await;
        let mut stream = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect("connects");
        stream.write_all(b"never read").await.expect("writes");
        stream.read_u8().await.expect_err("reset").kind()
    });
    assert_eq!(kind.expect("finishes"), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn stream_addresses_are_those_of_both_ends() {
    let pair = Pair::new(1);
    let server = pair.server.clone();
    pair.server.spawn("server", async move {
        let listener = server.listen(at("[::]:80")).expect("listens on both families");
        for client in ["10.0.0.1", "fd00::1"] {
            let accepted = listener.accept().await.expect("accepts");
            assert_eq!(accepted.peer.ip().to_string(), client);
            assert_eq!(accepted.original_dst, accepted.stream.local_addr());
            assert_eq!(accepted.stream.peer_addr(), accepted.peer);
        }
    });
    let client = pair.client.clone();
    let done = pair.sim.block_on(&pair.client, "client", async move {
        client.sleep(Duration::from_millis(1)).await;
        for to in ["10.0.1.1:80", "[fd00::1:1]:80"] {
            let stream = client.dial(Dial::to(at(to))).await.expect("connects");
            assert_eq!(stream.peer_addr(), at(to));
        }
        client.sleep(Duration::from_millis(10)).await;
    });
    done.expect("finishes");
    assert_eq!(pair.sim.crashes(), vec![]);
}
