//! Routes, weights, time and tries.

use std::sync::Arc;
use std::time::Duration;

use proxy_core::net::NamespacedHostname;
use proxy_core::request::Share;
use proxy_core::route::{
    Backend, BackendTarget, Fault, Filters, Forward, HttpMatch, HttpRoute, HttpRoutes, Mirror, PathKind, PathMatch,
    RetryConditions, RetryPolicy, RouteAction, RouteKind, RouteOrigin, ServiceRoutes, TcpBackend, TcpRoute, Timeouts,
    WeightedBackend,
};
use proxy_core::state::Resource;
use proxy_core::telemetry::{Event, Reason};

use crate::http::{get, send, talk};
use crate::server::{http, named, ok};
use crate::world::{World, service};

fn origin(rule: usize) -> RouteOrigin {
    RouteOrigin {
        kind: RouteKind::HttpRoute,
        namespace: "default".into(),
        name: "route".into(),
        rule,
        rule_name: None,
        entry: 0,
    }
}

fn to(name: &str, weight: u32) -> WeightedBackend {
    let backend = Backend {
        service: NamespacedHostname::new("default", &format!("{name}.default.svc.cluster.local")),
        port: 80,
        subset: None,
    };
    WeightedBackend::new(weight, BackendTarget::Service(backend))
}

fn exact(path: &str) -> HttpMatch {
    HttpMatch {
        path: Some(PathMatch { kind: PathKind::Exact(path.into()), ignore_case: false }),
        ..HttpMatch::default()
    }
}

fn route(rule: usize, matches: HttpMatch, forward: Forward) -> Arc<HttpRoute> {
    let (filters, action) = (Filters::default(), RouteAction::Forward(forward));
    Arc::new(HttpRoute { origin: origin(rule), matches, filters, action })
}

fn on_80(routes: &mut ServiceRoutes, list: Vec<Arc<HttpRoute>>) {
    routes.ports.get_mut(&80).unwrap().http = Some(HttpRoutes::new(list));
}

/// Two more services, one endpoint each, that say who they are.
fn versions(world: &World) -> Vec<crate::server::Seen> {
    [("v1", "10.10.0.2", "10.0.1.101"), ("v2", "10.10.0.3", "10.0.1.102")]
        .map(|(name, vip, address)| {
            world.push(vec![Resource::Service(Arc::new(service(name, vip, &[80])))]);
            let pod = world.pod(name, address, &[name]);
            named(&pod.host, name)
        })
        .into()
}

#[test]
fn routes_split_by_path_and_what_matches_none_is_answered_404() {
    let world = World::new(1);
    versions(&world);
    world.routes(|routes| {
        let forward = |name| Forward { backends: vec![to(name, 1)], ..Forward::default() };
        on_80(routes, vec![route(0, exact("/v1"), forward("v1")), route(1, exact("/v2"), forward("v2"))]);
    });
    let requests = ["/v1", "/v2", "/v3"].map(|path| get(&world.client.host, World::vip(80), path));
    world.run_ms(1000);
    let answers: Vec<_> = requests.iter().map(|asked| (asked.one().status, asked.one().text())).collect();
    assert_eq!(answers, [(200, "v1".to_owned()), (200, "v2".to_owned()), (404, String::new())]);
    let told = world.requests();
    assert_eq!(told.iter().map(|request| request.flags_text()).collect::<Vec<_>>().concat().matches("NR").count(), 1);
    assert!(told.iter().any(|request| request.route.as_ref().is_some_and(|origin| origin.rule == 1)));
}

#[test]
fn a_route_that_says_never_is_tried_once() {
    // Nobody listens: the kind of failure that is tried again wherever nothing is said of it.
    let world = World::new(1);
    let tries = |retry: Option<RetryPolicy>| {
        world.routes(|routes| {
            let forward = Forward { backends: vec![to("echo", 1)], retry, ..Forward::default() };
            on_80(routes, vec![route(0, HttpMatch::default(), forward)]);
        });
        let asked = get(&world.client.host, World::vip(80), "/");
        world.mesh.run(Duration::from_secs(5));
        assert_eq!(asked.one().status, 503);
        world.requests().last().unwrap().attempts.len()
    };
    assert_eq!(tries(Some(RetryPolicy::upstream_default())), 3);
    assert_eq!(tries(None), 1);
}

