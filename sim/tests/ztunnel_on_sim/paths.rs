//! Which way bytes go, and that they arrive.

use proxy_core::telemetry::{ConnectionSecurity, Event, Hop, Reason, Reporter};

use crate::app::{ask, count, echo};
use crate::mesh::Mesh;

#[test]
fn an_exchange_between_enrolled_pods_crosses_both_proxies_over_hbone() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    let visitors = echo(&server.host, 8080);
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    assert_eq!((asked.seen().text(), asked.seen().end), ("hello", Some(Ok(()))));
    assert_eq!(visitors.lock()[0].ip(), client.address, "the application sees the client's own address");

    let (outbound, inbound) = (mesh.events.closed(Reporter::Source), mesh.events.closed(Reporter::Destination));
    assert_eq!((outbound.len(), inbound.len()), (1, 1));
    let ((source, source_reason, ..), (destination, destination_reason, sent, received)) = (&outbound[0], &inbound[0]);
    assert_eq!((*source_reason, *destination_reason), (Reason::Completed, Reason::Completed));
    assert_eq!((*sent, *received), (5, 5));
    assert_eq!(source.trace, destination.trace, "both hops are joined by one trace");
    assert_eq!((source.hop, source.security), (Hop::Hbone, ConnectionSecurity::MutualTls));
    assert_eq!(source.destination, Some(server.at(15008)));
    assert_eq!(source.authority.as_deref(), Some("10.0.1.1:8080"));
    assert_eq!(destination.source_identity, Some(client.workload.identity()));
    assert_eq!(destination.source_workload, Some(client.workload.clone()));
}

#[test]
fn every_socket_connection_and_byte_is_told_of_in_balance() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    let question = vec![7; 3_000_000];
    let asked = ask(&client.host, server.at(8080), &question);
    mesh.run_ms(20_000);
    assert!(asked.seen().received == question && asked.seen().end == Some(Ok(())));
    let (mut opened, mut judged, mut closed) = (0, 0, 0);
    let (mut told, mut totals) = ([0, 0], [0, 0]);
    for event in mesh.events.all() {
        match event {
            Event::Opened { .. } => opened += 1,
            Event::Judged { .. } => judged += 1,
            Event::Bytes { sent, received, .. } => told = [told[0] + sent, told[1] + received],
            Event::Closed { sent, received, .. } => {
                closed += 1;
                totals = [totals[0] + sent, totals[1] + received];
            }
            _ => {}
        }
    }
    assert_eq!((opened, judged, closed), (2, 1, 2));
    assert_eq!((told, totals), ([6_000_000, 6_000_000], [6_000_000, 6_000_000]));
    assert!(mesh.nodes.iter().flat_map(|node| node.ztunnel.connections()).all(|(_, live)| live.is_empty()));
}

#[test]
fn a_half_closed_connection_still_carries_the_answer() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    count(&server.host, 8080);
    let asked = ask(&client.host, server.at(8080), &[1; 100_000]);
    mesh.run_ms(2000);
    assert_eq!((asked.seen().text(), asked.seen().end), ("100000 bytes", Some(Ok(()))));
}

#[test]
fn an_enrolled_client_reaches_an_unenrolled_server_in_plaintext() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", false));
    echo(&server.host, 8080);
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    assert_eq!(asked.seen().text(), "hello");
    let outbound = mesh.events.closed(Reporter::Source);
    assert_eq!((outbound[0].0.hop, outbound[0].0.security), (Hop::Plain, ConnectionSecurity::Unknown));
    assert_eq!(outbound[0].0.source_identity, None);
    assert!(mesh.events.closed(Reporter::Destination).is_empty());
}

#[test]
fn an_unenrolled_client_reaches_an_enrolled_server_through_its_plaintext_port() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", false), mesh.pod(1, "server", "10.0.1.1", true));
    let visitors = echo(&server.host, 8080);
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    assert_eq!((asked.seen().text(), asked.seen().end), ("hello", Some(Ok(()))));
    assert_eq!(visitors.lock()[0].ip(), client.address);
    let inbound = mesh.events.closed(Reporter::Destination);
    assert_eq!((inbound[0].1, inbound[0].0.security), (Reason::Completed, ConnectionSecurity::Unknown));
    assert_eq!(inbound[0].0.original_destination, server.at(8080));
}

#[test]
fn pods_of_one_node_go_over_hbone_too() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(0, "server", "10.0.0.2", true));
    echo(&server.host, 8080);
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    assert_eq!(asked.seen().text(), "hello");
    assert_eq!(mesh.events.closed(Reporter::Destination)[0].0.hop, Hop::Hbone);
}

#[test]
fn connections_of_one_pod_to_one_destination_share_a_tunnel() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    echo(&server.host, 8080);
    let asked: Vec<_> = (0..20).map(|_| ask(&client.host, server.at(8080), b"hello")).collect();
    mesh.run_ms(1000);
    assert!(asked.iter().all(|client| client.seen().text() == "hello"));
    assert_eq!(mesh.nodes[0].ztunnel.tunnels()[0].1.connections, 1);
}

#[test]
fn a_server_that_is_not_there_is_an_error_with_its_reason_on_both_sides() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(1000);
    assert!(asked.seen().end.is_some() && asked.seen().received.is_empty());
    assert_eq!(mesh.events.reasons(Reporter::Destination), [Reason::ConnectFailed]);
    assert_eq!(mesh.events.reasons(Reporter::Source), [Reason::RefusedByPeer]);
}

#[test]
fn equal_runs_have_equal_digests() {
    let run = || {
        let mesh = Mesh::new();
        let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
        echo(&server.host, 8080);
        let asked = ask(&client.host, server.at(8080), b"hello");
        mesh.run_ms(500);
        assert_eq!(asked.seen().text(), "hello");
        mesh.sim.digest()
    };
    assert_eq!(run(), run());
}
