//! Pods and proxies that come and go.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::host::Host;
use proxy_core::state::ResourceName;
use proxy_core::telemetry::{Reason, Reporter};
use proxy_core::ztunnel::ZtunnelConfig;
use sim::node::KillMode;

use crate::app::{ask, echo, hold};
use crate::mesh::Mesh;

#[test]
fn a_drain_lets_connections_finish_and_takes_no_new_ones() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    let held = hold(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    let (ztunnel, done) = (mesh.nodes[1].ztunnel.clone(), Arc::new(Mutex::new(None)));
    let (deadline, outcome) = (mesh.now() + Duration::from_secs(5), done.clone());
    server.host.spawn("drain", async move {
        let cut = ztunnel.drain(deadline).await;
        *outcome.lock() = Some(cut);
    });
    mesh.run_ms(4000);
    assert!(!mesh.nodes[1].ztunnel.is_ready());
    assert_eq!((held.seen().text(), held.seen().end, *done.lock()), ("hello", None, None));
    let refused = ask(&client.host, server.at(8080), b"again");
    mesh.run_ms(500);
    assert!(refused.seen().end.is_some() && refused.seen().received.is_empty());
    mesh.run_ms(1000);
    assert!(held.seen().end.is_some());
    assert_eq!(*done.lock(), Some(true));
    assert_eq!(mesh.events.reasons(Reporter::Destination), [Reason::Drained]);
}

#[test]
fn a_drain_without_connections_ends_at_once() {
    let mesh = Mesh::new();
    let server = mesh.pod(1, "server", "10.0.1.1", true);
    mesh.run_ms(500);
    let (ztunnel, done) = (mesh.nodes[1].ztunnel.clone(), Arc::new(Mutex::new(None)));
    let (deadline, outcome) = (mesh.now() + Duration::from_secs(5), done.clone());
    server.host.spawn("drain", async move {
        let cut = ztunnel.drain(deadline).await;
        *outcome.lock() = Some(cut);
    });
    mesh.run_ms(1);
    assert_eq!(*done.lock(), Some(false));
}

#[test]
fn a_removed_pod_is_cut_at_once_on_both_sides() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    let held = hold(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    assert!(mesh.nodes[1].ztunnel.remove_workload("server"));
    mesh.run_ms(100);
    assert!(matches!(held.seen().end, Some(Err(_))), "{:?}", held.seen());
    assert_eq!(mesh.events.reasons(Reporter::Destination), [Reason::WorkloadRemoved]);
    assert!(!mesh.nodes[1].ztunnel.remove_workload("server"));
}

#[test]
fn a_removed_client_pod_takes_its_tunnels_with_it() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    let held = hold(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    mesh.nodes[0].ztunnel.remove_workload("client");
    mesh.run_ms(500);
    assert!(held.seen().end.is_some());
    assert_eq!(mesh.events.reasons(Reporter::Source), [Reason::WorkloadRemoved]);
    assert_eq!(mesh.events.reasons(Reporter::Destination).len(), 1, "the server's proxy lets go of it too");
}

#[test]
fn a_tunnel_is_not_used_for_whoever_gets_the_address_next() {
    let mesh = Mesh::new();
    let (client, first) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "first", "10.0.1.1", true));
    echo(&first.host, 8080);
    let before = ask(&client.host, first.at(8080), b"first");
    mesh.run_ms(500);
    assert_eq!(before.seen().text(), "first");
    mesh.nodes[1].ztunnel.remove_workload("first");
    mesh.sim.remove_namespace(first.namespace);
    mesh.remove(ResourceName::Workload(first.workload.uid.clone()));
    let second = mesh.pod(1, "second", "10.0.1.1", true);
    echo(&second.host, 8080);
    mesh.run_ms(100);
    let after = ask(&client.host, second.at(8080), b"second");
    mesh.run_ms(1000);
    assert_eq!(after.seen().text(), "second");
    let last = mesh.events.closed(Reporter::Source).pop().unwrap().0;
    assert_eq!(last.destination_workload, Some(second.workload.clone()));
}

