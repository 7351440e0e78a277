//! Which endpoint, how many at once, and endpoints that fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::WallTime;
use proxy_core::route::{
    ConsistentHash, HashAlgorithm, HashKey, LoadBalancer, OutlierDetection, Subset, TrafficPolicy, Warmup,
};
use proxy_core::state::{GatewayAddress, GatewayDestination, NetworkAddress, Resource, Workload};
use proxy_core::telemetry::access_log::{Format, Level, Lines};
use proxy_core::telemetry::{AccessLog, Reason, Reporter, Sink};

use crate::http::{get, send};
use crate::server::{http, named};
use crate::world::World;

#[test]
fn an_endpoint_that_cannot_be_reached_is_avoided_by_the_next_try() {
    let world = World::new(3);
    // Of three endpoints only one listens.
    let seen = named(&world.servers[1].host, "server-1");
    let asked = send(&world.client.host, World::vip(81), "GET / HTTP/1.1\r\nHost: echo\r\n\r\n".repeat(20));
    world.run_ms(5000);
    let good = asked.all().iter().filter(|answer| answer.status == 200).count();
    assert!(good >= 12, "{good}");
    assert_eq!(seen.heads().len(), good);
}

#[test]
fn an_endpoint_that_fails_is_left_out_for_a_while_and_comes_back() {
    let world = World::new(2);
    let bad = http(&world.servers[0].host, |_, _, _| {
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".to_vec()
    });
    named(&world.servers[1].host, "good");
    world.backend(|settings| {
        settings.policy.outlier_detection = Some(OutlierDetection {
            consecutive_5xx: 3,
            base_ejection_time: Duration::from_secs(30),
            max_ejection_percent: 100,
            ..OutlierDetection::default()
        });
    });
    let ask = |count: usize| {
        let asked = send(&world.client.host, World::vip(81), "GET / HTTP/1.1\r\nHost: echo\r\n\r\n".repeat(count));
        world.run_ms(2000);
        asked.all().iter().filter(|answer| answer.status == 500).count()
    };
    assert_eq!(ask(40), 3);
    assert_eq!(ask(20), 0);
    world.mesh.run(Duration::from_secs(45));
    assert_eq!(ask(40), 3);
    assert_eq!(bad.heads().len(), 6);
}

#[test]
fn a_new_endpoint_gets_its_share_by_and_by() {
    for balancer in [LoadBalancer::LeastRequest, LoadBalancer::RoundRobin] {
        let mut world = World::new(2);
        world.servers.iter().for_each(|server| drop(named(&server.host, "old")));
        world.backend(|settings| {
            settings.policy.load_balancer = balancer.clone();
            settings.policy.warmup = Some(Warmup { duration: Duration::from_secs(100), minimum_percent: 10 });
        });
        let ask = |world: &World| {
            let requests = "GET / HTTP/1.1\r\nHost: echo\r\n\r\n".repeat(300);
            let asked = send(&world.client.host, World::vip(81), requests);
            world.mesh.run(Duration::from_secs(5));
            let answers = asked.all();
            assert_eq!(answers.len(), 300);
            answers.iter().filter(|answer| answer.text() == "new").count()
        };
        assert_eq!(ask(&world), 0);
        world.mesh.run(Duration::from_secs(200));
        named(&world.add_server(2).host, "new");
        world.run_ms(100);
        // A twentieth at first, a fifth at half time, and a third in the end.
        let first = ask(&world);
        world.mesh.run(Duration::from_secs(45));
        let middle = ask(&world);
        world.mesh.run(Duration::from_secs(60));
        let last = ask(&world);
        assert!((5..=30).contains(&first), "{balancer:?}: {first}");
        assert!((40..=80).contains(&middle), "{balancer:?}: {middle}");
        assert!((80..=120).contains(&last), "{balancer:?}: {last}");
    }
}

#[test]
fn what_exceeds_a_bound_is_answered_503_and_marked() {
    let world = World::new(1);
    http(&world.servers[0].host, |_, _, _| b"HTTP/1.1 200 OK\r\n".to_vec());
    world.backend(|settings| {
        settings.policy.pool.max_connections = Some(1);
        settings.policy.pool.max_pending_requests = Some(1);
    });
    let asked: Vec<_> = (0..4).map(|_| get(&world.client.host, World::vip(81), "/")).collect();
    world.run_ms(1000);
    let refused: Vec<_> = asked.iter().flat_map(|asked| asked.all()).collect();
    assert_eq!(refused.len(), 2, "one is served and one waits");
    assert!(refused.iter().all(|answer| answer.status == 503 && answer.header("x-envoy-overloaded") == Some("true")));
    assert!(refused[0].text().ends_with("reset reason: overflow"), "{}", refused[0].text());
    assert_eq!(world.requests()[0].flags_text(), "UO");
}

#[test]
fn the_same_key_goes_to_the_same_endpoint() {
    let world = World::new(4);
    let seen: Vec<_> = world.servers.iter().map(|server| named(&server.host, "x")).collect();
    world.backend(|settings| {
        settings.policy.load_balancer = LoadBalancer::ConsistentHash(ConsistentHash {
            key: HashKey::Header("x-user".parse().unwrap()),
            algorithm: HashAlgorithm::Ring { points_min: 1024 },
        });
    });
    for user in ["alice", "bob", "carol", "dave", "erin"] {
        let before: Vec<usize> = seen.iter().map(|server| server.heads().len()).collect();
        let request = format!("GET / HTTP/1.1\r\nHost: echo\r\nx-user: {user}\r\n\r\n");
        send(&world.client.host, World::vip(81), request.repeat(10));
        world.run_ms(1000);
        let after: Vec<usize> = seen.iter().map(|server| server.heads().len()).collect();
        let added: Vec<usize> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert!(added.contains(&10), "{user}: {added:?}");
    }
}

