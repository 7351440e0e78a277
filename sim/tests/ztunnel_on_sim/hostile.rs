//! Peers that do not play by the rules.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::hbone::{ConnectRequest, HboneError, Pool, PoolConfig, PoolKey, TraceParent};
use proxy_core::host::{Host, Rng};
use proxy_core::identity::Identity;
use proxy_core::identity::store::{CertificateStore, StoreConfig};
use proxy_core::state::{Resource, TunnelProtocol, Workload};
use proxy_core::telemetry::{NullSink, Reason, Reporter};

use crate::app::{ask, echo};
use crate::authority::Authority;
use crate::mesh::{Mesh, Pod};

/// What a hand-made HBONE client is told when it asks `server`'s proxy for `authority`.
fn attempt(
    mesh: &Mesh,
    from: &Pod,
    server: &Pod,
    identity: Identity,
    authority: &str,
) -> Option<Result<(), HboneError>> {
    attempt_by(mesh, from, server, identity, authority, mesh.authority.clone())
}

fn attempt_by(
    mesh: &Mesh,
    from: &Pod,
    server: &Pod,
    identity: Identity,
    authority: &str,
    issuer: Authority,
) -> Option<Result<(), HboneError>> {
    let (host, outcome) = (from.host.clone(), Arc::new(Mutex::new(None)));
    let certificates = CertificateStore::new(host.clone(), issuer, StoreConfig::default(), Arc::new(NullSink));
    let pool = Pool::new(host.clone(), PoolConfig::default(), Arc::new(NullSink));
    let key = PoolKey {
        source: identity.clone(),
        source_workload: "hostile".into(),
        expected: vec![server.workload.identity()],
        destination: server.at(15008),
        source_ip: from.address,
    };
    let traceparent = TraceParent::random(&mut Rng::from_number(1));
    let request = ConnectRequest::new(authority.parse().unwrap(), traceparent);
    let shared = outcome.clone();
    host.spawn("hostile client", async move {
        let certificate = certificates.fetch(&identity).await.unwrap();
        let answer = pool.connect(key, certificate, request).await.map(drop);
        *shared.lock() = Some(answer);
    });
    mesh.run(Duration::from_secs(2));
    outcome.lock().take()
}

fn pair() -> (Mesh, Pod, Pod) {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "outsider", "10.0.0.1", false), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    mesh.run_ms(100);
    (mesh, client, server)
}

fn ours(name: &str) -> Identity {
    Identity::new("cluster.local", "default", name)
}

#[test]
fn a_well_behaved_hand_made_client_is_served() {
    let (mesh, client, server) = pair();
    let answer = attempt(&mesh, &client, &server, ours("outsider"), "10.0.1.1:8080");
    assert!(matches!(answer, Some(Ok(()))), "{answer:?}");
}

#[test]
fn an_authority_of_another_pod_is_an_ip_mismatch() {
    let (mesh, client, server) = pair();
    let answer = attempt(&mesh, &client, &server, ours("outsider"), "10.0.1.9:8080");
    assert!(matches!(answer, Some(Err(HboneError::Refused(400)))), "{answer:?}");
    let refused = (Reporter::Destination, Reason::IpMismatch, "ip mismatch: 10.0.1.1 != 10.0.1.9".to_owned());
    assert_eq!(mesh.events.refused(), [refused]);
}

#[test]
fn the_proxys_own_ports_cannot_be_asked_for() {
    for port in [15001, 15006, 15008] {
        let (mesh, client, server) = pair();
        let answer = attempt(&mesh, &client, &server, ours("outsider"), &format!("10.0.1.1:{port}"));
        assert!(matches!(answer, Some(Err(HboneError::Refused(503)))), "{answer:?}");
        assert_eq!(mesh.events.refused()[0].1, Reason::SelfCall);
    }
}

#[test]
fn a_peer_of_another_trust_domain_gets_no_connection() {
    let (mesh, client, server) = pair();
    let foreign = Identity::new("elsewhere", "default", "outsider");
    let answer = attempt(&mesh, &client, &server, foreign, "10.0.1.1:8080");
    assert!(matches!(answer, Some(Err(_))), "{answer:?}");
    assert_eq!(mesh.events.refused()[0].1, Reason::ForeignTrustDomain);
}

#[test]
fn plaintext_to_the_hbone_port_is_no_way_in() {
    let (mesh, client, server) = pair();
    let asked = ask(&client.host, server.at(15008), b"GET / HTTP/1.1\r\n\r\n");
    mesh.run_ms(1000);
    assert!(asked.seen().end.is_some());
    assert_eq!(mesh.events.refused()[0].1, Reason::TlsFailed);
}

#[test]
fn a_peer_that_says_nothing_is_let_go_after_the_handshake_timeout() {
    let (mesh, client, server) = pair();
    let asked = crate::app::hold(&client.host, server.at(15008), b"");
    mesh.run_ms(9000);
    assert_eq!(asked.seen().end, None);
    mesh.run_ms(2000);
    assert!(asked.seen().end.is_some());
    assert_eq!(mesh.events.refused()[0].1, Reason::TlsTimeout);
}

#[test]
fn capture_ports_of_another_pod_lead_nowhere() {
    for port in [15001, 15006] {
        let (mesh, client, server) = pair();
        let asked = ask(&client.host, server.at(port), b"hello");
        mesh.run_ms(1000);
        assert!(asked.seen().end.is_some() && asked.seen().received.is_empty());
        assert_eq!(mesh.events.refused()[0].1, Reason::SelfCall);
    }
}

#[test]
fn a_pod_that_dials_its_own_proxys_ports_is_not_carried_in_circles() {
    let mesh = Mesh::new();
    let pod = mesh.pod(0, "curious", "10.0.0.1", true);
    mesh.run_ms(100);
    for target in ["127.0.0.1:15001", "127.0.0.1:15006", "10.0.0.1:15001", "10.0.0.1:15006"] {
        let asked = ask(&pod.host, target.parse().unwrap(), b"hello");
        mesh.run_ms(1000);
        assert!(asked.seen().end.is_some() && asked.seen().received.is_empty(), "{target}: {:?}", asked.seen());
    }
}

#[test]
fn a_pod_not_yet_announced_as_hbone_is_not_carried_in_circles_either() {
    let mesh = Mesh::new();
    let pod = mesh.pod(0, "curious", "10.0.0.1", true);
    let pending = Workload { tunnel_protocol: TunnelProtocol::None, ..(*pod.workload).clone() };
    mesh.push(vec![Resource::Workload(Arc::new(pending))]);
    mesh.run_ms(100);
    for port in [15001, 15006] {
        let asked = ask(&pod.host, pod.at(port), b"hello");
        mesh.run_ms(1000);
        assert!(asked.seen().end.is_some() && asked.seen().received.is_empty(), "{port}: {:?}", asked.seen());
    }
    let refused: Vec<Reason> = mesh.events.refused().into_iter().map(|(_, reason, _)| reason).collect();
    assert_eq!(refused, [Reason::SelfCall, Reason::SelfCall]);
}
