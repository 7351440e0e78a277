//! Tunnels end to end: mutual TLS, CONNECT, half-close, flow control, resets.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this host is tokio's paused clock")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use proxy_core::hbone::{Baggage, Forwarded, HboneError, Pool, PoolConfig, Tunnel};
use proxy_core::host::timer;
use proxy_core::telemetry::Reason;
use support::memory::MemoryHost;
use support::{Mesh, Served, identity, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One accepted tunnel, both ends.
async fn open(mesh: &Mesh, pool: &Pool<MemoryHost>, served: &mut Served) -> (Tunnel, Tunnel) {
    let certificate = mesh.authority.certificate(&identity("client"));
    let client = pool.connect(mesh.key(), certificate, request("10.0.0.2:8080"));
    let server = async { served.incoming.recv().await.unwrap().accept(None).unwrap() };
    let (client, server) = tokio::join!(biased; client, server);
    (client.unwrap().tunnel, server)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn a_connect_over_mutual_tls_shows_each_end_who_the_other_is() {
    let mesh = Mesh::new(1);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let mut connect = request("10.0.0.2:8080");
    connect.baggage = Baggage { namespace: "default".into(), ..Baggage::default() };
    connect.forwarded = Some(Forwarded { client: "10.0.0.1:5000".parse().unwrap(), host: Some("svc.default".into()) });
    let trace = connect.traceparent;
    let client = pool.connect(mesh.key(), mesh.authority.certificate(&identity("client")), connect);
    let server = async {
        let incoming = served.incoming.recv().await.unwrap();
        assert_eq!(incoming.method(), http::Method::CONNECT);
        assert_eq!(incoming.authority(), Some("10.0.0.2:8080"));
        assert_eq!(incoming.info().peer_identity, identity("client"));
        assert_eq!(incoming.info().local_identity, identity("server"));
        assert_eq!(incoming.info().peer.ip().to_string(), support::CLIENT);
        assert_eq!(&*incoming.headers().baggage.namespace, "default");
        assert_eq!(incoming.headers().forwarded_host.as_deref(), Some("svc.default"));
        assert_eq!(incoming.headers().traceparent, Some(trace));
        incoming.accept(Some(&Baggage { service_name: "echo".into(), ..Baggage::default() })).unwrap()
    };
    let (client, mut server) = tokio::join!(biased; client, server);
    let client = client.unwrap();
    assert_eq!(&*client.baggage.unwrap().service_name, "echo");
    assert_eq!(client.tunnel.info().peer_identity, identity("server"));
    let mut client = client.tunnel;
    client.write_all(b"ping").await.unwrap();
    let mut read = [0; 4];
    server.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"ping");
}

#[tokio::test(start_paused = true)]
async fn each_end_may_end_first_and_still_read() {
    let mesh = Mesh::new(2);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    for client_first in [true, false] {
        let (client, server) = open(&mesh, &pool, &mut served).await;
        let (mut first, mut second) = if client_first { (client, server) } else { (server, client) };
        first.write_all(b"all I have").await.unwrap();
        first.shutdown().await.unwrap();
        let mut read = Vec::new();
        second.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"all I have");
        for round in 0..3 {
            second.write_all(&[round; 100]).await.unwrap();
            let mut back = [0; 100];
            first.read_exact(&mut back).await.unwrap();
            assert_eq!(back, [round; 100]);
        }
        second.shutdown().await.unwrap();
        assert_eq!(first.read(&mut [0; 1]).await.unwrap(), 0);
    }
    assert_eq!(pool.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn large_streams_pass_both_ways_at_once_through_short_writes() {
    for write_max in [usize::MAX, 1000] {
        let mesh = Mesh::new(3);
        mesh.network.write_max.store(write_max, Ordering::Relaxed);
        let mut served = mesh.serve_default();
        let pool = mesh.pool(PoolConfig::default());
        let (client, server) = open(&mesh, &pool, &mut served).await;
        // More than the connection's window.
        let total = if write_max == usize::MAX { 20 << 20 } else { 2 << 20 };
        let exchange = |tunnel: Tunnel| async move {
            let (mut reader, mut writer) = tokio::io::split(tunnel);
            let send = async {
                writer.write_all(&pattern(total)).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let receive = async {
                let mut read = Vec::new();
                reader.read_to_end(&mut read).await.unwrap();
                assert!(read == pattern(total));
            };
            tokio::join!(biased; send, receive);
        };
        tokio::join!(biased; exchange(client), exchange(server));
    }
}

#[tokio::test(start_paused = true)]
async fn one_unread_stream_does_not_stall_another() {
    let mesh = Mesh::new(4);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let (mut unread_client, unread_server) = open(&mesh, &pool, &mut served).await;
    let (mut client, mut server) = open(&mesh, &pool, &mut served).await;
    assert_eq!(pool.stats().connections, 1);
    // Fills the unread stream's window until it is held up.
    let mut sent = 0;
    let chunk = pattern(64 << 10);
    while let Ok(written) = timer::timeout(&mesh.client, Duration::from_secs(1), unread_client.write(&chunk)).await {
        sent += written.unwrap();
        assert!(sent < 16 << 20, "an unread stream took a whole connection");
    }
    assert!(sent >= 4 << 20);
    for _ in 0..100 {
        client.write_all(&chunk).await.unwrap();
        let mut read = vec![0; chunk.len()];
        server.read_exact(&mut read).await.unwrap();
        assert!(read == chunk);
    }
    drop(unread_server);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_dropped_after_both_ends_delivers_what_was_written() {
    let mesh = Mesh::new(5);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let (mut client, mut server) = open(&mesh, &pool, &mut served).await;
    server.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    client.write_all(&pattern(300_000)).await.unwrap();
    client.shutdown().await.unwrap();
    drop(client);
    let mut read = Vec::new();
    server.read_to_end(&mut read).await.unwrap();
    assert!(read == pattern(300_000));
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_dropped_half_way_reads_as_an_end_and_takes_no_more() {
    let mesh = Mesh::new(5);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let (mut client, mut server) = open(&mesh, &pool, &mut served).await;
    client.write_all(b"delivered").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(client);
    let mut read = Vec::new();
    server.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"delivered");
    assert_eq!(server.write_all(b"too late").await.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(pool.stats().streams, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cut_connection_breaks_its_streams_after_their_buffered_data() {
    let mesh = Mesh::new(6);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let (mut client, mut server) = open(&mesh, &pool, &mut served).await;
    client.write_all(b"last words").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    pool.close(Reason::WorkloadRemoved);
    let mut read = [0; 10];
    server.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"last words");
    assert!(server.read(&mut read).await.is_err());
    assert!(client.read(&mut read).await.is_err());
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(mesh.client_events.closed(), [Reason::WorkloadRemoved]);
    assert_eq!(mesh.server_events.closed().len(), 1);
    let certificate = mesh.authority.certificate(&identity("client"));
    let refused = pool.connect(mesh.key(), certificate, request("10.0.0.2:8080")).await;
    assert_eq!(refused.err().unwrap().reason(), Reason::WorkloadRemoved);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_with_its_status_and_spares_the_connection() {
    let mesh = Mesh::new(7);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    for (status, reason) in
        [(401, Reason::RefusedByPeerPolicy), (503, Reason::RefusedByPeer), (400, Reason::RefusedByPeer)]
    {
        let certificate = mesh.authority.certificate(&identity("client"));
        let client = pool.connect(mesh.key(), certificate, request("10.0.0.2:8080"));
        let server = async { served.incoming.recv().await.unwrap().refuse(StatusCode::from_u16(status).unwrap()) };
        let (client, ()) = tokio::join!(biased; client, server);
        let error = client.err().unwrap();
        assert!(matches!(error, HboneError::Refused(code) if code == status), "{error}");
        assert_eq!(error.reason(), reason);
    }
    open(&mesh, &pool, &mut served).await;
    assert_eq!(mesh.client_events.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connect_without_an_answer_is_given_up_and_the_server_is_told() {
    let mesh = Mesh::new(8);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let certificate = mesh.authority.certificate(&identity("client"));
    let client = pool.connect(mesh.key(), certificate, request("10.0.0.2:8080"));
    let server = async {
        let mut incoming = served.incoming.recv().await.unwrap();
        incoming.cancelled().await;
    };
    let (client, ()) = tokio::join!(biased; client, server);
    assert_eq!(client.err().unwrap().reason(), Reason::ConnectResponseTimeout);
    assert_eq!(mesh.network.dials.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_single_bytes_does_not_kill_the_connection() {
    let mesh = Mesh::new(9);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let (mut client, mut server) = open(&mesh, &pool, &mut served).await;
    for _ in 0..50_000 {
        client.write_all(b"x").await.unwrap();
        // Lets each byte out as a frame of its own.
        tokio::task::yield_now().await;
    }
    client.shutdown().await.unwrap();
    let mut read = Vec::new();
    server.read_to_end(&mut read).await.unwrap();
    assert_eq!(read.len(), 50_000);
}

/// The whole wire of a busy minute.
fn wire(seed: u64) -> Vec<(std::net::SocketAddr, Vec<u8>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mesh = Mesh::new(seed);
        mesh.network.taping.store(true, Ordering::Relaxed);
        let mut served = mesh.serve_default();
        let pool = mesh.pool(PoolConfig::default());
        for round in 0..5u8 {
            let (mut client, mut server) = open(&mesh, &pool, &mut served).await;
            client.write_all(&[round; 3000]).await.unwrap();
            let mut read = [0; 3000];
            server.read_exact(&mut read).await.unwrap();
            server.write_all(&read).await.unwrap();
            client.read_exact(&mut read).await.unwrap();
            tokio::time::sleep(Duration::from_secs(12)).await;
        }
        let tape = mesh.network.tape.lock();
        tape.clone()
    })
}

#[test]
fn equal_seeds_put_equal_bytes_on_the_wire_and_other_seeds_equal_lengths() {
    let lengths =
        |wire: &[(std::net::SocketAddr, Vec<u8>)]| wire.iter().map(|(_, data)| data.len()).collect::<Vec<_>>();
    let first = wire(1);
    assert!(first.len() > 30);
    assert!(first == wire(1));
    let other = wire(2);
    assert!(first != other);
    assert_eq!(lengths(&first), lengths(&other));
}
