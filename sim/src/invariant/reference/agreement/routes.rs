//! Routes.

use std::fmt::Write;

use http::Method;
use proptest::prelude::*;
use proptest::sample::select;
use proxy_core::host::Rng;
use proxy_core::request::RequestView;
use proxy_core::route::{BackendTarget, Decision, Outcome, RouteAction, choose};

use super::super::{Action, HttpRequest, Routed, Target, route};
use super::{cluster_of, header_map, request, told, translated};
use crate::cluster::ObjectName;
use crate::control::Resources;

fn optional(strategy: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), strategy]
}

fn header_match() -> impl Strategy<Value = String> {
    select(vec![
        "{name: version, value: one}",
        "{name: Version, value: two}",
        "{name: version, type: RegularExpression, value: 'o.*|t.*'}",
        "{name: x-a, value: b}",
        "{name: x-a, type: RegularExpression, value: 'b,?c?'}",
        "{name: x-b, value: ''}",
        "{name: x-a, value: 'b,c'}",
    ])
    .prop_filter("a value is needed", |text| !text.contains("''"))
    .prop_map(str::to_owned)
}

fn http_match() -> impl Strategy<Value = String> {
    let path = select(vec![
        "path: {type: Exact, value: /v1}",
        "path: {type: Exact, value: /v1/}",
        "path: {type: Exact, value: /a/b}",
        "path: {type: PathPrefix, value: /v1}",
        "path: {type: PathPrefix, value: /v2/}",
        "path: {value: /a}",
        "path: {type: PathPrefix, value: /a/b}",
        "path: {type: PathPrefix, value: /}",
        "path: {type: RegularExpression, value: '/v[12].*'}",
        "path: {type: RegularExpression, value: '/a'}",
        "path: {type: RegularExpression, value: '/.+/b'}",
    ])
    .prop_map(str::to_owned);
    let method = select(vec!["method: GET", "method: POST"]).prop_map(str::to_owned);
    let headers = prop::collection::vec(header_match(), 1..3).prop_map(|all| format!("headers: [{}]", all.join(", ")));
    let query = select(vec![
        "queryParams: [{name: animal, value: whale}]",
        "queryParams: [{name: animal, value: dolphin}, {name: animal, value: whale}]",
        "queryParams: [{name: animal, type: RegularExpression, value: 'wh.*'}]",
        "queryParams: [{name: x, value: '1'}, {name: animal, value: whale}]",
    ])
    .prop_map(str::to_owned);
    (optional(path), optional(method), optional(headers), optional(query)).prop_map(|(a, b, c, d)| {
        let parts: Vec<String> = [a, b, c, d].into_iter().filter(|part| !part.is_empty()).collect();
        format!("{{{}}}", parts.join(", "))
    })
}

fn filters() -> impl Strategy<Value = String> {
    let one = select(vec![
        "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: set}], add: [{name: Version, value: added}], remove: [x-b]}}",
        "{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x-a, value: c}]}}",
        "{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-r, value: y}]}}",
        "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}",
        "{type: URLRewrite, urlRewrite: {hostname: new.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}",
        "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /full}}}",
        "{type: RequestMirror, requestMirror: {backendRef: {name: echo-v2, port: 8080}}}",
    ]);
    let redirect = select(vec![
        "{type: RequestRedirect, requestRedirect: {hostname: example.org}}",
        "{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}",
        "{type: RequestRedirect, requestRedirect: {port: 8083, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}",
        "{type: RequestRedirect, requestRedirect: {scheme: https, port: 443, path: {type: ReplaceFullPath, replaceFullPath: /f}, statusCode: 308}}",
        "{type: RequestRedirect, requestRedirect: {scheme: http, port: 80}}",
        "{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}",
    ]);
    prop_oneof![
        3 => Just(String::new()),
        3 => one.prop_map(str::to_owned),
        2 => redirect.prop_map(str::to_owned),
    ]
}

fn backends() -> impl Strategy<Value = String> {
    let one = select(vec![
        "{name: echo-v1, port: 8080}",
        "{name: echo-v2, port: 8080, weight: 3}",
        "{name: echo-v2, port: 8080, weight: 0}",
        "{name: echo, port: 80}",
        "{name: absent, port: 80}",
        "{name: echo-v1, port: 9999}",
    ]);
    prop::collection::vec(one, 0..3).prop_map(|all| format!("[{}]", all.join(", ")))
}

fn http_rule() -> impl Strategy<Value = String> {
    (prop::collection::vec(http_match(), 0..3), filters(), backends()).prop_map(|(matches, filter, backends)| {
        // A prefix is replaced only where one was matched: the API refuses other rules.
        let prefixed = filter.contains("replacePrefixMatch");
        let matches = if prefixed { vec!["{path: {value: /v1}}".to_owned()] } else { matches };
        let backends = if filter.contains("RequestRedirect") { "[]".to_owned() } else { backends };
        let mut text = format!("  - backendRefs: {backends}\n");
        if !matches.is_empty() {
            let _ = writeln!(text, "    matches: [{}]", matches.join(", "));
        }
        if !filter.is_empty() {
            let _ = writeln!(text, "    filters: [{filter}]");
        }
        text
    })
}

