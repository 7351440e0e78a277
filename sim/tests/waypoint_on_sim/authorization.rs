//! Policies, tokens and external providers.

use std::sync::Arc;

use proxy_core::authentication::{JwtRule, KeySet, TokenLocations};
use proxy_core::policy::PolicyKey;
use proxy_core::policy::http::{
    HttpAction, HttpPolicies, HttpPolicy, OperationText, RuleText, SourceText, TrustDomains,
};
use proxy_core::request::TextMatch;
use proxy_core::route::{AuthorizationProvider, Backend, ProviderProtocol};
use proxy_core::state::Resource;
use proxy_core::telemetry::{Reason, Reporter, TokenOutcome};

use crate::http::{get, send};
use crate::server::{http, named};
use crate::world::{World, key, service};

/// A token of `https://issuer.example` for `alice`, without an end.
const TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYWxpY2UiLCJncm91cCI6ImFkbWluIn0.FlRXavElpJJMOstW5nH-H2yQCKfPtO3BEh6-mojCLvo5t_00bZ36F3qBzUUpGADEsxr-YgiP6YKzmT-Dk-sLxdM18jMwq2R6PLxV7v8xIYBS5Wk6wCmh1DgQvUy_Gb8Lkt4sc-OgcX7UlmYjM26tnx-V2Pqp3Vw1gkspYiv4DnDdIAQ1Nd-e7KULI3oed8U7hQBA_3jLB-LeJOQM3kCegllIKKX7rM6U8wRiCQw0TWgnaW6Dc_9tBYUKXxIFu-ArQHi8M6EWTGeBBt3HDSpIi3O8Rz_NyxRgvu5insgIS-4U3-NDhL-tHzNTCJ98Sop_PP3_p44-TDiacari9bZkyw";
/// The issuer's key.
const KEYS: &str = r#"{"keys":[{"kty":"RSA","kid":"k1","alg":"RS256","e":"AQAB","n":"u6D6_hScRd9g8pnfypw3O1NkFHqPOTSiWEbttGLGkhUWueAtQdW23E__gRFJjzRlAIW-OsHdxypO2RPq67XhGlOvaa07q-3vh-VMrO3y7Yb-iZWcVqRUyIJ5m7cGFhBFyl3MKEsMjcYgvPkx7-t_6gWnu5xmhlRKVmmoYmtcDZIcfZcemTCxUAA8vq1XzOMddbd8d4aZZlLe6ZAqx42GQnpOmc8lhp3uG6ZPyIkd5vZG0gqiPzm3d9prMgKIVtQrFFUCJMqrifi_UJmOHPAeBGRiU6ydudAmpXueacrjSLBdRjcsgQqm8nV5RvYBa1MT8aKD-IHjOPmC4SujLY-GeQ"}]}"#;

fn policy(name: &str, action: HttpAction, rules: &[RuleText]) -> Arc<HttpPolicy> {
    let trust = TrustDomains { own: "cluster.local".into(), aliases: Vec::new() };
    Arc::new(HttpPolicy::read(PolicyKey::new("default", name), action, false, rules, &trust).unwrap())
}

fn policies(list: Vec<Arc<HttpPolicy>>) -> HttpPolicies {
    HttpPolicies { policies: list }
}

fn paths(paths: &[&str]) -> RuleText {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    RuleText { to: vec![OperationText { paths, ..OperationText::default() }], ..RuleText::default() }
}

#[test]
fn a_denied_request_is_answered_403_and_names_its_policy() {
    let world = World::new(1);
    let seen = named(&world.servers[0].host, "server");
    world.routes(|routes| {
        routes.policies = policies(vec![policy("no-admin", HttpAction::Deny, &[paths(&["/admin*"])])]);
    });
    let asked = [get(&world.client.host, World::vip(81), "/admin/x"), get(&world.client.host, World::vip(81), "/ok")];
    world.run_ms(1000);
    assert_eq!((asked[0].one().status, &*asked[0].one().text()), (403, "RBAC: access denied"));
    assert_eq!(asked[1].one().status, 200);
    assert_eq!(seen.heads().len(), 1);
    let told = world.requests();
    let denied = told.iter().find(|request| request.status == 403).unwrap();
    assert_eq!(denied.reason, Reason::PolicyDenied);
    assert_eq!(&*denied.details, "rbac_access_denied_matched_policy[ns[default]-policy[no-admin]-rule[0]]");
}

#[test]
fn a_path_that_is_spelled_otherwise_is_denied_all_the_same() {
    let world = World::new(1);
    named(&world.servers[0].host, "server");
    world.routes(|routes| {
        routes.policies = policies(vec![policy("no-admin", HttpAction::Deny, &[paths(&["/admin*"])])]);
    });
    for path in ["/x/../admin", "/./admin", "/%61dmin", "\\admin"] {
        let asked = get(&world.client.host, World::vip(81), path);
        world.run_ms(500);
        assert!(matches!(asked.one().status, 403 | 400), "{path}: {:?}", asked.one());
    }
}

#[test]
fn an_opaque_connection_that_is_denied_is_closed() {
    let world = World::new(1);
    let visitors = crate::app::echo(&world.servers[0].host, 8080);
    let ports = vec!["90".to_owned()];
    let rule = RuleText { to: vec![OperationText { ports, ..OperationText::default() }], ..RuleText::default() };
    world.routes(|routes| routes.policies = policies(vec![policy("no-tcp", HttpAction::Deny, &[rule])]));
    let asked = crate::app::ask(&world.client.host, World::vip(90), b"hello");
    world.run_ms(1000);
    assert!(asked.seen().end.is_some() && asked.seen().received.is_empty() && visitors.lock().is_empty());
    assert_eq!(world.mesh.events.reasons(Reporter::Waypoint), [Reason::PolicyDenied]);
}

