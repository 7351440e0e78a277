//! The pool of tunnels: reuse, limits, failure, rotation, idleness, keepalive.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this host is tokio's paused clock")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proxy_core::hbone::{AcceptorConfig, HboneError, Http2Settings, Pool, PoolConfig, PoolKey, Tunnel};
use proxy_core::telemetry::{Reason, TunnelEvent};
use support::memory::MemoryHost;
use support::{HOUR, Mesh, Served, identity, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MOMENT: Duration = Duration::from_millis(1);

async fn open(mesh: &Mesh, pool: &Pool<MemoryHost>, served: &mut Served) -> (Tunnel, Tunnel) {
    open_with(mesh, pool, served, mesh.key()).await
}

async fn open_with(mesh: &Mesh, pool: &Pool<MemoryHost>, served: &mut Served, key: PoolKey) -> (Tunnel, Tunnel) {
    let certificate = mesh.authority.certificate(&identity("client"));
    let client = pool.connect(key, certificate, request("10.0.0.2:8080"));
    let server = async { served.incoming.recv().await.unwrap().accept(None).unwrap() };
    let (client, server) = tokio::join!(biased; client, server);
    (client.unwrap().tunnel, server)
}

/// As many callers at once, each with the tunnel it got.
async fn burst(mesh: &Mesh, pool: &Pool<MemoryHost>, count: usize) -> Vec<Result<Tunnel, HboneError>> {
    let certificate = mesh.authority.certificate(&identity("client"));
    let callers: Vec<_> = (0..count)
        .map(|_| {
            let (pool, key, certificate) = (pool.clone(), mesh.key(), certificate.clone());
            tokio::spawn(async move { pool.connect(key, certificate, request("10.0.0.2:8080")).await })
        })
        .collect();
    let mut tunnels = Vec::new();
    for caller in callers {
        tunnels.push(caller.await.unwrap().map(|connected| connected.tunnel));
    }
    tunnels
}

/// Accepts whatever comes and keeps it.
fn accept_all(mut served: Served) -> Served {
    let (_, empty) = tokio::sync::mpsc::unbounded_channel();
    let mut incoming = std::mem::replace(&mut served.incoming, empty);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(request) = incoming.recv().await {
            kept.push(request.accept(None));
        }
    });
    served
}

