use std::time::Duration;

use proxy_core::host::WallTime;
use proxy_core::identity::Identity;
use proxy_core::policy::http::{HttpDecision, HttpVerdict, PolicyId};
use proxy_core::state::Workload;
use proxy_core::telemetry::{Attempt, PolicyOutcome, RequestProtocol, TokenOutcome};

use super::*;
use crate::scenario::decision::decisions;
use crate::scenario::explain::refused_on_the_way;

const CLIENT: &str = "10.0.0.1:40000";
const SERVER: &str = "10.0.0.3:8080";

fn at(millis: u64) -> Instant {
    Instant::START + Duration::from_millis(millis)
}

fn connection(id: u64, reporter: Reporter, trace: u8, source: &str, identity: &str) -> Arc<ConnectionInfo> {
    Arc::new(ConnectionInfo {
        id: ConnectionId(id),
        trace: TraceId([trace; 16]),
        reporter,
        local_workload: (reporter == Reporter::Waypoint)
            .then(|| Arc::new(Workload { addresses: vec!["10.0.0.2".parse().unwrap()], ..Workload::default() })),
        source: source.parse().unwrap(),
        source_workload: None,
        source_identity: Some(Identity::new("cluster.local", "shop", identity)),
        original_destination: "10.96.0.7:80".parse().unwrap(),
        destination: None,
        authority: (reporter == Reporter::Destination).then(|| SERVER.into()),
        destination_workload: None,
        destination_service: None,
        destination_service_name: None,
        hop: if reporter == Reporter::Source { HopKind::Waypoint } else { HopKind::Plain },
        security: ConnectionSecurity::MutualTls,
    })
}

fn request(path: &str, started: Instant, reason: Reason, tried: bool) -> RequestInfo {
    let denied = PolicyId { key: PolicyKey { namespace: "shop".into(), name: "deny-get".into() }, rule: 2 };
    let verdict =
        if reason == Reason::Completed { HttpVerdict::Allowed { by: None } } else { HttpVerdict::DeniedBy(denied) };
    let decision = HttpDecision { verdict, audited: vec![], dry_run_allow: None, dry_run_deny: None };
    let attempt = Attempt {
        endpoint: None,
        address: Some(SERVER.parse().unwrap()),
        after: Duration::ZERO,
        status: Some(200),
        reason: Reason::Completed,
        error: None,
    };
    RequestInfo {
        connection: connection(7, Reporter::Waypoint, 1, CLIENT, "client"),
        id: "an-id".into(),
        method: "GET".into(),
        path: path.into(),
        authority: "a.shop".into(),
        version: "HTTP/1.1",
        user_agent: None,
        forwarded_for: None,
        protocol: RequestProtocol::Http,
        started,
        started_wall: WallTime::from_unix_secs(1),
        duration: Duration::from_millis(1),
        upstream_time: None,
        status: if tried { 200 } else { 403 },
        grpc_status: None,
        reason,
        flags: vec![],
        details: "via_upstream".into(),
        transport_failure: None,
        received: 0,
        sent: 0,
        request_messages: 0,
        response_messages: 0,
        route: None,
        backend: None,
        backend_service: None,
        attempts: if tried { vec![attempt] } else { vec![] },
        mirrors: vec![],
        policy: PolicyOutcome { decision: Some(decision), ..PolicyOutcome::default() },
        token: TokenOutcome::None,
        telemetry: Arc::default(),
        sampled: false,
        span: [0; 8],
        parent_span: None,
        trace: TraceId([9; 16]),
    }
}

/// A client's connection through a waypoint that carried two requests, one of them denied; and the waypoint's own tunnel
/// to the server, which an earlier request had opened, beside one of a client that went around it.
fn story() -> Paths {
    let mut paths = Paths::default();
    let mut tell = |millis: u64, node: &str, event: Event| {
        paths.observe(&Observation { at: at(millis), kind: ObservationKind::Proxy { node: node.into(), event } });
    };
    let opened = |millis, connection| Event::Opened { at: at(millis), connection };
    tell(1, "node-2", opened(1, connection(1, Reporter::Destination, 5, "10.0.0.2:50000", "waypoint")));
    tell(2, "node-2", opened(2, connection(2, Reporter::Destination, 6, "10.0.0.1:41000", "client")));
    tell(10, "node-1", opened(10, connection(1, Reporter::Source, 1, CLIENT, "client")));
    for (millis, path, reason, tried) in [(11, "/a", Reason::Completed, true), (21, "/b", Reason::PolicyDenied, false)]
    {
        let request = Arc::new(request(path, at(millis), reason, tried));
        tell(millis + 1, "waypoint-1", Event::Request { at: at(millis + 1), request });
    }
    paths
}

