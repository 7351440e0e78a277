use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::identity::Identity;
use crate::policy::Connection;
use crate::policy::http::{ConditionText, OperationText, RuleText, SourceText, TrustDomains};
use crate::request::{Claims, RequestView};

fn trust() -> TrustDomains {
    TrustDomains { own: "td.mesh".into(), aliases: vec!["old.mesh".into()] }
}

fn read(name: &str, action: HttpAction, rules: Vec<RuleText>) -> HttpPolicy {
    HttpPolicy::read(PolicyKey::new("ns", name), action, false, &rules, &trust()).unwrap()
}

fn allow(rules: Vec<RuleText>) -> HttpPolicy {
    read("allow", HttpAction::Allow, rules)
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| value.to_string()).collect()
}

fn from(source: SourceText) -> RuleText {
    RuleText { from: vec![source], ..RuleText::default() }
}

fn to(operation: OperationText) -> RuleText {
    RuleText { to: vec![operation], ..RuleText::default() }
}

fn when(key: &str, values: &[&str], not_values: &[&str]) -> RuleText {
    let condition = ConditionText { key: key.to_owned(), values: texts(values), not_values: texts(not_values) };
    RuleText { when: vec![condition], ..RuleText::default() }
}

/// A GET of `/info/x?y` on `Echo:80`, from `td.mesh/ns/client/sa/web` at 10.0.0.1 to port 8080 of 10.1.0.1.
struct Request {
    connection: Connection,
    method: Method,
    path: &'static str,
    headers: HeaderMap,
    claims: Option<Claims>,
}

impl Default for Request {
    fn default() -> Self {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        Request {
            connection: Connection {
                identity: Some(Identity::new("td.mesh", "client", "web")),
                source: address("10.0.0.1:4000"),
                destination: address("10.1.0.1:8080"),
            },
            method: Method::GET,
            path: "/info/x?y",
            headers: [(HeaderName::from_static("x-token"), HeaderValue::from_static("Abc"))].into_iter().collect(),
            claims: None,
        }
    }
}

impl Request {
    fn with_claims(payload: serde_json::Value) -> Self {
        let payload = payload.as_object().cloned().unwrap_or_default();
        let claims = Claims { payload: Arc::new(payload), principal: None, space_delimited: vec![] };
        Request { claims: Some(claims), ..Request::default() }
    }

    fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            scheme: "http",
            authority: "Echo:80",
            path_and_query: self.path,
            headers: &self.headers,
            claims: self.claims.as_ref(),
        }
    }

    fn judge(&self, policies: &[HttpPolicy]) -> HttpDecision {
        let view = self.view();
        authorize(policies.iter(), &Subject::request(&self.connection, self.connection.source.ip(), &view))
    }

    fn matches(&self, rule: RuleText) -> bool {
        self.judge(&[allow(vec![rule])]).verdict.is_allowed()
    }

    fn judge_opaque(&self, policies: &[HttpPolicy]) -> HttpDecision {
        let subject = Subject::connection(&self.connection, self.connection.source.ip(), Some("db.example"));
        authorize(policies.iter(), &subject)
    }
}

#[test]
fn no_policy_allows_an_empty_spec_denies_and_an_empty_rule_matches_everything() {
    let request = Request::default();
    assert_eq!(request.judge(&[]).verdict, HttpVerdict::Allowed { by: None });
    let nothing = request.judge(&[allow(vec![])]).verdict;
    assert_eq!(nothing, HttpVerdict::NotAllowed);
    assert_eq!(nothing.details().as_deref(), Some("rbac_access_denied_matched_policy[none]"));
    assert!(request.judge(&[allow(vec![RuleText::default()])]).verdict.is_allowed());
}

#[test]
fn deny_wins_over_allow_and_names_its_policy_and_rule() {
    let policies = [
        allow(vec![RuleText::default()]),
        read("no", HttpAction::Deny, vec![when("source.ip", &["1.2.3.4"], &[]), RuleText::default()]),
    ];
    let verdict = Request::default().judge(&policies).verdict;
    assert_eq!(verdict.details().as_deref(), Some("rbac_access_denied_matched_policy[ns[ns]-policy[no]-rule[1]]"));
    assert_eq!(verdict.to_string(), "denied by rule 1 of DENY policy ns/no");
}