#[tokio::test(start_paused = true)]
async fn a_burst_opens_one_connection_and_the_limit_opens_another() {
    let mesh = Mesh::new(1);
    let _served = accept_all(mesh.serve_default());
    let pool = mesh.pool(PoolConfig::default());
    let tunnels = burst(&mesh, &pool, 100).await;
    assert!(tunnels.iter().all(Result::is_ok));
    assert_eq!(mesh.network.dials.load(Ordering::Relaxed), 1);
    let more = burst(&mesh, &pool, 101).await;
    assert!(more.iter().all(Result::is_ok));
    assert_eq!(mesh.network.dials.load(Ordering::Relaxed), 3);
    assert_eq!(pool.stats().streams, 201);
    // Places given back are taken again.
    drop(tunnels);
    burst(&mesh, &pool, 90).await;
    assert_eq!(mesh.network.dials.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_smaller_limit_of_the_peer_wins() {
    let mesh = Mesh::new(1);
    let http2 = Http2Settings { server_streams_max: 2, ..Http2Settings::default() };
    let config = AcceptorConfig { http2, ..AcceptorConfig::default() };
    let mut served = mesh.serve(config, mesh.authority.certificate(&identity("server")));
    let pool = mesh.pool(PoolConfig::default());
    let mut kept = Vec::new();
    for _ in 0..5 {
        kept.push(open(&mesh, &pool, &mut served).await);
    }
    assert_eq!(pool.stats().connections, 3);
}

#[tokio::test(start_paused = true)]
async fn a_failed_connection_fails_everybody_who_waited_and_the_next_caller_tries_again() {
    let mesh = Mesh::new(2);
    let pool = mesh.pool(PoolConfig::default());
    let refused = burst(&mesh, &pool, 10).await;
    assert!(refused.iter().all(|outcome| outcome.as_ref().is_err_and(|error| error.reason() == Reason::ConnectFailed)));
    assert_eq!(mesh.network.dials.load(Ordering::Relaxed), 1);
    let mut served = mesh.serve_default();
    open(&mesh, &pool, &mut served).await;
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_holds_up_its_own_key_only_and_for_ten_seconds() {
    let mesh = Mesh::new(3);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let hole: std::net::SocketAddr = "10.0.0.9:15008".parse().unwrap();
    mesh.network.black_holes.lock().push(hole);
    let before = tokio::time::Instant::now();
    let stuck = {
        let (pool, certificate) = (pool.clone(), mesh.authority.certificate(&identity("client")));
        let key = PoolKey { destination: hole, ..mesh.key() };
        tokio::spawn(async move { pool.connect(key, certificate, request("10.0.0.9:8080")).await })
    };
    tokio::task::yield_now().await;
    open(&mesh, &pool, &mut served).await;
    assert!(before.elapsed() < MOMENT);
    let error = stuck.await.unwrap().err().unwrap();
    assert_eq!(error.reason(), Reason::HboneTimeout);
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_speaks_tls_is_given_up() {
    let mesh = Mesh::new(3);
    let listener = proxy_core::Host::listen(&mesh.server, mesh.address()).unwrap();
    let pool = mesh.pool(PoolConfig::default());
    let outcome = burst(&mesh, &pool, 2).await;
    assert!(outcome.iter().all(|outcome| outcome.as_ref().is_err_and(|error| error.reason() == Reason::TlsTimeout)));
    drop(listener);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_does_not_take_the_others_connection_with_it() {
    let mesh = Mesh::new(4);
    let _served = accept_all(mesh.serve_default());
    let pool = mesh.pool(PoolConfig::default());
    let certificate = mesh.authority.certificate(&identity("client"));
    let first = tokio::spawn({
        let (pool, key, certificate) = (pool.clone(), mesh.key(), certificate.clone());
        async move { pool.connect(key, certificate, request("10.0.0.2:8080")).await.map(drop) }
    });
    tokio::task::yield_now().await;
    first.abort();
    assert!(burst(&mesh, &pool, 3).await.iter().all(Result::is_ok));
    assert_eq!(mesh.network.dials.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn connections_are_not_shared_between_keys() {
    let mesh = Mesh::new(5);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let mut kept = vec![open(&mesh, &pool, &mut served).await];
    let others = [
        PoolKey { source: identity("other"), ..mesh.key() },
        PoolKey { source_workload: "other".into(), ..mesh.key() },
        PoolKey { expected: vec![identity("server"), identity("other")], ..mesh.key() },
        PoolKey { source_ip: "10.0.0.7".parse().unwrap(), ..mesh.key() },
    ];
    for key in others {
        kept.push(open_with(&mesh, &pool, &mut served, key).await);
    }
    assert_eq!(pool.stats().connections, 5);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_closes_after_five_minutes_and_a_used_one_does_not() {
    let mesh = Mesh::new(6);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    drop(open(&mesh, &pool, &mut served).await);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(299)).await;
        drop(open(&mesh, &pool, &mut served).await);
    }
    assert_eq!(mesh.client_events.opened(), 1);
    tokio::time::sleep(Duration::from_secs(300) + MOMENT).await;
    assert_eq!(mesh.client_events.closed(), [Reason::Completed]);
    assert_eq!(mesh.server_events.closed(), [Reason::Completed]);
    assert_eq!(pool.stats(), Default::default());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_with_a_stream_leaves_the_pool_and_closes_with_the_stream() {
    let mesh = Mesh::new(6);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let (mut client, mut server) = open(&mesh, &pool, &mut served).await;
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert_eq!((pool.stats().pooled, pool.stats().connections), (0, 1));
    client.write_all(b"still").await.unwrap();
    server.read_exact(&mut [0; 5]).await.unwrap();
    drop(client);
    tokio::time::sleep(MOMENT).await;
    assert_eq!(mesh.client_events.closed(), [Reason::Completed]);
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_connection_goes_when_there_are_too_many() {
    let mesh = Mesh::new(7);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig { connections_max: 2, ..PoolConfig::default() });
    let key = |uid: &str| PoolKey { source_workload: uid.into(), ..mesh.key() };
    for uid in ["a", "b", "a", "c"] {
        drop(open_with(&mesh, &pool, &mut served, key(uid)).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(pool.stats().connections, 2);
    drop(open_with(&mesh, &pool, &mut served, key("a")).await);
    assert_eq!(mesh.client_events.opened(), 3);
    drop(open_with(&mesh, &pool, &mut served, key("b")).await);
    assert_eq!(mesh.client_events.opened(), 4);
}

#[tokio::test(start_paused = true)]
async fn after_goaway_new_streams_go_elsewhere_and_old_ones_go_on() {
    let mesh = Mesh::new(8);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let (mut client, mut server) = open(&mesh, &pool, &mut served).await;
    served.leave.notify_waiters();
    tokio::time::sleep(MOMENT).await;
    assert!(mesh.client_events.tunnels().iter().any(|event| matches!(event, TunnelEvent::GoAway { .. })));
    assert_eq!(pool.stats().pooled, 0);
    let second = open(&mesh, &pool, &mut served).await;
    assert_eq!(mesh.client_events.opened(), 2);
    client.write_all(b"still").await.unwrap();
    server.read_exact(&mut [0; 5]).await.unwrap();
    client.shutdown().await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    tokio::time::sleep(MOMENT).await;
    assert_eq!(mesh.client_events.closed(), [Reason::Completed]);
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_crosses_goaway_is_served_all_the_same() {
    let mesh = Mesh::new(8);
    let served = accept_all(mesh.serve_default());
    let pool = mesh.pool(PoolConfig::default());
    for _ in 0..20 {
        served.leave.notify_waiters();
        let outcome = burst(&mesh, &pool, 3).await;
        assert!(outcome.iter().all(Result::is_ok), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_certificate_retires_connections_made_with_the_older() {
    let mesh = Mesh::new(9);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let older = mesh.authority.certificate_from(&identity("client"), support::epoch(), HOUR);
    let newer = mesh.authority.certificate_from(&identity("client"), support::epoch() + MOMENT * 1000, HOUR);
    let mut open = async |certificate: &Arc<_>| {
        let client = pool.connect(mesh.key(), Arc::clone(certificate), request("10.0.0.2:8080"));
        let server = async { served.incoming.recv().await.unwrap().accept(None).unwrap() };
        let (client, server) = tokio::join!(biased; client, server);
        (client.unwrap().tunnel, server)
    };
    tokio::time::sleep(MOMENT * 2000).await;
    let first = open(&older).await;
    let second = open(&newer).await;
    assert_eq!(mesh.client_events.opened(), 2);
    assert_eq!(pool.stats().pooled, 1);
    // Who still holds the older one may use the newer connection.
    let third = open(&older).await;
    assert_eq!(mesh.client_events.opened(), 2);
    drop((first, second, third));
}

#[tokio::test(start_paused = true)]
async fn a_connection_retired_while_it_is_made_is_used_by_nobody() {
    let mesh = Mesh::new(9);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let certificate = mesh.authority.certificate_from(&identity("client"), support::epoch(), HOUR);
    let client = pool.connect(mesh.key(), certificate, request("10.0.0.2:8080"));
    let server = async {
        // The attempt has begun by now: its caller waits.
        pool.retire(|_| true);
        served.incoming.recv().await.unwrap().accept(None).unwrap()
    };
    let (client, server) = tokio::join!(biased; client, server);
    assert_eq!(mesh.client_events.opened(), 2, "the first was retired before it was done");
    assert_eq!(pool.stats().pooled, 1);
    drop((client.unwrap().tunnel, server));
}

#[tokio::test(start_paused = true)]
async fn an_ended_certificate_ends_reuse_and_is_not_presented() {
    let mesh = Mesh::new(9);
    let server = mesh.authority.certificate_from(&identity("server"), support::epoch(), HOUR / 20);
    let mut served = mesh.serve(AcceptorConfig::default(), server);
    let pool = mesh.pool(PoolConfig::default());
    let client = mesh.authority.certificate_from(&identity("client"), support::epoch(), HOUR / 10);
    let first = pool.connect(mesh.key(), client.clone(), request("10.0.0.2:8080"));
    let accept = async { served.incoming.recv().await.unwrap().accept(None).unwrap() };
    let (first, _accepted) = tokio::join!(biased; first, accept);
    assert!(first.is_ok());
    // The peer's certificate ends first, and is valid through its last second.
    tokio::time::sleep(HOUR / 20 + MOMENT * 1000).await;
    let second = pool.connect(mesh.key(), client.clone(), request("10.0.0.2:8080")).await;
    assert_eq!(second.err().unwrap().reason(), Reason::CertificateExpired);
    tokio::time::sleep(HOUR / 20).await;
    let third = pool.connect(mesh.key(), client, request("10.0.0.2:8080")).await;
    assert_eq!(third.err().unwrap().reason(), Reason::IdentityUnavailable);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_found_dead_by_ping_on_both_sides() {
    let mesh = Mesh::new(10);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let (mut client, mut server) = open(&mesh, &pool, &mut served).await;
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert_eq!(mesh.client_events.closed(), []);
    mesh.network.frozen.store(true, Ordering::Relaxed);
    // The next PING goes out at 70 s and has until 90 s.
    tokio::time::sleep(Duration::from_secs(24)).await;
    assert_eq!(mesh.client_events.closed(), []);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(mesh.client_events.closed(), [Reason::PeerDead]);
    assert_eq!(mesh.server_events.closed(), [Reason::PeerDead]);
    assert!(client.read(&mut [0; 1]).await.is_err());
    assert!(server.read(&mut [0; 1]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_draining_pool_opens_nothing_and_lets_streams_finish() {
    let mesh = Mesh::new(11);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    let (mut client, mut server) = open(&mesh, &pool, &mut served).await;
    pool.drain();
    let certificate = mesh.authority.certificate(&identity("client"));
    let refused = pool.connect(mesh.key(), certificate, request("10.0.0.2:8080")).await;
    assert_eq!(refused.err().unwrap().reason(), Reason::Drained);
    client.write_all(b"still").await.unwrap();
    server.read_exact(&mut [0; 5]).await.unwrap();
    drop(client);
    tokio::time::sleep(MOMENT).await;
    assert_eq!(mesh.client_events.closed(), [Reason::Completed]);
}

#[tokio::test(start_paused = true)]
async fn draining_wakes_who_waits_for_a_connection() {
    let mesh = Mesh::new(11);
    mesh.network.black_holes.lock().push(mesh.address());
    let pool = mesh.pool(PoolConfig::default());
    let before = tokio::time::Instant::now();
    let draining = async {
        tokio::time::sleep(MOMENT).await;
        pool.drain();
    };
    let (outcome, ()) = tokio::join!(biased; burst(&mesh, &pool, 3), draining);
    assert!(outcome.iter().all(|outcome| outcome.as_ref().is_err_and(|error| error.reason() == Reason::Drained)));
    assert!(before.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_too_many_cancelled_streams_is_replaced_not_killed() {
    let mesh = Mesh::new(12);
    let mut served = mesh.serve_default();
    let pool = mesh.pool(PoolConfig::default());
    for _ in 0..10_050 {
        drop(open(&mesh, &pool, &mut served).await);
    }
    assert_eq!(mesh.client_events.opened(), 2);
    assert_eq!(mesh.client_events.closed(), [Reason::Completed]);
}