#[test]
fn a_subset_takes_only_its_members_and_an_unknown_one_is_answered_503() {
    use proxy_core::route::{
        Backend, BackendTarget, Filters, Forward, HttpMatch, HttpRoute, HttpRoutes, RouteAction, RouteKind,
        RouteOrigin, WeightedBackend,
    };
    let world = World::new(3);
    let seen: Vec<_> = world.servers.iter().map(|server| named(&server.host, "x")).collect();
    world.backend(|settings| {
        let members = BTreeSet::from([world.servers[1].workload.uid.clone()]);
        let subset = Subset { members, policy: TrafficPolicy::default(), ports: Default::default() };
        settings.subsets.insert("v1".into(), subset);
    });
    let to = |subset: &str| {
        world.routes(|routes| {
            let backend = Backend { service: crate::world::key(), port: 81, subset: Some(subset.into()) };
            let backends = vec![WeightedBackend::new(1, BackendTarget::Service(backend))];
            let origin = RouteOrigin {
                kind: RouteKind::VirtualService,
                namespace: "default".into(),
                name: "vs".into(),
                rule: 0,
                rule_name: None,
                entry: 0,
            };
            let action = RouteAction::Forward(Forward { backends, ..Forward::default() });
            let route = HttpRoute { origin, matches: HttpMatch::default(), filters: Filters::default(), action };
            routes.ports.get_mut(&81).unwrap().http = Some(HttpRoutes::new(vec![Arc::new(route)]));
        });
        let asked = send(&world.client.host, World::vip(81), "GET / HTTP/1.1\r\nHost: echo\r\n\r\n".repeat(10));
        world.run_ms(1000);
        asked.all().iter().map(|answer| answer.status).collect::<Vec<_>>()
    };
    assert_eq!(to("v1"), [200; 10]);
    assert_eq!(seen.iter().map(|server| server.heads().len()).collect::<Vec<_>>(), [0, 10, 0]);
    assert_eq!(to("v2"), [503; 10]);
    assert_eq!(world.requests().last().unwrap().flags_text(), "NC");
}

/// The pod's record with the waypoint of the tests.
fn behind_the_waypoint(world: &World) {
    let destination = NetworkAddress { network: "".into(), address: "10.0.2.1".parse().unwrap() };
    let waypoint = GatewayAddress { destination: GatewayDestination::Address(destination), hbone_mtls_port: 15008 };
    let workload = Workload { waypoint: Some(waypoint), ..(*world.servers[0].workload).clone() };
    world.push(vec![Resource::Workload(Arc::new(workload))]);
    world.run_ms(10);
}

#[test]
fn a_pod_behind_a_waypoint_is_reached_through_it_on_any_port() {
    let world = World::new(1);
    let seen = named(&world.servers[0].host, "server");
    behind_the_waypoint(&world);
    let asked = get(&world.client.host, world.servers[0].at(8080), "/");
    world.run_ms(1000);
    assert_eq!((asked.one().status, asked.one().header("server")), (200, Some("istio-envoy")));
    assert!(seen.heads()[0].contains("x-request-id: "));
    let told = &world.requests()[0];
    assert_eq!((told.backend.clone(), told.reason), (None, Reason::Completed));
}

#[test]
fn what_is_not_http_is_carried_as_it_is() {
    let world = World::new(1);
    crate::app::echo(&world.servers[0].host, 8080);
    let asked = crate::app::ask(&world.client.host, World::vip(80), b"\x00\x01not http at all");
    world.run_ms(2000);
    assert_eq!(asked.seen().received, b"\x00\x01not http at all");
    assert_eq!(world.mesh.events.reasons(Reporter::Waypoint), [Reason::Completed]);
}

#[test]
fn the_access_log_is_written_as_envoy_writes_it() {
    let world = World::new(1);
    named(&world.servers[0].host, "server");
    let request = "GET /a?b HTTP/1.1\r\nHost: echo\r\nUser-Agent: te\"st\r\nx-request-id: id-1\r\n\r\n";
    send(&world.client.host, World::vip(81), request);
    world.run_ms(1000);
    let lines = Lines::default();
    let log = AccessLog::new(Format::Plain, Level::Info, || WallTime::from_unix_secs(0), lines.clone());
    let told = world.requests()[0].clone();
    log.record(proxy_core::telemetry::Event::Request { at: world.mesh.now(), request: told.clone() });
    let line = lines.take().remove(0);
    let (start, rest) = line.split_once(' ').unwrap();
    assert!(start.starts_with("[2026-01-01T00:00:00.") && start.ends_with("Z]"), "{start}");
    let source = told.connection.source;
    let time = told.upstream_time.unwrap().as_millis();
    let duration = told.duration.as_millis();
    assert_eq!(
        rest,
        format!(
            "\"GET /a?b HTTP/1.1\" 200 - via_upstream - \"-\" 0 6 {duration} {time} \"-\" \"te\\\"st\" \"id-1\" \"echo\" \
             \"10.0.1.1:8080\" inbound-vip|81|http|echo.default.svc.cluster.local; - 10.10.0.1:81 {source} - default"
        )
    );
}