fn grpc_rule() -> impl Strategy<Value = String> {
    let method = select(vec![
        "method: {service: shop.Cart, method: Add}",
        "method: {service: shop.Cart}",
        "method: {method: Add}",
        "method: {type: RegularExpression, service: '.*Cart', method: 'A.*'}",
        "method: {type: RegularExpression, method: 'A.*'}",
        "headers: [{name: version, value: one}]",
    ]);
    (prop::option::of(method), backends()).prop_map(|(method, backends)| {
        let mut text = format!("  - backendRefs: {backends}\n");
        if let Some(method) = method {
            let _ = writeln!(text, "    matches: [{{{method}}}]");
        }
        text
    })
}

fn routes() -> impl Strategy<Value = String> {
    let parent = select(vec!["", ", port: 80", ", port: 7070"]);
    let namespace = select(vec!["shop", "shop", "shop", "buyers"]);
    let http = (Just("HTTPRoute"), parent.clone(), namespace.clone(), prop::collection::vec(http_rule(), 1..4));
    let grpc = (Just("GRPCRoute"), parent, namespace, prop::collection::vec(grpc_rule(), 1..3));
    prop::collection::vec(prop_oneof![3 => http, 1 => grpc], 0..4).prop_map(|all| {
        let mut text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: buyers}\n".to_owned();
        // Names run against the order of creation, so that the two are told apart.
        for (index, (kind, port, namespace, rules)) in all.into_iter().enumerate() {
            let _ = write!(
                text,
                "---\napiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: route-{}, namespace: {namespace}}}\nspec:\n  parentRefs: [{{group: '', kind: Service, name: echo, namespace: shop{port}}}]\n  rules:\n{}",
                9 - index,
                rules.concat()
            );
        }
        text
    })
}

/// What the waypoint does, in the words of the reference.
fn decided(resources: &Resources, client: &str, port: u16, request: &HttpRequest) -> Routed {
    let routes = &told(resources).ports[&port];
    let headers = header_map(request);
    let method = request.method.parse::<Method>().expect("a method");
    let view = RequestView {
        method: &method,
        scheme: "http",
        authority: &request.authority,
        path_and_query: &request.target,
        headers: &headers,
        claims: None,
    };
    match choose(routes, Some(client), &view, &mut Rng::from_number(1)) {
        Decision::Implicit => Routed::Unrouted,
        Decision::NotFound => Routed::NotFound,
        Decision::Matched(matched) => {
            let origin = &matched.route.origin;
            let mut changed = headers.clone();
            let host = matched.route.filters.request_headers.apply_to_request(&mut changed);
            assert_eq!(host, None);
            let path = matched.route.matches.path.as_ref();
            let action = match (&matched.outcome, &matched.route.action) {
                (Outcome::Redirect(redirect), _) => {
                    Action::Redirect { status: redirect.status, location: redirect.location(path, &view, port) }
                }
                (_, RouteAction::Forward(forward)) => {
                    let rewrite = &forward.rewrite;
                    let backends = forward.backends.iter().filter(|share| share.weight > 0).map(|share| {
                        let target = match &share.target {
                            BackendTarget::Invalid(_) => Target::Invalid,
                            BackendTarget::Service(backend) => Target::Service {
                                service: ObjectName::new(
                                    &backend.service.namespace,
                                    backend.service.hostname.split('.').next().unwrap_or_default(),
                                ),
                                port: backend.port,
                            },
                        };
                        (share.weight, target)
                    });
                    Action::Forward {
                        backends: backends.collect(),
                        target: rewrite
                            .path
                            .as_ref()
                            .map_or(request.target.clone(), |rewrite| rewrite.apply(path, &request.target)),
                        authority: rewrite.authority.as_deref().map(str::to_owned),
                    }
                }
                other => panic!("the Gateway API has no such action: {other:?}"),
            };
            Routed::Rule(super::super::Chosen {
                route: ObjectName::new(&origin.namespace, &origin.name),
                rule: origin.rule,
                action,
                headers: sorted(changed.iter().map(|(name, value)| {
                    (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })),
            })
        }
    }
}

/// By name; values of one name stay in order.
fn sorted(headers: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut all: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_reference_and_the_waypoint_route_alike(
        objects in routes(),
        requests in prop::collection::vec((request(), select(vec![80_u16, 7070]), select(vec!["shop", "buyers"])), 50),
    ) {
        let cluster = cluster_of(&objects);
        let resources = translated(&cluster);
        for (request, port, client) in requests {
            let mut expected =
                route(&cluster, "shop", Some(client), &ObjectName::new("shop", "echo"), port, &request);
            if let Routed::Rule(chosen) = &mut expected {
                chosen.headers = sorted(std::mem::take(&mut chosen.headers));
            }
            prop_assert!(!matches!(expected, Routed::Unclear(_)), "{:?}", expected);
            let decided = decided(&resources, client, port, &request);
            prop_assert_eq!(&decided, &expected, "{:?} to port {} from {}\n{}", request, port, client, objects);
        }
    }
}