#[test]
fn opaque_connections_over_which_nothing_passes_are_ended() {
    let world = World::new(1);
    crate::server::http(&world.servers[0].host, |_, _, _| ok("here"));
    world.backend(|settings| settings.policy.pool.tcp_idle_timeout = Some(Duration::from_secs(5)));
    let kept = talk(&world.client.host, World::vip(90));
    for _ in 0..4 {
        kept.write("GET / HTTP/1.1\r\nHost: echo\r\n\r\n");
        world.run_ms(4000);
    }
    assert_eq!(kept.answers.all().len(), 4, "what is used stays");
    world.run_ms(900);
    assert!(!kept.answers.is_over());
    world.run_ms(200);
    assert!(kept.answers.is_over());
    let ended =
        world.mesh.events.all().into_iter().any(|event| matches!(event, Event::Closed { reason: Reason::Idle, .. }));
    assert!(ended);
}

#[test]
fn weights_split_requests_within_tolerance() {
    let world = World::new(0);
    let seen = versions(&world);
    world.routes(|routes| {
        let backends = vec![to("v1", 90), to("v2", 10)];
        on_80(routes, vec![route(0, HttpMatch::default(), Forward { backends, ..Forward::default() })]);
    });
    let asked = send(&world.client.host, World::vip(80), "GET / HTTP/1.1\r\nHost: echo\r\n\r\n".repeat(1000));
    world.run_ms(30_000);
    assert_eq!(asked.all().len(), 1000);
    let second = seen[1].heads().len();
    assert!((60..140).contains(&second), "{second}");
}

#[test]
fn an_invalid_share_and_no_weight_are_answered_500() {
    let world = World::new(0);
    for backends in [vec![], vec![to("v1", 0)], vec![WeightedBackend::new(1, BackendTarget::Invalid("gone".into()))]] {
        world.routes(|routes| {
            on_80(routes, vec![route(0, HttpMatch::default(), Forward { backends, ..Forward::default() })]);
        });
        let asked = get(&world.client.host, World::vip(80), "/");
        world.run_ms(1000);
        assert_eq!(asked.one().status, 500);
    }
}

#[test]
fn a_request_that_takes_too_long_is_answered_504() {
    let world = World::new(1);
    http(&world.servers[0].host, |_, _, _| b"HTTP/1.1 200 OK\r\n".to_vec());
    world.routes(|routes| {
        let timeouts = Timeouts { request: Some(Duration::from_millis(500)), backend_request: None };
        let forward = Forward { backends: vec![to("echo", 1)], timeouts, ..Forward::default() };
        on_80(routes, vec![route(0, HttpMatch::default(), forward)]);
    });
    let asked = get(&world.client.host, World::vip(80), "/");
    world.run_ms(400);
    assert!(asked.all().is_empty());
    world.run_ms(200);
    assert_eq!((asked.one().status, &*asked.one().text()), (504, "upstream request timeout"));
    let told = &world.requests()[0];
    assert_eq!((told.flags_text().as_str(), told.reason), ("UT", Reason::RequestTimeout));
}

#[test]
fn a_status_is_tried_again_with_the_whole_body() {
    let world = World::new(1);
    let seen = http(&world.servers[0].host, |_, _, before| {
        if before < 2 { b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_vec() } else { ok("third") }
    });
    world.routes(|routes| {
        let on = RetryConditions { statuses: vec![503], ..RetryConditions::default() };
        let retry = Some(RetryPolicy { attempts: 3, on, ..RetryPolicy::default() });
        let forward = Forward { backends: vec![to("echo", 1)], retry, ..Forward::default() };
        on_80(routes, vec![route(0, HttpMatch::default(), forward)]);
    });
    let asked =
        send(&world.client.host, World::vip(80), "POST / HTTP/1.1\r\nHost: echo\r\nContent-Length: 5\r\n\r\nhello");
    world.run_ms(3000);
    assert_eq!((asked.one().status, &*asked.one().text()), (200, "third"));
    assert_eq!(seen.bodies(), [b"hello".to_vec(), b"hello".to_vec(), b"hello".to_vec()]);
    assert!(seen.heads()[2].contains("x-envoy-attempt-count: 3\r\n"));
    assert_eq!(world.requests()[0].attempts.len(), 3);
}

#[test]
fn tries_end_with_the_last_answer_and_its_flag() {
    let world = World::new(1);
    http(&world.servers[0].host, |_, _, _| {
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy".to_vec()
    });
    world.routes(|routes| {
        let on = RetryConditions { server_error: true, ..RetryConditions::default() };
        let retry = Some(RetryPolicy { attempts: 1, on, ..RetryPolicy::default() });
        let forward = Forward { backends: vec![to("echo", 1)], retry, ..Forward::default() };
        on_80(routes, vec![route(0, HttpMatch::default(), forward)]);
    });
    let asked = get(&world.client.host, World::vip(80), "/");
    world.run_ms(2000);
    assert_eq!((asked.one().status, &*asked.one().text()), (503, "busy"));
    assert_eq!(world.requests()[0].flags_text(), "URX");
}

