//! Which way bytes go, and that they arrive.

use std::sync::Arc;

use proxy_core::host::WallTime;
use proxy_core::state::{
    ApplicationProtocol, ApplicationTunnel, GatewayAddress, GatewayDestination, NamespacedHostname, NetworkAddress,
    Resource, Service, ServicePort, Workload,
};
use proxy_core::telemetry::access_log::{Format, Level, Lines};
use proxy_core::telemetry::{AccessLog, ConnectionSecurity, Event, Hop, Metrics, Reason, Reporter, Sink};

use crate::app::{ask, collect, count, deaf, echo, hold};
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

#[test]
fn an_unread_connection_does_not_stall_its_neighbours_on_the_tunnel() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    deaf(&server.host, 9000);
    echo(&server.host, 8080);
    let unread = hold(&client.host, server.at(9000), &vec![0; 8 << 20]);
    mesh.run_ms(5000);
    let asked = ask(&client.host, server.at(8080), b"hello");
    mesh.run_ms(500);
    assert_eq!((asked.seen().text(), asked.seen().end), ("hello", Some(Ok(()))));
    assert_eq!(unread.seen().end, None);
    assert_eq!(mesh.nodes[0].ztunnel.tunnels()[0].1.connections, 1);
}

#[test]
fn a_service_with_a_waypoint_is_reached_through_it_with_the_proxy_header_it_expects() {
    let mesh = Mesh::new();
    let (client, waypoint) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "waypoint", "10.0.1.1", true));
    let collected = collect(&waypoint.host, 15088);
    let waypoint_service = NamespacedHostname::new("default", "waypoint.default.svc.cluster.local");
    let vip = |address: &str| NetworkAddress { network: "".into(), address: address.parse().unwrap() };
    mesh.push(vec![
        Resource::Workload(Arc::new(Workload {
            services: [(waypoint_service.clone(), Vec::new())].into(),
            application_tunnel: Some(ApplicationTunnel { protocol: ApplicationProtocol::Proxy, port: Some(15088) }),
            ..(*waypoint.workload).clone()
        })),
        Resource::Service(Arc::new(Service {
            name: "waypoint".into(),
            key: waypoint_service.clone(),
            vips: vec![vip("10.96.0.1")],
            ports: vec![ServicePort { service_port: 15008, target_port: 15008 }],
            ..Service::default()
        })),
        Resource::Service(Arc::new(Service {
            name: "shop".into(),
            key: NamespacedHostname::new("default", "shop.default.svc.cluster.local"),
            vips: vec![vip("10.96.0.2")],
            ports: vec![ServicePort { service_port: 80, target_port: 8080 }],
            waypoint: Some(GatewayAddress {
                destination: GatewayDestination::Hostname(waypoint_service),
                hbone_mtls_port: 15008,
            }),
            ..Service::default()
        })),
    ]);
    ask(&client.host, "10.96.0.2:80".parse().unwrap(), b"hello");
    mesh.run_ms(500);
    let got = collected.lock().pop().expect("the waypoint was reached");
    let header = got.strip_suffix(b"hello").unwrap();
    assert_eq!(header[..14], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11");
    assert_eq!((&header[16..20], &header[20..24]), (&[10, 0, 0, 1][..], &[10, 96, 0, 2][..]));
    assert_eq!(header[26..28], [0, 80]);
    assert!(header.ends_with(client.workload.identity().to_string().as_bytes()));
    let outbound = mesh.events.closed(Reporter::Source).pop().unwrap().0;
    assert_eq!((outbound.hop, outbound.authority.as_deref()), (Hop::Waypoint, Some("10.96.0.2:80")));
    assert_eq!(outbound.destination_service_name.as_deref(), Some("shop"));
    assert_eq!(outbound.destination_workload.as_ref().map(|workload| &*workload.name), Some("waypoint"));
}

#[test]
fn the_log_and_the_metrics_of_both_sides_mirror_each_other() {
    let mesh = Mesh::new();
    let (client, server) = (mesh.pod(0, "client", "10.0.0.1", true), mesh.pod(1, "server", "10.0.1.1", true));
    count(&server.host, 8080);
    ask(&client.host, server.at(8080), b"hello");
    // The tunnel closes with its client.
    mesh.run_ms(500);
    mesh.nodes[0].ztunnel.remove_workload("client");
    mesh.run_ms(500);
    let (lines, metrics) = (Lines::default(), Metrics::new("test"));
    let log = AccessLog::new(Format::Plain, Level::Info, || WallTime::from_unix_secs(0), lines.clone());
    for event in mesh.events.all() {
        log.record(event.clone());
        metrics.record(event);
    }
    let lines = lines.take();
    assert_eq!(lines.len(), 2);
    let line =
        |direction: &str| lines.iter().find(|line| line.contains(&format!("direction=\"{direction}\""))).unwrap();
    assert!(line("outbound").contains("bytes_sent=5 bytes_recv=7") && line("outbound").contains("\tinfo\t"));
    assert!(line("inbound").contains("bytes_sent=7 bytes_recv=5"));
    for line in &lines {
        assert!(line.contains("src.identity=\"spiffe://cluster.local/ns/default/sa/client\""));
        assert!(line.contains("dst.identity=\"spiffe://cluster.local/ns/default/sa/server\""));
        assert!(line.contains("dst.addr=10.0.1.1:15008 dst.hbone_addr=10.0.1.1:8080"));
    }
    let exposition = metrics.exposition();
    for reporter in ["source", "destination"] {
        let value = |family: &str| {
            let start = format!("istio_tcp_{family}{{reporter=\"{reporter}\"");
            exposition.lines().find(|line| line.starts_with(&start)).and_then(|line| line.rsplit(' ').next())
        };
        assert_eq!(value("connections_opened_total"), Some("1"));
        assert_eq!(value("connections_closed_total"), Some("1"));
        assert_eq!(value("connections_failed_total"), None);
        assert_eq!((value("received_bytes_total"), value("sent_bytes_total")), (Some("5"), Some("7")));
        assert_eq!(value("sockets_open"), Some("0"), "{reporter}");
    }
}
