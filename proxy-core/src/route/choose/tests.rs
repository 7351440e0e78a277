use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, Method};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::host::Rng;
use crate::request::{ClaimPath, Claims, Pattern, Share, TextMatch};
use crate::route::fixture::{Request, backend, origin, path, route, route_to, share};
use crate::route::{
    ClaimMatch, Filters, HeaderMatch, HttpMatch, HttpRoutes, PathKind, PathMatch, PortProtocol, QueryMatch,
    RedirectPort, Unordered, sort,
};

fn port(routes: Vec<Arc<HttpRoute>>) -> PortRoutes {
    PortRoutes { http: Some(HttpRoutes::new(routes)), ..PortRoutes::implicit(PortProtocol::Http) }
}

fn exact(text: &str) -> TextMatch {
    TextMatch::Exact(text.into())
}

fn header_match(name: &'static str, value: TextMatch) -> HeaderMatch {
    HeaderMatch { name: HeaderName::from_static(name), value }
}

/// The name of the route that decided; empty for none.
fn decided(routes: &PortRoutes, request: &Request) -> String {
    match choose(routes, None, &request.view(), &mut Rng::from_number(1)) {
        Decision::Matched(matched) => matched.route.origin.name.to_string(),
        _ => String::new(),
    }
}

#[test]
fn without_a_route_a_request_goes_to_the_service_and_with_one_it_must_match() {
    let mut rng = Rng::from_number(1);
    let request = Request::get("/x");
    let implicit = PortRoutes::implicit(PortProtocol::Http);
    assert_eq!(choose(&implicit, None, &request.view(), &mut rng), Decision::Implicit);
    for routes in [port(vec![]), port(vec![route("a", path(PathKind::Exact("/y".into())))])] {
        let decision = choose(&routes, None, &request.view(), &mut rng);
        assert_eq!((decision.refusal(), &decision), (Some(404), &Decision::NotFound));
    }
}

#[test]
fn a_prefix_matches_whole_segments_and_a_text_prefix_characters() {
    for (kind, path, expected) in [
        (PathKind::SegmentPrefix("/v2".into()), "/v2", true),
        (PathKind::SegmentPrefix("/v2".into()), "/v2/", true),
        (PathKind::SegmentPrefix("/v2".into()), "/v2/example?x", true),
        (PathKind::SegmentPrefix("/v2/".into()), "/v2", true),
        (PathKind::SegmentPrefix("/v2".into()), "/v2example", false),
        (PathKind::SegmentPrefix("/v2".into()), "/foo/v2/example", false),
        (PathKind::SegmentPrefix("/V2".into()), "/v2", false),
        (PathKind::SegmentPrefix("/".into()), "/anything", true),
        (PathKind::TextPrefix("/v2".into()), "/v2example", true),
        (PathKind::Exact("/v2".into()), "/v2/", false),
        (PathKind::Exact("/v2".into()), "/v2?x=y", true),
        (PathKind::Regex(Pattern::new("/v[0-9]").unwrap()), "/v2", true),
        (PathKind::Regex(Pattern::new("/v[0-9]").unwrap()), "/v2/", false),
    ] {
        let routes = port(vec![route("a", super::super::fixture::path(kind.clone()))]);
        assert_eq!(decided(&routes, &Request::get(path)) == "a", expected, "{kind:?} {path}");
    }
}

#[test]
fn case_of_a_path_counts_unless_it_is_to_be_ignored() {
    for kind in
        [PathKind::Exact("/V2".into()), PathKind::TextPrefix("/V".into()), PathKind::SegmentPrefix("/V2".into())]
    {
        let mut matches = path(kind);
        assert_eq!(decided(&port(vec![route("a", matches.clone())]), &Request::get("/v2")), "");
        matches.path.as_mut().unwrap().ignore_case = true;
        assert_eq!(decided(&port(vec![route("a", matches)]), &Request::get("/v2")), "a");
    }
}