#[test]
fn a_copy_goes_to_the_mirror_and_its_answer_nowhere() {
    let world = World::new(0);
    let seen = versions(&world);
    world.routes(|routes| {
        let target = to("v2", 1).target;
        let mirrors = vec![Mirror { target, share: Share::ALL, shadow_authority: true }];
        let forward = Forward { backends: vec![to("v1", 1)], mirrors, ..Forward::default() };
        on_80(routes, vec![route(0, HttpMatch::default(), forward)]);
    });
    let asked =
        send(&world.client.host, World::vip(80), "POST / HTTP/1.1\r\nHost: echo\r\nContent-Length: 5\r\n\r\nhello");
    world.run_ms(1000);
    assert_eq!(asked.one().text(), "v1");
    assert!(seen[1].heads()[0].contains("host: echo-shadow\r\n"));
    assert_eq!(seen[1].bodies(), [b"hello".to_vec()]);
}

#[test]
fn faults_are_injected_and_flagged() {
    let world = World::new(1);
    named(&world.servers[0].host, "server");
    world.routes(|routes| {
        let forward = RouteAction::Forward(Forward { backends: vec![to("echo", 1)], ..Forward::default() });
        let fault = Fault {
            delay: Some((Share::ALL, Duration::from_millis(300))),
            abort: Some((Share::ALL, proxy_core::route::AbortStatus::Http(418))),
        };
        let filters = Filters { fault: Some(fault), ..Filters::default() };
        let route = HttpRoute { origin: origin(0), matches: HttpMatch::default(), filters, action: forward };
        on_80(routes, vec![Arc::new(route)]);
    });
    let asked = get(&world.client.host, World::vip(80), "/");
    world.run_ms(250);
    assert!(asked.all().is_empty());
    world.run_ms(200);
    assert_eq!((asked.one().status, &*asked.one().text()), (418, "fault filter abort"));
    assert_eq!(world.requests()[0].flags_text(), "DI,FI");
}

#[test]
fn opaque_connections_are_carried_with_half_closes_and_split_by_weight() {
    let world = World::new(0);
    for (name, vip, address) in [("v1", "10.10.0.2", "10.0.1.101"), ("v2", "10.10.0.3", "10.0.1.102")] {
        world.push(vec![Resource::Service(Arc::new(service(name, vip, &[80])))]);
        let pod = world.pod(name, address, &[name]);
        crate::app::count(&pod.host, 8080);
    }
    world.routes(|routes| {
        let share = |name, weight| TcpBackend { weight, target: to(name, 1).target };
        let tcp = vec![TcpRoute { origin: origin(0), backends: vec![share("v1", 0), share("v2", 1)] }];
        routes.ports.get_mut(&90).unwrap().tcp = tcp;
    });
    let question = vec![7; 100_000];
    let asked = crate::app::ask(&world.client.host, World::vip(90), &question);
    world.run_ms(3000);
    assert_eq!((asked.seen().text(), asked.seen().end), ("100000 bytes", Some(Ok(()))));
    let closed = world.mesh.events.closed(proxy_core::telemetry::Reporter::Waypoint);
    assert_eq!(closed.len(), 1);
    assert_eq!(&*closed[0].0.destination_workload.as_ref().unwrap().name, "v2");
    assert_eq!((closed[0].1, closed[0].2, closed[0].3), (Reason::Completed, 12, 100_000));
}

#[test]
fn requests_after_a_push_follow_it_and_the_connection_stays() {
    let world = World::new(0);
    let seen = versions(&world);
    let forward = |name| Forward { backends: vec![to(name, 1)], ..Forward::default() };
    world.routes(|routes| on_80(routes, vec![route(0, HttpMatch::default(), forward("v1"))]));
    let talk = crate::http::talk(&world.client.host, World::vip(80));
    talk.write("GET / HTTP/1.1\r\nHost: echo\r\n\r\n");
    world.run_ms(500);
    world.routes(|routes| on_80(routes, vec![route(0, HttpMatch::default(), forward("v2"))]));
    talk.write("GET / HTTP/1.1\r\nHost: echo\r\n\r\n");
    world.run_ms(500);
    let texts: Vec<_> = talk.answers.all().iter().map(|answer| answer.text()).collect();
    assert_eq!(texts, ["v1", "v2"]);
    assert_eq!((seen[0].heads().len(), seen[1].heads().len()), (1, 1));
}
