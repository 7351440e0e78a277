use serde_json::{Value, json};

use super::*;
use crate::cluster::istio::AuthorizationPolicySpec;
use crate::cluster::{Cluster, ObjectName};

fn policy(namespace: &str, spec: Value) -> AuthorizationPolicy {
    let cluster = Cluster::new(ClusterConfig::default());
    let mut meta = cluster.namespace("default").expect("always there").meta.clone();
    meta.key = ObjectName::new(namespace, "policy");
    AuthorizationPolicy { meta, spec: serde_json::from_value::<AuthorizationPolicySpec>(spec).expect("a spec") }
}

fn converted(spec: Value) -> Authorization {
    convert(&policy("foo", spec), "istio-system").authorization.expect("is sent")
}

fn remark(spec: Value) -> Option<String> {
    convert(&policy("foo", spec), "istio-system").remark
}

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

fn prefix(text: &str) -> StringMatch {
    StringMatch::Prefix(text.into())
}

fn rules(spec: Value) -> Vec<Vec<Vec<Match>>> {
    let clauses = |rule: Rule| rule.clauses.into_iter().map(|clause| clause.matches).collect();
    converted(spec).rules.into_iter().map(clauses).collect()
}

#[test]
fn scope_follows_selector_and_root_namespace() {
    let selector = json!({"selector": {"matchLabels": {"app": "a"}}});
    let scope = |namespace, spec| convert(&policy(namespace, spec), "istio-system").authorization.unwrap().scope;
    assert_eq!(scope("foo", json!({})), Scope::Namespace);
    assert_eq!(scope("istio-system", json!({})), Scope::Global);
    assert_eq!(scope("foo", selector.clone()), Scope::WorkloadSelector);
    assert_eq!(scope("istio-system", selector), Scope::WorkloadSelector);
}

#[test]
fn custom_audit_dry_run_and_targeted_policies_are_not_sent() {
    let custom = policy("foo", json!({"action": "CUSTOM", "provider": {"name": "p"}, "rules": [{}]}));
    assert_eq!(convert(&custom, "istio-system").authorization, None);
    assert!(convert(&custom, "istio-system").notice(&custom).is_some());
    let audit = policy("foo", json!({"action": "AUDIT", "rules": [{}]}));
    assert_eq!(convert(&audit, "istio-system").authorization, None);
    let mut dry_run = policy("foo", json!({"action": "DENY", "rules": [{}]}));
    dry_run.meta.annotations.insert("istio.io/dry-run".into(), "true".into());
    assert_eq!(convert(&dry_run, "istio-system").authorization, None);
    let targeted = policy("foo", json!({"targetRefs": [{"kind": "Service", "name": "a"}], "rules": [{}]}));
    assert_eq!(convert(&targeted, "istio-system"), Conversion { authorization: None, remark: None });
}

#[test]
fn rules_clauses_and_matches_keep_their_nesting() {
    let spec = json!({"rules": [{
        "from": [
            {"source": {"principals": ["td/ns/a/sa/b"], "namespaces": ["a*"]}},
            {"source": {"ipBlocks": ["10.0.0.0/8"], "notIpBlocks": ["10.1.2.3"]}},
        ],
        "to": [{"operation": {"ports": ["80", "443"]}}, {"operation": {"notPorts": ["22"]}}],
        "when": [
            {"key": "source.ip", "values": ["fd00::/8"]},
            {"key": "destination.port", "values": ["80"], "notValues": ["81"]},
        ],
    }]});
    let block = |text: &str, prefix_length| IpBlock { address: text.parse().unwrap(), prefix_length };
    let to = vec![
        Match { destination_ports: vec![80, 443], ..Match::default() },
        Match { not_destination_ports: vec![22], ..Match::default() },
    ];
    let from = vec![
        Match { principals: vec![exact("td/ns/a/sa/b")], namespaces: vec![prefix("a")], ..Match::default() },
        Match {
            source_ips: vec![block("10.0.0.0", 8)],
            not_source_ips: vec![block("10.1.2.3", 32)],
            ..Match::default()
        },
    ];
    let ip = vec![Match { source_ips: vec![block("fd00::", 8)], ..Match::default() }];
    let port = vec![Match { destination_ports: vec![80], not_destination_ports: vec![81], ..Match::default() }];
    assert_eq!(rules(spec), [vec![to, from, ip, port]]);
}

#[test]
fn strings_are_presence_suffix_prefix_or_exact() {
    let cases = [
        ("*", StringMatch::Presence),
        ("*x", StringMatch::Suffix("x".into())),
        ("x*", prefix("x")),
        ("x", exact("x")),
        ("*x*", StringMatch::Suffix("x*".into())),
        ("spiffe://td/ns/a/sa/b", exact("spiffe://td/ns/a/sa/b")),
    ];
    for (text, expected) in cases {
        assert_eq!(string(text), Some(expected), "{text}");
    }
}