#[test]
fn every_part_of_a_match_must_match() {
    let matches = HttpMatch {
        method: Some(exact("GET")),
        scheme: Some(exact("http")),
        authority: Some(TextMatch::Prefix("echo".into())),
        headers: vec![header_match("version", exact("two")), header_match("x-there", TextMatch::Present)],
        without_headers: vec![header_match("x-not", exact("1"))],
        query: vec![QueryMatch { name: "animal".into(), value: exact("whale") }],
        ..HttpMatch::default()
    };
    let routes = port(vec![route("a", matches)]);
    let good = || Request::get("/x?animal=whale&animal=dolphin").header("version", "two").header("x-there", "");
    assert_eq!(decided(&routes, &good()), "a");
    assert_eq!(decided(&routes, &good().header("x-not", "2")), "a");
    assert_eq!(decided(&routes, &good().header("x-not", "1")), "");
    assert_eq!(decided(&routes, &good().header("version", "three")), "");
    assert_eq!(decided(&routes, &Request { method: Method::POST, ..good() }), "");
    assert_eq!(decided(&routes, &Request { authority: "other", ..good() }), "");
    assert_eq!(decided(&routes, &Request { path: "/x?animal=dolphin".to_owned(), ..good() }), "");
    assert_eq!(decided(&routes, &Request { path: "/x".to_owned(), ..good() }), "");
}

#[test]
fn claims_route_only_with_a_token() {
    let claim = |negated| ClaimMatch { claim: ClaimPath::one("group"), value: exact("beta"), negated };
    let matches = |negated| HttpMatch { claims: vec![claim(negated)], ..HttpMatch::default() };
    let routes = port(vec![route("beta", matches(false)), route("rest", matches(true))]);
    let payload = json!({"group": ["alpha", "beta"]}).as_object().cloned().unwrap_or_default();
    let claims = Claims { payload: Arc::new(payload), principal: None, space_delimited: vec![] };
    let request = Request::get("/");
    assert_eq!(decided(&routes, &request), "rest");
    let view = RequestView { claims: Some(&claims), ..request.view() };
    match choose(&routes, None, &view, &mut Rng::from_number(1)) {
        Decision::Matched(matched) => assert_eq!(&*matched.route.origin.name, "beta"),
        other => panic!("{other}"),
    }
}

