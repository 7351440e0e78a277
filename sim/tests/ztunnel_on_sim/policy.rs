//! Who is let in, and what happens when that changes.

use std::time::Duration;

use proxy_core::policy::Scope;
use proxy_core::state::ResourceName;
use proxy_core::telemetry::{Event, Reason, Reporter};

use crate::app::{ask, echo, hold};
use crate::mesh::{Mesh, deny, key, strict};

const CLIENT: &str = "cluster.local/ns/default/sa/client";

#[test]
fn a_denied_client_is_refused_with_the_policy_named() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    let visitors = echo(&server.host, 8080);
    mesh.push(vec![deny("no-client", Scope::Namespace, CLIENT)]);
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    assert!(asked.seen().connected && asked.seen().end.is_some() && asked.seen().received.is_empty());
    assert!(visitors.lock().is_empty());
    assert_eq!(mesh.events.reasons(Reporter::Destination), [Reason::PolicyDenied]);
    assert_eq!(mesh.events.reasons(Reporter::Source), [Reason::RefusedByPeerPolicy]);
    let error = mesh.events.all().into_iter().find_map(|event| match event {
        Event::Closed { connection, error, .. } if connection.reporter == Reporter::Destination => error,
        _ => None,
    });
    let expected = "connection closed due to policy rejection: explicitly denied by: default/no-client";
    assert_eq!(error.as_deref(), Some(expected));
}

#[test]
fn a_deny_of_the_namespace_cuts_a_live_connection() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    let held = hold(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    assert_eq!((held.seen().text(), held.seen().end), ("hello", None));
    mesh.push(vec![deny("no-client", Scope::Namespace, CLIENT)]);
    mesh.run_ms(100);
    assert!(matches!(held.seen().end, Some(Err(_))), "a cut is not a clean end: {:?}", held.seen());
    assert_eq!(mesh.events.reasons(Reporter::Destination), [Reason::PolicyChanged]);
}

#[test]
fn a_deny_attached_to_the_workload_cuts_a_live_connection() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    mesh.push(vec![deny("no-client", Scope::WorkloadSelector, CLIENT)]);
    let held = hold(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    assert_eq!((held.seen().text(), held.seen().end), ("hello", None));
    mesh.attach(&server, &[key("no-client")]);
    mesh.run_ms(100);
    assert!(held.seen().end.is_some());
    assert_eq!(mesh.events.reasons(Reporter::Destination), [Reason::WorkloadChanged]);
}

#[test]
fn strict_refuses_plaintext_and_lets_hbone_through() {
    let mesh = Mesh::new();
    let (meshed, plain) = (mesh.pod(0, "meshed", "10.0.0.1", true), mesh.pod(0, "plain", "10.0.0.2", false));
    let server = mesh.pod(1, "server", "10.0.1.1", true);
    echo(&server.host, 8080);
    mesh.push(vec![strict("strict")]);
    mesh.attach(&server, &[key("strict")]);
    let (inside, outside) =
        (ask(&meshed.host, server.at(8080), b"inside"), ask(&plain.host, server.at(8080), b"outside"));
    mesh.run_ms(500);
    assert_eq!(inside.seen().text(), "inside");
    assert!(outside.seen().received.is_empty() && outside.seen().end.is_some());
    assert!(mesh.events.reasons(Reporter::Destination).contains(&Reason::PolicyDenied));
}

#[test]
fn strict_cuts_plaintext_that_is_open_and_leaves_hbone_alone() {
    let mesh = Mesh::new();
    let (meshed, plain) = (mesh.pod(0, "meshed", "10.0.0.1", true), mesh.pod(0, "plain", "10.0.0.2", false));
    let server = mesh.pod(1, "server", "10.0.1.1", true);
    echo(&server.host, 8080);
    let (inside, outside) =
        (hold(&meshed.host, server.at(8080), b"inside"), hold(&plain.host, server.at(8080), b"outside"));
    mesh.run_ms(500);
    assert_eq!((inside.seen().text(), outside.seen().text()), ("inside", "outside"));
    mesh.attach(&server, &[key("strict")]);
    mesh.push(vec![strict("strict")]);
    mesh.run_ms(100);
    assert!(inside.seen().end.is_none());
    assert!(outside.seen().end.is_some());
}

#[test]
fn a_policy_that_comes_after_the_workload_that_names_it_is_waited_for() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    // The record is new, so nothing is known of what was in force before.
    mesh.remove(ResourceName::Workload(server.workload.uid.clone()));
    mesh.attach(&server, &[key("other")]);
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(1000);
    assert!(asked.seen().received.is_empty() && asked.seen().end.is_none());
    mesh.push(vec![deny("other", Scope::WorkloadSelector, "somebody/else")]);
    mesh.run_ms(500);
    assert_eq!(asked.seen().text(), "hello");
}

#[test]
fn a_policy_that_never_comes_refuses_in_the_end() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    mesh.remove(ResourceName::Workload(server.workload.uid.clone()));
    mesh.attach(&server, &[key("never")]);
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(6000);
    assert!(asked.seen().received.is_empty() && asked.seen().end.is_some());
    assert_eq!(mesh.events.reasons(Reporter::Destination), [Reason::PolicyUnknown]);
}

#[test]
fn no_connection_slips_through_while_a_deny_arrives() {
    for seed in 0..40 {
        let mesh = Mesh::shuffled(seed);
        let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
        echo(&server.host, 8080);
        let by_selector = seed % 2 == 0;
        let scope = if by_selector { Scope::WorkloadSelector } else { Scope::Namespace };
        if by_selector {
            mesh.push(vec![deny("no-client", scope, CLIENT)]);
        }
        // The first opens the tunnel; the others come at every stage of being admitted.
        let mut held = vec![hold(&client.host, server.at(8080), b"hello")];
        mesh.run_ms(100);
        for index in 0..60 {
            if index == 30 && by_selector {
                mesh.attach(&server, &[key("no-client")]);
            } else if index == 30 {
                mesh.push(vec![deny("no-client", scope, CLIENT)]);
            }
            held.push(hold(&client.host, server.at(8080), b"hello"));
            mesh.run(Duration::from_micros(17 + seed));
        }
        mesh.run_ms(200);
        let open = held.iter().filter(|client| client.seen().end.is_none()).count();
        assert_eq!(open, 0, "seed {seed}");
        let live: usize =
            mesh.nodes.iter().flat_map(|node| node.ztunnel.connections()).map(|(_, live)| live.len()).sum();
        assert_eq!(live, 0, "seed {seed}");
        let opened = mesh.events.all().iter().filter(|event| matches!(event, Event::Opened { .. })).count();
        let closed = mesh.events.closed(Reporter::Source).len() + mesh.events.closed(Reporter::Destination).len();
        assert_eq!(opened, closed, "seed {seed}");
    }
}