fn path_of<'a>(paths: &'a Paths, path: &str, from: u64, to: u64) -> Vec<&'a HopRecord> {
    let asked = Asked { method: "GET", path, id: None, started: at(from), ended: at(to) };
    paths.of_request(CLIENT.parse().unwrap(), at(0), &asked)
}

#[test]
fn a_request_through_a_waypoint_passes_both_ztunnels() {
    let paths = story();
    let path = path_of(&paths, "/a", 10, 15);
    let hops: Vec<Hop> = path.iter().map(|hop| hop.hop()).collect();
    let proxies: Vec<&str> = hops.iter().map(|hop| &*hop.proxy).collect();
    assert_eq!(proxies, ["ztunnel", "waypoint", "ztunnel"]);
    assert_eq!(hops[1].destination.as_deref(), Some(SERVER));
    assert_eq!(hops[2].source_identity.as_deref(), Some("spiffe://cluster.local/ns/shop/sa/waypoint"));
    assert!(refused_on_the_way(&path).is_none());
}

#[test]
fn a_request_a_waypoint_refuses_ends_there_and_names_the_policy() {
    let paths = story();
    let path = path_of(&paths, "/b", 20, 25);
    assert_eq!(path.len(), 2);
    let (hop, reason) = refused_on_the_way(&path).unwrap();
    assert_eq!((hop.proxy(), reason), ("waypoint", Reason::PolicyDenied));
    assert_eq!(hop.policy().map(ToString::to_string).as_deref(), Some("shop/deny-get"));
    let words = decisions(&path)[1].words.join("\n");
    assert!(words.contains("took GET /b for a.shop from 10.0.0.1:40000, proven to be"), "{words}");
    assert!(words.contains("denied by policy shop/deny-get rule 2\nanswered 403"), "{words}");
}

#[test]
fn requests_of_other_times_and_paths_are_others() {
    let paths = story();
    assert_eq!(path_of(&paths, "/a", 20, 25).len(), 1);
    assert_eq!(path_of(&paths, "/c", 10, 25).len(), 1);
}

#[test]
fn what_a_load_leaves_behind_is_forgotten_and_the_last_hop_of_a_step_is_not() {
    let mut paths = story();
    let closed = |millis, connection| Event::Closed {
        at: at(millis),
        connection,
        sent: 0,
        received: 0,
        duration: Duration::ZERO,
        reason: Reason::Completed,
        error: None,
    };
    for (millis, connection) in [
        (30, connection(1, Reporter::Destination, 5, "10.0.0.2:50000", "waypoint")),
        (31, connection(2, Reporter::Destination, 6, "10.0.0.1:41000", "client")),
    ] {
        let kind = ObservationKind::Proxy { node: "node-2".into(), event: closed(millis, connection) };
        paths.observe(&Observation { at: at(millis), kind });
    }
    let wanted = Wanted { locals: [CLIENT.parse().unwrap()].into(), ..Wanted::default() };
    paths.forget(at(100), &wanted);
    let path = path_of(&paths, "/a", 10, 15);
    assert_eq!(path.iter().map(|hop| hop.proxy()).collect::<Vec<_>>(), ["ztunnel", "waypoint", "ztunnel"]);
    assert_eq!(paths.records.len(), 4, "the tunnel nobody asks for is gone");
    assert!(!paths.by_connection.contains_key(&("node-2".into(), ConnectionId(2))));

    let mut paths = story();
    paths.forget(at(100), &Wanted::default());
    assert_eq!(paths.carried.len(), 0, "with the requests goes what was known of their tunnel");
}