#[test]
fn audit_and_dry_run_only_tell() {
    let dry = |action| HttpPolicy { dry_run: true, ..read("dry", action, vec![RuleText::default()]) };
    let never = vec![when("source.ip", &["1.2.3.4"], &[])];
    let policies = [
        read("audit", HttpAction::Audit, vec![RuleText::default()]),
        dry(HttpAction::Deny),
        HttpPolicy { dry_run: true, ..allow(never) },
    ];
    let decision = Request::default().judge(&policies);
    assert_eq!(decision.verdict, HttpVerdict::Allowed { by: None });
    assert_eq!(decision.audited[0].to_string(), "ns[ns]-policy[audit]-rule[0]");
    assert_eq!(decision.dry_run_allow, Some(DryRunResult { allowed: false, by: None }));
    let deny = decision.dry_run_deny.unwrap();
    assert_eq!((deny.allowed, deny.by.unwrap().to_string().as_str()), (false, "ns[ns]-policy[dry]-rule[0]"));
}

#[test]
fn hosts_are_compared_with_their_port_and_without_case() {
    let host =
        |text| Request::default().matches(to(OperationText { hosts: texts(&[text]), ..OperationText::default() }));
    assert!(host("echo:80") && host("ECHO:*") && host("*:80") && host("*"));
    assert!(!host("echo") && !host("*.echo"));
}

#[test]
fn methods_count_their_case_and_paths_leave_out_the_query() {
    let operation = |methods: &[&str], paths: &[&str]| OperationText {
        methods: texts(methods),
        paths: texts(paths),
        ..OperationText::default()
    };
    let matches = |methods: &[&str], paths: &[&str]| Request::default().matches(to(operation(methods, paths)));
    assert!(matches(&["GET"], &["/info/x"]) && matches(&["G*"], &["/info*"]) && matches(&[], &["*/x"]));
    assert!(matches(&[], &["*"]) && matches(&[], &["/nope", "/info/{*}"]) && matches(&[], &["/{**}"]));
    assert!(!matches(&["get"], &[]) && !matches(&[], &["/info"]) && !matches(&[], &["/info/x?y"]));
    assert!(!matches(&["POST"], &["/info/x"]) && !matches(&[], &["/info/{*}/more"]));
}

#[test]
fn ports_are_the_ones_the_client_addressed() {
    let port =
        |text| Request::default().matches(to(OperationText { ports: texts(&[text]), ..OperationText::default() }));
    assert!(port("8080") && !port("80"));
}

#[test]
fn unwanted_values_must_not_match() {
    let operation = OperationText { methods: texts(&["*"]), not_methods: texts(&["GET"]), ..OperationText::default() };
    assert!(!Request::default().matches(to(operation.clone())));
    assert!(Request { method: Method::PUT, ..Request::default() }.matches(to(operation)));
    let source = SourceText { not_principals: texts(&["*"]), ..SourceText::default() };
    assert!(!Request::default().matches(from(source.clone())));
    let mut plain = Request::default();
    plain.connection.identity = None;
    assert!(plain.matches(from(source)), "nobody satisfies `not anybody`");
}

#[test]
fn principals_may_have_wildcards_and_trust_domain_aliases() {
    let principal = |text: &str| from(SourceText { principals: texts(&[text]), ..SourceText::default() });
    let as_of = |domain: &str| {
        let mut request = Request::default();
        request.connection.identity = Some(Identity::new(domain, "client", "web"));
        request
    };
    let ours = Request::default();
    assert!(ours.matches(principal("*")) && ours.matches(principal("*/ns/client/sa/web")));
    assert!(ours.matches(principal("td.mesh/ns/client/*")) && !ours.matches(principal("td.mesh/ns/other/*")));
    assert!(!ours.matches(principal("spiffe://td.mesh/ns/client/sa/web")));
    for domain in ["td.mesh", "old.mesh", "cluster.local"] {
        let rule = principal(&format!("{domain}/ns/client/sa/web"));
        assert!(ours.matches(rule.clone()) && as_of("old.mesh").matches(rule.clone()), "{domain}");
        assert!(!as_of("foreign").matches(rule));
    }
    let foreign = principal("foreign/ns/client/sa/web");
    assert!(as_of("foreign").matches(foreign.clone()) && !ours.matches(foreign));
    let domains = |text| from(SourceText { trust_domains: texts(&[text]), ..SourceText::default() });
    assert!(
        ours.matches(domains("old.mesh")) && ours.matches(domains("td.*")) && ours.matches(domains("cluster.local"))
    );
    assert!(!ours.matches(domains("foreign")));
}

