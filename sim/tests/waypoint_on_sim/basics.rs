//! Requests that nothing is done to.

use proxy_core::telemetry::{Reason, Reporter};

use crate::http::{get, send};
use crate::server::{http, named, ok};
use crate::world::World;

#[test]
fn a_request_to_a_vip_is_answered_by_an_endpoint_through_the_waypoint() {
    let world = World::new(1);
    let seen = named(&world.servers[0].host, "server-0");
    let asked = get(&world.client.host, World::vip(80), "/hello?x=1");
    world.run_ms(1000);
    let answer = asked.one();
    assert_eq!((answer.status, &*answer.text()), (200, "server-0"));
    assert_eq!(answer.header("server"), Some("istio-envoy"));
    assert!(answer.header("x-envoy-upstream-service-time").is_some());
    let head = &seen.heads()[0];
    assert!(head.starts_with("GET /hello?x=1 HTTP/1.1\r\n"), "{head}");
    for line in [
        "host: echo\r\n",
        "x-forwarded-proto: http\r\n",
        "x-envoy-attempt-count: 1\r\n",
        "x-request-id: ",
        "traceparent: 00-",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let requests = world.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!((request.status, request.reason, request.sent), (200, Reason::Completed, 8));
    assert_eq!(request.connection.source_workload.as_ref().unwrap().name, world.client.workload.name);
    assert_eq!(request.endpoint().unwrap().name, world.servers[0].workload.name);
}

#[test]
fn requests_of_one_connection_are_spread_over_endpoints_and_connections_are_used_again() {
    let world = World::new(3);
    let seen: Vec<_> = (0..3).map(|index| named(&world.servers[index].host, &format!("server-{index}"))).collect();
    let asked = send(&world.client.host, World::vip(80), "GET / HTTP/1.1\r\nHost: echo\r\n\r\n".repeat(30));
    world.run_ms(3000);
    assert_eq!(asked.all().len(), 30);
    for server in &seen {
        assert!(server.heads().len() > 3);
        assert_eq!(server.connections(), 1, "one connection carries one request after another");
    }
}

#[test]
fn what_is_not_attached_or_not_declared_is_refused() {
    let world = World::new(1);
    named(&world.servers[0].host, "server-0");
    let asked = get(&world.client.host, World::vip(8081), "/");
    world.run_ms(1000);
    assert!(asked.is_over() && asked.raw().is_empty());
    let refused = world.mesh.events.refused();
    assert!(
        refused.iter().any(|(by, reason, _)| (*by, *reason) == (Reporter::Waypoint, Reason::NotAttached)),
        "{refused:?}"
    );
}

#[test]
fn the_host_header_decides_nothing() {
    let world = World::new(1);
    let seen = named(&world.servers[0].host, "server-0");
    let asked = send(&world.client.host, World::vip(81), "GET / HTTP/1.1\r\nHost: somebody.else\r\n\r\n");
    world.run_ms(1000);
    assert_eq!(asked.one().status, 200);
    assert!(seen.heads()[0].contains("host: somebody.else\r\n"));
}

#[test]
fn no_endpoint_is_answered_503() {
    let world = World::new(0);
    let asked = get(&world.client.host, World::vip(81), "/");
    world.run_ms(1000);
    let answer = asked.one();
    assert_eq!((answer.status, &*answer.text()), (503, "no healthy upstream"));
    assert_eq!(world.requests()[0].flags_text(), "UH");
}

#[test]
fn an_endpoint_that_refuses_is_answered_503_with_the_reason() {
    let world = World::new(1);
    let asked = get(&world.client.host, World::vip(81), "/");
    world.run_ms(2000);
    let answer = asked.one();
    assert_eq!(answer.status, 503);
    let text = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
    assert!(answer.text().starts_with(text), "{}", answer.text());
    assert_eq!(world.requests()[0].flags_text(), "UF,URX");
}

#[test]
fn a_megabyte_passes_both_ways() {
    let world = World::new(1);
    let seen = http(&world.servers[0].host, |_, body, _| {
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(body);
        answer
    });
    let body: Vec<u8> = (0..1_000_000u32).map(|index| (index % 251) as u8).collect();
    let mut request = b"POST / HTTP/1.1\r\nHost: echo\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    request.extend_from_slice(&body);
    let asked = send(&world.client.host, World::vip(80), request);
    world.run_ms(20_000);
    let answer = asked.one();
    assert!(answer.status == 200 && answer.body == body && seen.bodies()[0] == body);
    assert_eq!((world.requests()[0].received, world.requests()[0].sent), (1_000_000, 1_000_000));
}

#[test]
fn pipelined_and_chunked_requests_keep_their_order() {
    let world = World::new(1);
    let seen = http(&world.servers[0].host, |head, _, _| ok(head.split(' ').nth(1).unwrap()));
    let chunked = "POST /a HTTP/1.1\r\nHost: echo\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let plain = "GET /b HTTP/1.1\r\nHost: echo\r\n\r\n";
    let asked = send(&world.client.host, World::vip(80), format!("{chunked}{plain}{chunked}"));
    world.run_ms(2000);
    let texts: Vec<String> = asked.all().iter().map(|answer| answer.text()).collect();
    assert_eq!(texts, ["/a", "/b", "/a"]);
    assert_eq!(seen.heads().len(), 3);
}

#[test]
fn a_websocket_is_switched_to_and_carries_bytes_both_ways() {
    let world = World::new(1);
    let seen = http(&world.servers[0].host, |_, _, _| {
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello from the server"
            .to_vec()
    });
    let asked = send(
        &world.client.host,
        World::vip(81),
        "GET /ws HTTP/1.1\r\nHost: echo\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    );
    world.run_ms(1000);
    let raw = String::from_utf8(asked.raw()).unwrap();
    assert!(raw.starts_with("HTTP/1.1 101 ") && raw.ends_with("hello from the server"), "{raw}");
    let head = &seen.heads()[0].to_ascii_lowercase();
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
}