#[test]
fn bare_service_accounts_are_of_the_policys_namespace() {
    let spec = json!({"rules": [{"from": [{"source": {"serviceAccounts": ["a", "bar/b"]}}]}]});
    let account =
        |namespace: &str, name: &str| ServiceAccountMatch { namespace: namespace.into(), service_account: name.into() };
    let expected = Match { service_accounts: vec![account("foo", "a"), account("bar", "b")], ..Match::default() };
    assert_eq!(rules(spec), [vec![vec![expected]]]);
}

#[test]
fn no_rules_match_nothing_and_an_empty_rule_matches_everything() {
    assert_eq!(rules(json!({})), Vec::<Vec<Vec<Match>>>::new());
    assert_eq!(rules(json!({"rules": [{}]})), [Vec::<Vec<Match>>::new()]);
}

#[test]
fn an_allow_rule_with_http_attributes_is_dropped_and_never_widens() {
    let layer7 = [
        json!({"to": [{"operation": {"methods": ["GET"]}}]}),
        json!({"to": [{"operation": {"notPaths": ["/x"], "ports": ["80"]}}]}),
        json!({"to": [{"operation": {"hosts": ["a"]}}], "from": [{"source": {"namespaces": ["foo"]}}]}),
        json!({"from": [{"source": {"requestPrincipals": ["*"]}}]}),
        json!({"from": [{"source": {"remoteIpBlocks": ["10.0.0.0/8"]}}]}),
        json!({"when": [{"key": "request.headers[x]", "values": ["y"]}]}),
        json!({"when": [{"key": "source.serviceAccount", "values": ["foo/a"]}]}),
        json!({"when": [{"key": "connection.sni", "values": ["a"]}]}),
        json!({"when": [{"key": "remote.ip", "values": ["10.0.0.1"]}]}),
    ];
    for rule in layer7 {
        let allow = converted(json!({"rules": [rule]}));
        assert_eq!((allow.action, allow.rules), (Action::Allow, Vec::new()), "allows nothing");
    }
    let mixed = json!({"rules": [
        {"to": [{"operation": {"methods": ["GET"]}}]},
        {"to": [{"operation": {"ports": ["80"]}}]},
    ]});
    assert_eq!(rules(mixed.clone()), [vec![vec![Match { destination_ports: vec![80], ..Match::default() }]]]);
    assert!(remark(mixed).unwrap().contains("without 1 of its rules"));
}

#[test]
fn a_deny_loses_its_http_attributes_and_keeps_the_rest() {
    // Denies all of port 80 from foo.
    let wide = json!({"action": "DENY", "rules": [{
        "to": [{"operation": {"methods": ["GET"], "ports": ["80"]}}],
        "from": [{"source": {"namespaces": ["foo"]}}],
    }]});
    let port = vec![Match { destination_ports: vec![80], ..Match::default() }];
    let from = vec![Match { namespaces: vec![exact("foo")], ..Match::default() }];
    assert_eq!(rules(wide.clone()), [vec![port, from.clone()]]);
    assert!(remark(wide).unwrap().contains("deny more"));
    // Never fires: its only `to` is an empty match, which never matches.
    let inert = json!({"action": "DENY", "rules": [{
        "to": [{"operation": {"methods": ["GET"]}}],
        "from": [{"source": {"namespaces": ["foo"]}}],
    }]});
    assert_eq!(rules(inert.clone()), [vec![vec![Match::default()], from]]);
    assert!(remark(inert).unwrap().contains("denies nothing"));
    let when = json!({"action": "DENY", "rules": [{"when": [{"key": "request.headers[x]", "values": ["y"]}]}]});
    assert_eq!(rules(when), [vec![vec![Match::default()]]]);
}

#[test]
fn trust_domains_are_enforced_as_the_beginning_of_principals() {
    let source = |source: Value| {
        let spec = json!({"rules": [{"from": [{"source": source}]}]});
        rules(spec).remove(0).remove(0).remove(0)
    };
    let principals = |principals: Vec<StringMatch>| Match { principals, ..Match::default() };
    assert_eq!(source(json!({"trustDomains": ["td", "old*"]})), principals(vec![prefix("td/"), prefix("old")]));
    assert_eq!(source(json!({"trustDomains": ["*"]})), principals(vec![StringMatch::Presence]));
    assert_eq!(
        source(json!({"notTrustDomains": ["td"], "notPrincipals": ["x"]})),
        Match { not_principals: vec![exact("x"), prefix("td/")], ..Match::default() }
    );
    // Both must hold.
    assert_eq!(
        source(json!({"trustDomains": ["td"], "principals": ["td/ns/a/sa/b", "other/ns/a/sa/b", "td*", "*"]})),
        principals(vec![exact("td/ns/a/sa/b"), prefix("td/"), prefix("td/")])
    );
    assert_eq!(
        source(json!({"trustDomains": ["td"], "namespaces": ["a"]})),
        Match { namespaces: vec![exact("a")], ..principals(vec![prefix("td/")]) }
    );
    // Nothing can: never matches, rather than matching on less.
    assert_eq!(source(json!({"trustDomains": ["td"], "principals": ["x/ns/a/sa/b"]})), Match::default());
}