#[test]
fn service_accounts_are_exact_and_of_the_policys_namespace_unless_they_say() {
    let account = |text| from(SourceText { service_accounts: texts(&[text]), ..SourceText::default() });
    let mut request = Request::default();
    assert!(request.matches(account("client/web")) && !request.matches(account("web")));
    request.connection.identity = Some(Identity::new("anything", "ns", "web"));
    assert!(request.matches(account("web")));
}

#[test]
fn addresses_are_those_of_the_client() {
    let blocks = |text| from(SourceText { ip_blocks: texts(&[text]), ..SourceText::default() });
    let remote = |text| from(SourceText { remote_ip_blocks: texts(&[text]), ..SourceText::default() });
    let request = Request::default();
    assert!(request.matches(blocks("10.0.0.0/24")) && request.matches(blocks("10.0.0.1")));
    assert!(!request.matches(blocks("10.0.1.0/24")) && request.matches(remote("10.0.0.1")));
    assert!(request.matches(when("destination.ip", &["10.1.0.0/16"], &[])));
    assert!(request.matches(when("destination.port", &["8080"], &[])));
    assert!(request.matches(when("remote.ip", &["10.0.0.1"], &["10.0.0.2"])));
}

#[test]
fn request_principals_are_split_at_the_last_slash() {
    let principal = |text| from(SourceText { request_principals: texts(&[text]), ..SourceText::default() });
    let request = Request::with_claims(json!({"iss": "https://issuer.example", "sub": "alice"}));
    for (text, expected) in [
        ("https://issuer.example/alice", true),
        ("https://issuer.example/*", true),
        ("*/alice", true),
        ("*", true),
        ("*ice", true),
        ("https:*", true),
        ("https://*", false),
        ("https://issuer.example/bob", false),
        ("https://other/*", false),
    ] {
        assert_eq!(request.matches(principal(text)), expected, "{text}");
        assert_eq!(request.matches(when("request.auth.principal", &[text], &[])), expected, "{text}");
    }
    let plain = Request::with_claims(json!({"iss": "issuer", "sub": "alice"}));
    assert!(plain.matches(principal("iss*")));
    assert!(!Request::with_claims(json!({"iss": "issuer"})).matches(principal("*")), "both are needed");
    assert!(!Request::default().matches(principal("*")));
}

#[test]
fn claims_are_strings_or_members_of_lists() {
    let request = Request::with_claims(json!({
        "aud": ["one", "two"], "azp": "app", "groups": ["dev"], "scope": "read write", "a": {"b": "c"},
    }));
    for (key, value) in [
        ("request.auth.audiences", "two"),
        ("request.auth.presenter", "app"),
        ("request.auth.claims[groups]", "d*"),
        ("request.auth.claims[scope]", "write"),
        ("request.auth.claims[a][b]", "c"),
    ] {
        assert!(request.matches(when(key, &[value], &[])), "{key}");
        assert!(!request.matches(when(key, &[], &[value])), "not {key}");
        assert!(!Request::default().matches(when(key, &[value], &[])), "{key} without a token");
    }
}

#[test]
fn conditions_take_values_and_unwanted_values_together() {
    let request = Request::default();
    assert!(request.matches(when("request.headers[X-Token]", &["Abc", "x"], &["y"])));
    assert!(
        request.matches(when("request.headers[x-token]", &["*"], &[]))
            && !request.matches(when("request.headers[x]", &["*"], &[]))
    );
    assert!(!request.matches(when("request.headers[x-token]", &["abc"], &[])), "values count their case");
    assert!(!request.matches(when("request.headers[x-token]", &["A*"], &["*c"])));
    assert!(request.matches(when("request.headers[x-absent]", &[], &["*"])));
    assert!(request.matches(when("source.namespace", &["cli*"], &[])));
    assert!(request.matches(when("source.serviceAccount", &["client/web"], &[])));
    assert!(request.matches(when("request.headers[:authority]", &["Echo:80"], &[])));
    assert!(request.matches(when("request.headers[:path]", &["*?y"], &[])));
    assert!(request.matches(when("request.headers[:method]", &["GET"], &["POST"])));
    assert!(!request.matches(when("connection.sni", &["*"], &[])));
    assert!(!request.matches(when("experimental.envoy.filters.x[y]", &["*"], &[])));
}

