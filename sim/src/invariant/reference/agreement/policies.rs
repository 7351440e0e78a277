//! Policies.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::Method;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proxy_core::policy::Connection;
use proxy_core::policy::http::{Subject, authorize};
use proxy_core::request::{Claims, RequestView};
use serde_json::{Value, json};

use super::super::{HttpAttempt, HttpJudgement, HttpRequest, judge_http};
use super::{cluster_of, header_map, request, settings, told, translated};
use crate::cluster::{Cluster, ObjectName};
use crate::control::Resources;

/// A list of values under a key, as flow YAML; nothing for an empty list.
fn field(key: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        1 => subsequence(values, 1..=values.len().min(2)).prop_map(move |chosen| format!("{key}: [{}], ", chosen.join(", "))),
    ]
}

const PRINCIPALS: &[&str] = &[
    "'*'",
    "cluster.local/ns/web/sa/front",
    "'*/sa/front'",
    "'cluster.local/ns/we*'",
    "old.example/ns/web/sa/front",
    "foreign.example/ns/web/sa/front",
];
const NAMESPACES: &[&str] = &["web", "shop", "'*'", "'we*'", "'*op'"];
const ACCOUNTS: &[&str] = &["web/front", "front", "shop/front"];
const DOMAINS: &[&str] = &["cluster.local", "old.example", "'*.example'", "foreign.example"];
const BLOCKS: &[&str] = &["10.244.0.0/16", "10.0.0.7", "0.0.0.0/0", "192.168.0.0/24"];
const TOKENS: &[&str] = &["'*'", "https://issuer/alice", "'https://issuer/*'", "'*lice'", "'https*'", "'*/alice'"];
const PATHS: &[&str] = &[
    "/v1",
    "'/v1*'",
    "'*x'",
    "'*'",
    "'/{*}/b'",
    "'/a/{**}'",
    "'/{**}/c'",
    "/a/b",
    "'/shop.Cart/{*}'",
    "'/a/{*}/{**}'",
];
const HOSTS: &[&str] = &["echo", "Echo", "'echo*'", "'*:80'", "'*.local'", "'*'"];
const METHODS: &[&str] = &["GET", "POST", "'P*'"];
const PORTS: &[&str] = &["'80'", "'8080'", "'9000'"];

fn source() -> impl Strategy<Value = String> {
    let by_name = (
        field("principals", PRINCIPALS),
        field("notPrincipals", PRINCIPALS),
        field("namespaces", NAMESPACES),
        field("notNamespaces", NAMESPACES),
        field("trustDomains", DOMAINS),
        field("notTrustDomains", DOMAINS),
    )
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].concat());
    let by_account =
        (field("serviceAccounts", ACCOUNTS), field("notServiceAccounts", ACCOUNTS)).prop_map(|(a, b)| [a, b].concat());
    let rest = (
        field("ipBlocks", BLOCKS),
        field("notIpBlocks", BLOCKS),
        field("remoteIpBlocks", BLOCKS),
        field("requestPrincipals", TOKENS),
        field("notRequestPrincipals", TOKENS),
    )
        .prop_map(|(a, b, c, d, e)| [a, b, c, d, e].concat());
    (prop_oneof![by_name, by_account], rest)
        .prop_map(|(who, rest)| format!("{who}{rest}"))
        .prop_filter("a source says something", |text| !text.is_empty())
        .prop_map(|text| format!("{{source: {{{text}}}}}"))
}

fn operation() -> impl Strategy<Value = String> {
    (
        field("hosts", HOSTS),
        field("notHosts", HOSTS),
        field("methods", METHODS),
        field("notMethods", METHODS),
        field("paths", PATHS),
        field("notPaths", PATHS),
        field("ports", PORTS),
        field("notPorts", PORTS),
    )
        .prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h].concat())
        .prop_filter("an operation says something", |text| !text.is_empty())
        .prop_map(|text| format!("{{operation: {{{text}}}}}"))
}

fn condition() -> impl Strategy<Value = String> {
    let keyed = |key: &'static str, values: &'static [&'static str]| {
        (field("values", values), field("notValues", values))
            .prop_filter("a condition says something", |(a, b)| !a.is_empty() || !b.is_empty())
            .prop_map(move |(a, b)| format!("{{key: '{key}', {a}{b}}}"))
    };
    prop_oneof![
        keyed("request.headers[version]", &["one", "'o*'", "'*'", "two"]),
        keyed("request.headers[X-A]", &["b", "'*c'", "'b,c'"]),
        keyed("source.ip", BLOCKS),
        keyed("remote.ip", BLOCKS),
        keyed("source.namespace", NAMESPACES),
        keyed("source.principal", PRINCIPALS),
        keyed("source.serviceAccount", ACCOUNTS),
        keyed("source.trustDomain", DOMAINS),
        keyed("destination.port", PORTS),
        keyed("destination.ip", &["10.96.0.0/16", "10.96.0.1", "0.0.0.0/0"]),
        keyed("request.auth.principal", TOKENS),
        keyed("request.auth.audiences", &["shop", "'*'", "'sh*'"]),
        keyed("request.auth.presenter", &["app", "'*'"]),
        keyed("request.auth.claims[groups]", &["admin", "'a*'", "staff"]),
        keyed("request.auth.claims[scope]", &["read", "write", "'*'"]),
        keyed("request.auth.claims[realm][roles]", &["owner", "'*'"]),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    let list = |key: &'static str, all: Vec<String>| match all.is_empty() {
        true => String::new(),
        false => format!("{key}: [{}], ", all.join(", ")),
    };
    (
        prop::collection::vec(source(), 0..3),
        prop::collection::vec(operation(), 0..3),
        prop::collection::vec(condition(), 0..3),
    )
        .prop_map(move |(from, to, when)| format!("{{{}{}{}}}", list("from", from), list("to", to), list("when", when)))
}