#[test]
fn what_a_match_cannot_say_narrows_an_allow_and_widens_a_deny() {
    let source = |action: &str, source: Value| {
        let spec = json!({"action": action, "rules": [{"from": [{"source": source}]}]});
        rules(spec).remove(0).remove(0).remove(0)
    };
    let suffix = json!({"trustDomains": ["*.example"], "namespaces": ["a"]});
    let namespace = Match { namespaces: vec![exact("a")], ..Match::default() };
    assert_eq!(source("ALLOW", suffix.clone()), Match::default());
    assert_eq!(source("DENY", suffix), Match { principals: vec![StringMatch::Presence], ..namespace.clone() });
    let not = json!({"notTrustDomains": ["*.example"], "namespaces": ["a"]});
    assert_eq!(source("ALLOW", not.clone()), Match::default());
    assert_eq!(source("DENY", not), namespace);
    assert_eq!(source("DENY", json!({"notTrustDomains": ["*.example"]})), everyone());
    assert_eq!(source("ALLOW", json!({"ipBlocks": ["nonsense"], "namespaces": ["a"]})), Match::default());
    assert_eq!(source("DENY", json!({"ipBlocks": ["nonsense"]})), everyone());
}

#[test]
fn a_principals_end_and_its_trust_domain_are_two_clauses() {
    let principals = |principals: Vec<StringMatch>| Match { principals, ..Match::default() };
    let suffix = principals(vec![StringMatch::Suffix("/sa/b".into())]);
    for action in ["ALLOW", "DENY"] {
        let from = json!([
            {"source": {"trustDomains": ["td"], "principals": ["*/sa/b"]}},
            {"source": {"namespaces": ["a"]}},
            {"source": {"trustDomains": ["*"], "principals": ["*/sa/b"]}},
        ]);
        let to = json!([{"operation": {"ports": ["80"]}}]);
        let port = vec![Match { destination_ports: vec![80], ..Match::default() }];
        let found = rules(json!({"action": action, "rules": [{"from": from, "to": to}]}));
        let namespace = Match { namespaces: vec![exact("a")], ..Match::default() };
        let domain = |pattern| vec![principals(vec![pattern])];
        assert_eq!(
            found,
            vec![
                vec![port.clone(), vec![namespace]],
                vec![port.clone(), vec![suffix.clone()], domain(prefix("td/"))],
                vec![port, vec![suffix.clone()], domain(StringMatch::Presence)],
            ]
        );
    }
    // No pattern says this trust domain.
    let from = json!([{"source": {"trustDomains": ["*.example"], "principals": ["*/sa/b"]}}]);
    let found = |action| rules(json!({"action": action, "rules": [{"from": from}]})).remove(0);
    assert_eq!(found("ALLOW")[0], [Match::default()]);
    assert_eq!(found("DENY"), [[suffix], [principals(vec![StringMatch::Presence])]]);
}

#[test]
fn root_namespace_selectors_cross_namespaces_and_others_do_not() {
    let config = ClusterConfig::default();
    let selector = json!({"selector": {"matchLabels": {"app": "a"}}});
    let (root, foo) = (policy("istio-system", selector.clone()), policy("foo", selector));
    let mut selectors = SelectorPolicies::new(&config);
    for policy in [&root, &foo] {
        selectors.add(policy, &convert(policy, "istio-system").authorization.unwrap());
    }
    let labels = Labels::from([("app".into(), "a".into()), ("more".into(), "b".into())]);
    let keys = |namespace, labels| {
        let keys = selectors.matching(namespace, labels);
        keys.iter().map(PolicyKey::to_string).collect::<Vec<_>>()
    };
    assert_eq!(keys("foo", &labels), ["foo/policy", "istio-system/policy"]);
    assert_eq!(keys("bar", &labels), ["istio-system/policy"]);
    assert_eq!(keys("istio-system", &labels), ["istio-system/policy"]);
    assert!(keys("foo", &Labels::new()).is_empty());
}