#[test]
fn fields_and_parts_are_anded_and_elements_ored() {
    let rule = RuleText {
        from: vec![
            SourceText { namespaces: texts(&["other"]), ..SourceText::default() },
            SourceText { namespaces: texts(&["client"]), ..SourceText::default() },
        ],
        to: vec![OperationText { methods: texts(&["GET"]), ports: texts(&["8080"]), ..OperationText::default() }],
        when: vec![],
    };
    assert!(Request::default().matches(rule.clone()));
    assert!(!Request { method: Method::PUT, ..Request::default() }.matches(rule));
}

#[test]
fn on_an_opaque_connection_what_only_requests_have_errs_towards_refusing() {
    let methods = OperationText { methods: texts(&["GET"]), ports: texts(&["8080"]), ..OperationText::default() };
    let request = Request::default();
    let verdict = request.judge_opaque(&[allow(vec![to(methods.clone())])]).verdict;
    assert_eq!(verdict, HttpVerdict::NotAllowed, "the rule of the ALLOW is dropped");
    let deny = read("deny", HttpAction::Deny, vec![to(methods.clone())]);
    assert!(matches!(request.judge_opaque(&[deny]).verdict, HttpVerdict::DeniedBy(_)), "all of the port is denied");
    let other = OperationText { ports: texts(&["9000"]), ..methods };
    let deny = read("deny", HttpAction::Deny, vec![to(other)]);
    assert!(request.judge_opaque(&[deny]).verdict.is_allowed());
    let ports = OperationText { ports: texts(&["8080"]), ..OperationText::default() };
    assert!(request.judge_opaque(&[allow(vec![to(ports)])]).verdict.is_allowed());
    assert!(request.judge_opaque(&[allow(vec![when("connection.sni", &["*.example"], &[])])]).verdict.is_allowed());
}

fn ask_of(policies: &[HttpPolicy], several: bool) -> Ask {
    let request = Request::default();
    let view = request.view();
    let subject = Subject::request(&request.connection, request.connection.source.ip(), &view);
    ask(policies.iter(), &subject, |provider| provider != "unknown", several)
}

fn custom(provider: &str, rule: RuleText) -> HttpPolicy {
    read(provider, HttpAction::Custom(provider.into()), vec![rule])
}

#[test]
fn a_provider_is_asked_only_about_requests_its_policy_matches() {
    let other = || to(OperationText { paths: texts(&["/other"]), ..OperationText::default() });
    assert_eq!(ask_of(&[], false), Ask::Nobody);
    assert_eq!(ask_of(&[custom("one", other())], false), Ask::Nobody);
    let id = PolicyId { key: PolicyKey::new("ns", "one"), rule: 0 };
    assert_eq!(ask_of(&[custom("one", RuleText::default())], false), Ask::Providers(vec![("one".into(), id)]));
    assert_eq!(ask_of(&[custom("one", other()), custom("two", other())], false), Ask::Nobody);
    assert_eq!(ask_of(&[custom("unknown", other())], false), Ask::Nobody);
}

#[test]
fn an_unknown_provider_and_two_providers_refuse_what_matches() {
    let any = RuleText::default;
    let Ask::Refuse { why, .. } = ask_of(&[custom("unknown", any())], false) else { panic!("asked") };
    assert_eq!(why, "the mesh configuration has no extension provider `unknown`");
    let two = [custom("one", any()), custom("two", when("source.ip", &["1.2.3.4"], &[]))];
    assert!(matches!(ask_of(&two, false), Ask::Refuse { .. }), "even if only one of them matches");
    let two = [custom("one", any()), custom("two", any())];
    let Ask::Providers(providers) = ask_of(&two, true) else { panic!("refused") };
    assert_eq!(providers.len(), 2);
}