fn policies() -> impl Strategy<Value = String> {
    let target = select(vec![
        ("shop", "{group: '', kind: Service, name: echo}"),
        ("shop", "{group: '', kind: Service, name: echo}"),
        ("shop", "{group: '', kind: Service, name: echo-v1}"),
        ("shop", "{group: gateway.networking.k8s.io, kind: Gateway, name: door}"),
        ("istio-system", "{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}"),
    ]);
    let action = select(vec!["ALLOW", "ALLOW", "DENY", "AUDIT"]);
    let dry_run = prop_oneof![5 => Just(false), 1 => Just(true)];
    let one = (target, action, dry_run, prop::collection::vec(rule(), 0..3));
    let one = one.prop_filter("only ALLOW may be without rules", |(_, action, dry_run, rules)| {
        (*action == "ALLOW" || !rules.is_empty()) && (!dry_run || matches!(*action, "ALLOW" | "DENY"))
    });
    prop::collection::vec(one, 0..4).prop_map(|all| {
        let mut text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'trustDomainAliases: [old.example]'}\n".to_owned();
        for (index, ((namespace, target), action, dry_run, rules)) in all.into_iter().enumerate() {
            let note = if dry_run { ", annotations: {istio.io/dry-run: 'true'}" } else { "" };
            let _ = write!(
                text,
                "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: policy-{index}, namespace: {namespace}{note}}}\nspec: {{action: {action}, targetRefs: [{target}], rules: [{}]}}\n",
                rules.join(", ")
            );
        }
        text
    })
}

#[derive(Clone, Debug)]
struct Asked {
    request: Option<HttpRequest>,
    identity: Option<&'static str>,
    source: IpAddr,
    address: IpAddr,
    port: u16,
    claims: Option<Value>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let identity = select(vec![
        None,
        Some("spiffe://cluster.local/ns/web/sa/front"),
        Some("spiffe://old.example/ns/web/sa/front"),
        Some("spiffe://foreign.example/ns/web/sa/front"),
        Some("spiffe://cluster.local/ns/shop/sa/other"),
    ]);
    let source = select(vec![IpAddr::from([10, 244, 1, 2]), IpAddr::from([10, 0, 0, 7]), IpAddr::from([1, 2, 3, 4])]);
    let address = select(vec![IpAddr::from([10, 96, 0, 1]), IpAddr::from([10, 96, 0, 2])]);
    let claims = select(vec![
        None,
        Some(
            json!({"iss": "https://issuer", "sub": "alice", "aud": ["shop", "x"], "groups": ["admin"], "scope": "read write"}),
        ),
        Some(
            json!({"iss": "https://issuer", "sub": "bob", "aud": "shop", "azp": "app", "groups": "staff", "realm": {"roles": ["owner"]}}),
        ),
        Some(json!({"iss": "https://issuer/alice", "aud": 7, "groups": {}})),
    ]);
    let request = prop_oneof![6 => request().prop_map(Some), 1 => Just(None)];
    (request, identity, source, address, select(vec![80_u16, 9000]), claims).prop_map(
        |(request, identity, source, address, port, claims)| {
            let claims = claims.filter(|_| request.is_some());
            Asked { request, identity, source, address, port, claims }
        },
    )
}

fn product_allows(resources: &Resources, asked: &Asked) -> bool {
    let connection = Connection {
        identity: asked.identity.map(|text| text.parse().expect("an identity")),
        source: SocketAddr::new(asked.source, 40_000),
        destination: SocketAddr::new(asked.address, asked.port),
    };
    let policies = settings(resources).policies.policies.iter().chain(&told(resources).policies.policies);
    let policies = policies.map(|policy| &**policy);
    let Some(request) = &asked.request else {
        return authorize(policies, &Subject::connection(&connection, asked.source, None)).verdict.is_allowed();
    };
    let headers = header_map(request);
    let method = request.method.parse::<Method>().expect("a method");
    let claims = asked.claims.as_ref().and_then(Value::as_object).map(|payload| {
        let text = |name: &str| payload.get(name).and_then(Value::as_str);
        Claims {
            payload: Arc::new(payload.clone()),
            principal: text("iss").zip(text("sub")).map(|(issuer, subject)| format!("{issuer}/{subject}").into()),
            space_delimited: Vec::new(),
        }
    });
    let view = RequestView {
        method: &method,
        scheme: "http",
        authority: &request.authority,
        path_and_query: &request.target,
        headers: &headers,
        claims: claims.as_ref(),
    };
    authorize(policies, &Subject::request(&connection, asked.source, &view)).verdict.is_allowed()
}

fn reference_allows(cluster: &Cluster, asked: &Asked) -> Option<bool> {
    let attempt = HttpAttempt {
        service: Some(&ObjectName::new("shop", "echo")),
        waypoint: &ObjectName::new("shop", "door"),
        address: asked.address,
        port: asked.port,
        source: asked.source,
        identity: asked.identity,
        request: asked.request.as_ref(),
        claims: asked.claims.as_ref(),
    };
    match judge_http(cluster, &attempt) {
        HttpJudgement::Allow => Some(true),
        HttpJudgement::Deny(_) => Some(false),
        HttpJudgement::Unclear(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_reference_and_the_waypoint_judge_alike(
        objects in policies(),
        all in prop::collection::vec(asked(), 50),
    ) {
        let cluster = cluster_of(&objects);
        let resources = translated(&cluster);
        for asked in all {
            let expected = reference_allows(&cluster, &asked);
            prop_assert_eq!(Some(product_allows(&resources, &asked)), expected, "{:?}\n{}", asked, objects);
        }
    }
}