#[test]
fn an_application_that_dials_before_its_workload_is_known_waits_for_it() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    mesh.remove(ResourceName::Workload(client.workload.uid.clone()));
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(3000);
    assert_eq!(asked.seen().end, None);
    mesh.attach(&client, &[]);
    mesh.run_ms(500);
    assert_eq!(asked.seen().text(), "hello");
}

#[test]
fn an_application_whose_workload_stays_unknown_is_refused_after_five_seconds() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    mesh.remove(ResourceName::Workload(client.workload.uid.clone()));
    mesh.run_ms(10);
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(4900);
    assert_eq!(asked.seen().end, None);
    mesh.run_ms(200);
    assert!(asked.seen().end.is_some());
    assert_eq!(mesh.events.refused()[0].1, Reason::UnknownSourceWorkload);
}

#[test]
fn a_peer_proxy_that_dies_without_a_word_is_found_out() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    let held = hold(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    mesh.nodes[1].process.kill(KillMode::Silent);
    mesh.sim.remove_namespace(server.namespace);
    mesh.run(Duration::from_secs(31));
    assert!(matches!(held.seen().end, Some(Err(_))), "{:?}", held.seen());
    assert_eq!(mesh.events.reasons(Reporter::Source), [Reason::PeerDead]);
}

#[test]
fn without_an_authority_hbone_is_refused_and_never_sent_in_plaintext() {
    let mesh = Mesh::new();
    mesh.authority.set_down(true);
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    let visitors = echo(&server.host, 8080);
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run(Duration::from_secs(31));
    assert!(asked.seen().end.is_some() && visitors.lock().is_empty());
    assert_eq!(mesh.events.reasons(Reporter::Source), [Reason::IdentityUnavailable]);
    mesh.authority.set_down(false);
    mesh.run(Duration::from_secs(200));
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    assert_eq!(asked.seen().text(), "hello");
}

#[test]
fn certificates_of_a_nodes_own_pods_are_fetched_before_they_are_needed() {
    let mesh = Mesh::new();
    let _pods = [mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true)];
    mesh.run_ms(500);
    for (node, name) in ["client", "server"].into_iter().enumerate() {
        let held: Vec<_> =
            mesh.nodes[node].ztunnel.certificates().list().into_iter().map(|(identity, _)| identity).collect();
        assert_eq!(held.iter().map(|identity| &*identity.service_account).collect::<Vec<_>>(), [name]);
    }
}

#[test]
fn a_pod_that_opens_too_many_connections_is_refused_more_and_others_are_not() {
    let mesh = Mesh::with(ZtunnelConfig { sockets_max: 3, ..ZtunnelConfig::default() });
    let (greedy, modest) = (mesh.pod(0, "greedy", "10.0.0.1", true), mesh.pod(0, "modest", "10.0.0.2", true));
    let server = mesh.pod(1, "server", "10.0.1.1", true);
    echo(&server.host, 8080);
    let held: Vec<_> = (0..5).map(|_| hold(&greedy.host, server.at(8080), b"hello")).collect();
    mesh.run_ms(500);
    assert_eq!(held.iter().filter(|client| client.seen().text() == "hello").count(), 3);
    let limits = mesh.events.refused().iter().filter(|(_, reason, _)| *reason == Reason::LimitReached).count();
    assert_eq!(limits, 2);
    let asked = ask(&modest.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    assert_eq!(asked.seen().text(), "hello");
}

#[test]
fn a_port_that_is_taken_is_reported_and_leaves_nothing_behind() {
    let mesh = Mesh::new();
    let pod = mesh.pod(0, "pod", "10.0.0.1", false);
    let host = mesh.nodes[0].process.in_namespace(pod.namespace);
    let taken = host.listen("[::]:15006".parse().unwrap()).unwrap();
    let info = proxy_core::ztunnel::WorkloadInfo {
        uid: "pod".into(),
        name: "pod".into(),
        namespace: "default".into(),
        service_account: "pod".into(),
    };
    let ztunnel = &mesh.nodes[0].ztunnel;
    let error = ztunnel.add_workload(info.clone(), host.clone()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(ztunnel.workloads().is_empty());
    drop(taken);
    ztunnel.add_workload(info.clone(), host).unwrap();
    assert_eq!(ztunnel.workloads(), [info]);
}
