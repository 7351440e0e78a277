//! Pods and proxies that come and go.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::host::Host;
use proxy_core::telemetry::{Reason, Reporter};

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
    mesh.remove(proxy_core::state::ResourceName::Workload(first.workload.uid.clone()));
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
    mesh.remove(proxy_core::state::ResourceName::Workload(client.workload.uid.clone()));
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
    mesh.remove(proxy_core::state::ResourceName::Workload(client.workload.uid.clone()));
    mesh.run_ms(10);
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(4900);
    assert_eq!(asked.seen().end, None);
    mesh.run_ms(200);
    assert!(asked.seen().end.is_some());
    assert_eq!(mesh.events.refused()[0].1, Reason::UnknownSourceWorkload);
}