#[test]
fn what_upstream_refuses_is_refused_in_words() {
    let source = |source| from(source);
    let accounts = |count| SourceText { service_accounts: vec!["a".to_owned(); count], ..SourceText::default() };
    let with_namespace = SourceText { namespaces: texts(&["x"]), ..accounts(1) };
    let custom = || HttpAction::Custom("p".into());
    let paths = |text| to(OperationText { paths: texts(&[text]), ..OperationText::default() });
    for (action, dry_run, rules, words) in [
        (HttpAction::Deny, false, vec![], "only ALLOW may have no rules"),
        (custom(), false, vec![], "only ALLOW may have no rules"),
        (HttpAction::Audit, true, vec![RuleText::default()], "only ALLOW and DENY can be dry runs"),
        (HttpAction::Allow, false, vec![source(with_namespace)], "rule 0: serviceAccounts cannot stand beside"),
        (HttpAction::Allow, false, vec![RuleText::default(), source(accounts(17))], "rule 1: 17 serviceAccounts"),
        (custom(), false, vec![when("request.auth.claims[a]", &["b"], &[])], "CUSTOM cannot look at"),
        (custom(), false, vec![when("source.principal", &["b"], &[])], "CUSTOM cannot look at"),
        (custom(), false, vec![source(accounts(1))], "CUSTOM cannot look at"),
        (HttpAction::Allow, false, vec![when("request.headers", &["b"], &[])], "names no header"),
        (HttpAction::Allow, false, vec![when("source.ip", &["300.0.0.1"], &[])], "is no address"),
        (HttpAction::Allow, false, vec![when("source.ip", &["10.0.0.0/33"], &[])], "is no address"),
        (HttpAction::Allow, false, vec![when("destination.port", &["0"], &[])], "is no port"),
        (HttpAction::Allow, false, vec![when("nonsense", &["0"], &[])], "unknown condition key `nonsense`"),
        (HttpAction::Allow, false, vec![when("source.ip", &[], &[])], "neither values nor notValues"),
        (HttpAction::Allow, false, vec![paths("/{**}/{*}")], "only literals may follow it"),
    ] {
        let error = HttpPolicy::read(PolicyKey::new("ns", "p"), action, dry_run, &rules, &trust()).unwrap_err();
        assert!(error.to_string().contains(words) && error.to_string().contains("ns/p"), "{error} / {words}");
    }
}

fn some_rule() -> impl Strategy<Value = RuleText> {
    prop_oneof![
        Just(RuleText::default()),
        Just(when("source.ip", &["10.0.0.1"], &[])),
        Just(when("source.ip", &[], &["10.0.0.1"])),
        Just(to(OperationText { methods: vec!["GET".to_owned()], ..OperationText::default() })),
        Just(to(OperationText { not_paths: vec!["/info*".to_owned()], ..OperationText::default() })),
        Just(from(SourceText { request_principals: vec!["*".to_owned()], ..SourceText::default() })),
    ]
}

fn some_policy() -> impl Strategy<Value = HttpPolicy> {
    let action = prop_oneof![Just(HttpAction::Audit), Just(HttpAction::Deny), Just(HttpAction::Allow)];
    (action, proptest::collection::vec(some_rule(), 1..3), any::<bool>()).prop_map(|(action, rules, dry_run)| {
        let dry_run = dry_run && action != HttpAction::Audit;
        HttpPolicy { dry_run, ..read("p", action, rules) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_is_what_the_rules_say_and_nothing_else(
        policies in proptest::collection::vec(some_policy(), 0..6),
        opaque in any::<bool>(),
    ) {
        let request = Request::default();
        let decision = if opaque { request.judge_opaque(&policies) } else { request.judge(&policies) };
        let enforced: Vec<HttpPolicy> =
            policies.iter().filter(|policy| !policy.dry_run && policy.action != HttpAction::Audit).cloned().collect();
        let alone = if opaque { request.judge_opaque(&enforced) } else { request.judge(&enforced) };
        prop_assert_eq!(&decision.verdict, &alone.verdict);

        let view = request.view();
        let address = request.connection.source.ip();
        let subject = if opaque { Subject::connection(&request.connection, address, None) }
            else { Subject::request(&request.connection, address, &view) };
        let hit = |action: HttpAction| enforced.iter().any(|policy| {
            policy.action == action && policy.matching_rule(&subject).is_some()
        });
        let allow_applies = enforced.iter().any(|policy| policy.action == HttpAction::Allow);
        let expected = !hit(HttpAction::Deny) && (!allow_applies || hit(HttpAction::Allow));
        prop_assert_eq!(decision.verdict.is_allowed(), expected);
    }
}