#[test]
fn routes_of_a_clients_namespace_win_there() {
    let everyone = route("everyone", HttpMatch::default());
    let consumer = HttpRoutes::new(vec![route("consumer", HttpMatch::default())]);
    let mut routes = port(vec![everyone]);
    routes.consumer_http = BTreeMap::from([("clients".into(), consumer)]);
    let request = Request::get("/");
    for (namespace, expected) in [(Some("clients"), "consumer"), (Some("other"), "everyone"), (None, "everyone")] {
        match choose(&routes, namespace, &request.view(), &mut Rng::from_number(1)) {
            Decision::Matched(matched) => assert_eq!(&*matched.route.origin.name, expected),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn weights_are_shares_and_a_zero_weight_is_never_drawn() {
    let routes =
        port(vec![route_to("a", HttpMatch::default(), vec![share("v1", 70), share("v2", 30), share("v3", 0)])]);
    let mut rng = Rng::from_number(7);
    let mut counts = BTreeMap::new();
    for _ in 0..10_000 {
        let request = Request::get("/");
        let Decision::Matched(matched) = choose(&routes, None, &request.view(), &mut rng) else { panic!() };
        let Outcome::Forward { backend, .. } = matched.outcome else { panic!() };
        *counts.entry(backend.service.hostname.to_string()).or_insert(0) += 1;
    }
    assert!((6_800..7_200).contains(&counts["v1"]) && counts.len() == 2, "{counts:?}");
}

#[test]
fn no_weight_at_all_and_an_invalid_share_are_answered_500() {
    let invalid = WeightedBackend::new(1, BackendTarget::Invalid("service ns/gone does not exist".into()));
    for (backends, words) in [
        (vec![], "HTTPRoute ns/a rule 0 match 0: no backend has a weight: 500"),
        (vec![share("v1", 0)], "HTTPRoute ns/a rule 0 match 0: no backend has a weight: 500"),
        (vec![invalid], "HTTPRoute ns/a rule 0 match 0: its share is invalid (service ns/gone does not exist): 500"),
    ] {
        let routes = port(vec![route_to("a", HttpMatch::default(), backends)]);
        let request = Request::get("/");
        let decision = choose(&routes, None, &request.view(), &mut Rng::from_number(1));
        assert_eq!((decision.refusal(), decision.to_string().as_str()), (Some(500), words));
    }
}

#[test]
fn mirrors_and_faults_are_drawn_by_their_shares() {
    let mirror =
        |name: &str, share| Mirror { target: BackendTarget::Service(backend(name)), share, shadow_authority: true };
    let invalid = Mirror { target: BackendTarget::Invalid("gone".into()), ..mirror("x", Share::ALL) };
    let mirrors =
        vec![mirror("all", Share::ALL), mirror("none", Share::NONE), mirror("half", Share::percent(50)), invalid];
    let forward = Forward { backends: vec![share("v1", 1)], mirrors, ..Forward::default() };
    let fault = Fault {
        delay: Some((Share::ALL, Duration::from_secs(5))),
        abort: Some((Share::from_percentage(0.0), AbortStatus::Http(503))),
    };
    let routes = port(vec![Arc::new(HttpRoute {
        origin: origin("a", 0),
        matches: HttpMatch::default(),
        filters: Filters { fault: Some(fault), ..Filters::default() },
        action: RouteAction::Forward(forward),
    })]);
    let mut rng = Rng::from_number(3);
    let mut halves = 0;
    for _ in 0..1_000 {
        let request = Request::get("/");
        let Decision::Matched(matched) = choose(&routes, None, &request.view(), &mut rng) else { panic!() };
        assert_eq!((matched.delay, matched.abort), (Some(Duration::from_secs(5)), None));
        let names: Vec<String> = matched.mirrors.iter().map(ToString::to_string).collect();
        assert_eq!(names[0], "ns/all:80");
        assert!(names[1..].iter().all(|name| name == "ns/half:80"));
        halves += names.len() - 1;
    }
    assert!((420..580).contains(&halves), "{halves}");
}

#[test]
fn a_redirect_and_a_direct_response_are_answers() {
    let redirect =
        Redirect { scheme: None, authority: None, port: RedirectPort::SchemeOrRequest, path: None, status: 301 };
    let respond = DirectResponse { status: 418, body: "tea".into() };
    for (action, words) in [
        (RouteAction::Redirect(redirect), "HTTPRoute ns/a rule 0 match 0: redirect with 301"),
        (RouteAction::Respond(respond), "HTTPRoute ns/a rule 0 match 0: direct response 418"),
    ] {
        let filters = Filters::default();
        let route = HttpRoute { origin: origin("a", 0), matches: HttpMatch::default(), filters, action };
        let routes = port(vec![Arc::new(route)]);
        let request = Request::get("/");
        assert_eq!(choose(&routes, None, &request.view(), &mut Rng::from_number(1)).to_string(), words);
    }
}

#[test]
fn opaque_connections_go_by_weight_or_are_closed() {
    let mut routes = PortRoutes::implicit(PortProtocol::Tcp);
    let mut rng = Rng::from_number(1);
    assert_eq!(choose_tcp(&routes, &mut rng), TcpDecision::Implicit);
    let to = |weight, target| TcpRoute { origin: origin("t", 0), backends: vec![TcpBackend { weight, target }] };
    routes.tcp = vec![to(1, BackendTarget::Service(backend("db")))];
    assert!(matches!(choose_tcp(&routes, &mut rng), TcpDecision::Forward { .. }));
    for (weight, target) in [(0, BackendTarget::Service(backend("db"))), (1, BackendTarget::Invalid("gone".into()))] {
        routes.tcp = vec![to(weight, target)];
        assert!(matches!(choose_tcp(&routes, &mut rng), TcpDecision::Close { .. }));
    }
}

fn names(routes: Vec<(HttpMatch, &str, i64)>) -> Vec<String> {
    let unordered = routes.into_iter().map(|(matches, name, created)| Unordered {
        route: route(name, matches),
        created,
        call: None,
    });
    sort(unordered.collect()).iter().map(|route| route.origin.name.to_string()).collect()
}

#[test]
fn the_more_specific_match_is_tried_first() {
    let prefix = |text: &str| path(PathKind::SegmentPrefix(text.into()));
    let headers = |count| {
        let one = header_match("x", exact("1"));
        HttpMatch { headers: vec![one; count], ..prefix("/a") }
    };
    let query = vec![QueryMatch { name: "q".into(), value: exact("1") }];
    let order = names(vec![
        (HttpMatch::default(), "no path", 0),
        (path(PathKind::Regex(Pattern::new("/.*").unwrap())), "short expression", 0),
        (path(PathKind::Regex(Pattern::new("/[^/]+/Method").unwrap())), "long expression", 0),
        (prefix("/a"), "prefix", 0),
        (HttpMatch { query, ..prefix("/a") }, "query", 0),
        (headers(1), "one header", 0),
        (headers(2), "two headers", 0),
        (HttpMatch { method: Some(exact("GET")), ..prefix("/a") }, "method", 0),
        (prefix("/a/longer"), "longer prefix", 0),
        (path(PathKind::Exact("/a".into())), "exact", 0),
    ]);
    let expected = "exact, longer prefix, method, two headers, one header, query, prefix, long expression, short \
                    expression, no path";
    assert_eq!(order.join(", "), expected);
}

#[test]
fn of_equals_the_older_then_the_lower_name_then_the_earlier_rule_is_tried_first() {
    let order =
        names(vec![(HttpMatch::default(), "b", 2), (HttpMatch::default(), "c", 1), (HttpMatch::default(), "a", 2)]);
    assert_eq!(order, ["c", "a", "b"]);
    let rule = |rule| Unordered {
        route: Arc::new(HttpRoute { origin: origin("a", rule), ..(*route("a", HttpMatch::default())).clone() }),
        created: 0,
        call: None,
    };
    let rules: Vec<usize> = sort(vec![rule(2), rule(0), rule(1)]).iter().map(|route| route.origin.rule).collect();
    assert_eq!(rules, [0, 1, 2]);
}

fn some_match() -> impl Strategy<Value = HttpMatch> {
    let text = "/[ab]?(/[ab]){0,2}/?";
    let kind = prop_oneof![
        text.prop_map(|path| Some(PathKind::Exact(path.as_str().into()))),
        text.prop_map(|path| Some(PathKind::SegmentPrefix(path.as_str().into()))),
        text.prop_map(|path| Some(PathKind::TextPrefix(path.as_str().into()))),
        text.prop_map(|path| Pattern::new(&path.replace('b', ".")).ok().map(PathKind::Regex)),
        Just(None),
    ];
    (kind, any::<bool>(), any::<bool>()).prop_map(|(kind, method, ignore_case)| HttpMatch {
        path: kind.map(|kind| PathMatch { kind, ignore_case }),
        method: method.then(|| TextMatch::Exact("GET".into())),
        ..HttpMatch::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_trying_one_after_the_other_finds(
        matches in proptest::collection::vec(some_match(), 0..12),
        path in "/[abA]?(/[ab]){0,3}/?",
        get in any::<bool>(),
    ) {
        let entries: Vec<Arc<HttpRoute>> = matches.into_iter().map(|matches| route("a", matches)).collect();
        let routes = HttpRoutes::new(entries.clone());
        let method = if get { Method::GET } else { Method::PUT };
        let request = Request { method, ..Request::get(&path) };
        let slow = entries.iter().position(|entry| entry.matches.matches(&request.view()));
        let fast = routes.candidates(&path).find(|entry| entry.matches.matches(&request.view()));
        let fast = fast.and_then(|found| entries.iter().position(|entry| Arc::ptr_eq(entry, found)));
        prop_assert_eq!(fast, slow);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(matches in proptest::collection::vec(some_match(), 0..8), turn in 0..8usize) {
        let mut routes: Vec<Unordered> = (0..).zip(matches).map(|(rule, matches)| Unordered {
            route: Arc::new(HttpRoute { origin: origin("a", rule), ..(*route("a", matches)).clone() }),
            created: (rule % 2) as i64,
            call: None,
        }).collect();
        let once = sort(routes.clone());
        let length = routes.len().max(1);
        routes.rotate_left(turn % length);
        prop_assert_eq!(sort(routes), once);
    }
}

#[test]
fn of_thousands_of_routes_only_those_the_path_allows_are_compared() {
    let of = |index: usize| {
        let kind = match index % 2 {
            0 => PathKind::Exact(format!("/exact/{index}").into()),
            _ => PathKind::SegmentPrefix(format!("/prefix/{index}").into()),
        };
        route("a", path(kind))
    };
    let mut entries: Vec<Arc<HttpRoute>> = (0..2_000).map(of).collect();
    entries.push(route("rest", HttpMatch::default()));
    let routes = HttpRoutes::new(entries);
    for (path, expected) in [("/exact/8", 2), ("/prefix/7/more/of/it", 2), ("/exact/7", 1), ("/", 1)] {
        assert_eq!(routes.candidates(path).count(), expected, "{path}");
    }
}