#[test]
fn tokens_are_checked_and_their_principal_is_what_policy_sees() {
    let world = World::new(1);
    let seen = named(&world.servers[0].host, "server");
    world.routes(|routes| {
        routes.authentication = vec![JwtRule {
            origin: PolicyKey::new("default", "jwt"),
            issuer: "https://issuer.example".into(),
            audiences: Vec::new(),
            keys: Arc::new(KeySet::parse(KEYS).unwrap()),
            locations: TokenLocations::default(),
            forward_original_token: false,
            output_payload_to_header: None,
            output_claim_to_headers: Vec::new(),
            space_delimited_claims: Vec::new(),
        }];
        let principals = vec!["https://issuer.example/alice".to_owned()];
        let source = SourceText { request_principals: principals, ..SourceText::default() };
        let rule = RuleText { from: vec![source], ..RuleText::default() };
        routes.policies = policies(vec![policy("alice", HttpAction::Allow, &[rule])]);
    });
    let with = |token: &str| {
        send(
            &world.client.host,
            World::vip(81),
            format!("GET / HTTP/1.1\r\nHost: echo\r\nAuthorization: Bearer {token}\r\n\r\n"),
        )
    };
    let asked = [
        with(TOKEN),
        with(&TOKEN.replace("alice", "mallory")),
        with("a.b.c"),
        get(&world.client.host, World::vip(81), "/"),
    ];
    world.run_ms(1000);
    let forged = with(&format!("{}A", &TOKEN[..TOKEN.len() - 1]));
    world.run_ms(500);
    let statuses: Vec<u16> = asked.iter().map(|asked| asked.one().status).collect();
    assert_eq!((statuses[0], statuses[2], statuses[3], forged.one().status), (200, 401, 403, 401));
    assert!(asked[2].one().header("www-authenticate").unwrap().starts_with("Bearer realm="));
    assert!(!seen.heads()[0].contains("authorization"), "the token is not forwarded");
    let accepted = TokenOutcome::Accepted("https://issuer.example/alice".into());
    assert!(world.requests().iter().any(|request| request.token == accepted));
}

#[test]
fn a_provider_over_http_allows_with_headers_or_denies_with_its_own_answer() {
    let world = World::new(1);
    let seen = named(&world.servers[0].host, "server");
    world.push(vec![Resource::Service(Arc::new(service("authz", "10.10.0.9", &[80])))]);
    let provider = world.pod("authz", "10.0.1.99", &["authz"]);
    let asked = http(&provider.host, |head, _, _| {
        if head.contains("x-ext-authz: allow\r\n") {
            b"HTTP/1.1 200 OK\r\nx-checked: yes\r\nx-secret: no\r\ncontent-length: 0\r\n\r\n".to_vec()
        } else {
            b"HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 6\r\n\r\nlog in".to_vec()
        }
    });
    world.settings(|settings| {
        let protocol = ProviderProtocol::Http {
            path_prefix: "/check".into(),
            include_request_headers: vec![TextMatch::Exact("x-ext-authz".into())],
            additional_headers: Vec::new(),
            to_upstream_on_allow: vec![TextMatch::Exact("x-checked".into())],
            to_downstream_on_allow: Vec::new(),
            to_downstream_on_deny: Vec::new(),
        };
        let mut name = key();
        name.hostname = "authz.default.svc.cluster.local".into();
        let provider = AuthorizationProvider {
            protocol,
            backend: Backend { service: name, port: 80, subset: None },
            timeout: std::time::Duration::from_secs(600),
            fail_open: false,
            status_on_error: 403,
            body: None,
        };
        settings.providers.insert("checker".into(), provider);
    });
    world.routes(|routes| {
        let custom = HttpAction::Custom("checker".into());
        routes.policies = policies(vec![policy("check", custom, &[paths(&["/private*"])])]);
    });
    let ask = |path: &str, value: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: echo\r\nx-ext-authz: {value}\r\n\r\n");
        let asked = send(&world.client.host, World::vip(81), request);
        world.run_ms(1000);
        asked.one()
    };
    assert_eq!(ask("/public", "deny").status, 200);
    assert_eq!(ask("/private/x", "allow").status, 200);
    let denied = ask("/private/x", "deny");
    assert_eq!((denied.status, denied.header("location"), &*denied.text()), (302, Some("/login"), "log in"));
    assert!(asked.heads()[0].starts_with("GET /check/private/x HTTP/1.1\r\n"), "{}", asked.heads()[0]);
    assert_eq!(seen.heads().len(), 2);
    assert!(seen.heads()[1].contains("x-checked: yes\r\n") && !seen.heads()[1].contains("x-secret"));
    assert_eq!(world.requests().last().unwrap().flags_text(), "UAEX");
}

#[test]
fn a_provider_that_cannot_be_asked_refuses() {
    let world = World::new(1);
    let seen = named(&world.servers[0].host, "server");
    world.routes(|routes| {
        let custom = HttpAction::Custom("nobody".into());
        routes.policies = policies(vec![policy("check", custom, &[RuleText::default()])]);
    });
    let asked = get(&world.client.host, World::vip(81), "/");
    world.run_ms(500);
    assert_eq!(asked.one().status, 403);
    assert!(seen.heads().is_empty());
}
