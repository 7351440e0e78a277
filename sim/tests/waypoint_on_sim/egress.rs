//! Endpoints that are known by name, and hosts below a wildcard.

use std::net::Ipv4Addr;
use std::sync::Arc;

use proxy_core::host::{Datagram, Host};
use proxy_core::route::Discovery;
use proxy_core::state::{PortMapping, Resource, Workload};
use proxy_core::telemetry::Reason;
use sim::node::SimHost;

use crate::http::{get, send};
use crate::server::named;
use crate::world::{RESOLVER, World, key};

/// Answers every question with this address.
fn resolver(world: &World, address: Ipv4Addr) {
    let (ip, _) = RESOLVER.split_once(':').unwrap();
    let pod = world.mesh.pod(1, "dns", ip, false);
    let socket = pod.host.bind_udp("0.0.0.0:53".parse().unwrap()).unwrap();
    pod.host.spawn("dns server", async move {
        let mut buffer = vec![0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let mut answer = buffer[..length].to_vec();
            answer[2] |= 0x80;
            answer[7] = 1;
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend_from_slice(&address.octets());
            let _ = socket.send_to(&answer, from).await;
        }
    });
}

fn outside(world: &World) -> SimHost {
    world.mesh.pod(1, "outside", "10.0.4.1", false).host
}

#[test]
fn an_endpoint_known_by_name_is_resolved_and_dialled() {
    let world = World::new(0);
    let seen = named(&outside(&world), "outside");
    resolver(&world, Ipv4Addr::new(10, 0, 4, 1));
    let mappings = vec![PortMapping { service_port: 81, target_port: 8080 }];
    let workload = Workload {
        uid: "Kubernetes/networking.istio.io/ServiceEntry/default/ext/api.example.com".into(),
        name: "ext".into(),
        namespace: "default".into(),
        hostname: Some("api.example.com".into()),
        services: [(key(), mappings)].into_iter().collect(),
        ..Workload::default()
    };
    world.push(vec![Resource::Workload(Arc::new(workload))]);
    let asked = get(&world.client.host, World::vip(81), "/");
    world.run_ms(1000);
    assert_eq!((asked.one().status, &*asked.one().text()), (200, "outside"));
    assert_eq!(seen.heads().len(), 1);
    assert_eq!(world.requests()[0].attempts[0].address, Some("10.0.4.1:8080".parse().unwrap()));
}

#[test]
fn a_name_nobody_resolves_is_answered_503() {
    let world = World::new(0);
    let workload = Workload {
        uid: "ext".into(),
        hostname: Some("api.example.com".into()),
        services: [(key(), vec![PortMapping { service_port: 81, target_port: 8080 }])].into_iter().collect(),
        ..Workload::default()
    };
    world.push(vec![Resource::Workload(Arc::new(workload))]);
    let asked = get(&world.client.host, World::vip(81), "/");
    world.run_ms(6000);
    assert_eq!((asked.one().status, &*asked.one().text()), (503, "no healthy upstream"));
}

#[test]
fn hosts_below_a_wildcard_are_resolved_and_others_are_answered_404() {
    let world = World::new(0);
    let seen = named(&outside(&world), "outside");
    resolver(&world, Ipv4Addr::new(10, 0, 4, 1));
    world.backend(|settings| settings.discovery = Discovery::DynamicDns { suffix: ".example.com".into() });
    let ask = |host: &str| {
        let asked = send(&world.client.host, World::vip(81), format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        world.run_ms(1000);
        asked.one().status
    };
    assert_eq!(
        [ask("api.example.com"), ask("a.b.example.com:81"), ask("example.com"), ask("example.org")],
        [200, 200, 404, 404]
    );
    assert_eq!(seen.heads().len(), 2);
    assert_eq!(world.requests().last().unwrap().reason, Reason::NoRoute);
}
