use super::*;
use crate::policy::{Clause, IpBlock, Match, Rule, Scope, ServiceAccountMatch, StringMatch};

fn policy(name: &str, action: Action, rules: Vec<Rule>) -> Authorization {
    Authorization { key: PolicyKey::new("ns", name), scope: Scope::Namespace, action, rules, dry_run: false }
}

fn rule(choice: Match) -> Vec<Rule> {
    vec![Rule { clauses: vec![Clause { matches: vec![choice] }] }]
}

fn anything() -> Vec<Rule> {
    vec![Rule::default()]
}

fn port(port: u16) -> Match {
    Match { destination_ports: vec![port], ..Match::default() }
}

fn connection(identity: Option<&str>) -> Connection {
    Connection {
        identity: identity.map(|uri| uri.parse().unwrap()),
        source: "10.0.0.1:41000".parse().unwrap(),
        destination: "10.0.0.2:8080".parse().unwrap(),
    }
}

fn meshed() -> Connection {
    connection(Some("spiffe://td/ns/client/sa/reader"))
}

fn verdict(policies: &[Authorization], connection: &Connection) -> Verdict {
    authorize(policies.iter(), connection).verdict
}

fn matches(choice: Match, connection: &Connection) -> bool {
    policy("one", Action::Allow, rule(choice)).matches(connection)
}

#[test]
fn no_policy_allows() {
    assert_eq!(verdict(&[], &meshed()), Verdict::Allowed { by: None });
}

#[test]
fn deny_wins_over_allow_in_any_order() {
    let deny = policy("deny", Action::Deny, rule(port(8080)));
    let allow = policy("allow", Action::Allow, anything());
    let denied = Verdict::DeniedBy(deny.key.clone());
    assert_eq!(verdict(&[allow.clone(), deny.clone()], &meshed()), denied);
    assert_eq!(verdict(&[deny, allow], &meshed()), denied);
}

#[test]
fn deny_that_does_not_match_leaves_everything_allowed() {
    assert_eq!(verdict(&[policy("deny", Action::Deny, rule(port(1)))], &meshed()), Verdict::Allowed { by: None });
}

#[test]
fn one_allow_of_several_is_enough_and_is_named() {
    let policies = [policy("a", Action::Allow, rule(port(1))), policy("b", Action::Allow, rule(port(8080)))];
    assert_eq!(verdict(&policies, &meshed()), Verdict::Allowed { by: Some(PolicyKey::new("ns", "b")) });
}

#[test]
fn allow_that_does_not_match_refuses() {
    assert_eq!(verdict(&[policy("a", Action::Allow, rule(port(1)))], &meshed()), Verdict::NotAllowed);
}

#[test]
fn policy_without_rules_never_matches() {
    assert_eq!(verdict(&[policy("a", Action::Allow, vec![])], &meshed()), Verdict::NotAllowed);
    assert_eq!(verdict(&[policy("d", Action::Deny, vec![])], &meshed()), Verdict::Allowed { by: None });
}

#[test]
fn rule_without_clauses_matches_everything() {
    assert!(policy("a", Action::Allow, anything()).matches(&connection(None)));
}

#[test]
fn clause_without_matches_is_true() {
    assert!(policy("a", Action::Allow, vec![Rule { clauses: vec![Clause::default()] }]).matches(&meshed()));
}

#[test]
fn match_without_fields_never_matches() {
    assert!(!matches(Match::default(), &meshed()));
    // Beside another match it is skipped.
    let clause = Clause { matches: vec![Match::default(), port(8080)] };
    assert!(policy("a", Action::Allow, vec![Rule { clauses: vec![clause] }]).matches(&meshed()));
}

#[test]
fn rules_are_ored_clauses_anded_matches_ored() {
    let clause = |ports: &[u16]| Clause { matches: ports.iter().map(|number| port(*number)).collect() };
    let rules = |shape: &[&[&[u16]]]| {
        shape.iter().map(|rule| Rule { clauses: rule.iter().map(|ports| clause(ports)).collect() }).collect::<Vec<_>>()
    };
    let holds = |shape| policy("a", Action::Allow, rules(shape)).matches(&meshed());
    assert!(holds(&[&[&[1, 8080]]]), "any match of a clause");
    assert!(!holds(&[&[&[8080], &[1]]]), "all clauses of a rule");
    assert!(holds(&[&[&[1]], &[&[8080]]]), "any rule of a policy");
}

#[test]
fn kinds_of_field_are_anded_and_values_ored() {
    let both = |number| Match {
        destination_ports: vec![1, number],
        namespaces: vec![StringMatch::Exact("client".into())],
        ..Match::default()
    };
    assert!(matches(both(8080), &meshed()));
    assert!(!matches(both(2), &meshed()));
}

#[test]
fn field_and_its_negation_must_both_hold() {
    let choice = Match {
        namespaces: vec![StringMatch::Prefix("cl".into())],
        not_namespaces: vec![StringMatch::Suffix("ent".into())],
        ..Match::default()
    };
    assert!(!matches(choice.clone(), &meshed()));
    assert!(matches(choice, &connection(Some("spiffe://td/ns/cluster/sa/x"))));
}

#[test]
fn plaintext_has_no_principal_so_not_principals_hits_it() {
    let present = vec![StringMatch::Presence];
    let strict = Match { not_principals: present.clone(), ..Match::default() };
    assert!(matches(strict.clone(), &connection(None)));
    assert!(!matches(strict, &meshed()));
    assert!(!matches(Match { principals: present, ..Match::default() }, &connection(None)));
    let account = ServiceAccountMatch { namespace: "".into(), service_account: "".into() };
    assert!(!matches(Match { service_accounts: vec![account.clone()], ..Match::default() }, &connection(None)));
    assert!(matches(Match { not_service_accounts: vec![account], ..Match::default() }, &connection(None)));
}

#[test]
fn plaintext_has_the_empty_namespace() {
    let namespace = |wanted| Match { namespaces: vec![wanted], ..Match::default() };
    assert!(matches(namespace(StringMatch::Prefix("".into())), &connection(None)));
    assert!(matches(namespace(StringMatch::Suffix("".into())), &connection(None)));
    assert!(matches(namespace(StringMatch::Exact("".into())), &connection(None)));
    assert!(!matches(namespace(StringMatch::Presence), &connection(None)));
    assert!(!matches(
        Match { principals: vec![StringMatch::Prefix("".into())], ..Match::default() },
        &connection(None)
    ));
}

#[test]
fn principal_is_matched_without_its_scheme() {
    let principal = |wanted| matches(Match { principals: vec![wanted], ..Match::default() }, &meshed());
    assert!(principal(StringMatch::Exact("td/ns/client/sa/reader".into())));
    assert!(!principal(StringMatch::Exact("spiffe://td/ns/client/sa/reader".into())));
    assert!(!principal(StringMatch::Exact("td/ns/client/sa/reade".into())));
    assert!(principal(StringMatch::Prefix("td/ns/cli".into())));
    assert!(!principal(StringMatch::Prefix("td/ns/other".into())));
    assert!(principal(StringMatch::Suffix("/sa/reader".into())));
    assert!(!principal(StringMatch::Suffix("xtd/ns/client/sa/reader".into())));
    assert!(principal(StringMatch::Presence));
}

#[test]
fn service_account_ignores_the_trust_domain() {
    let account = ServiceAccountMatch { namespace: "client".into(), service_account: "reader".into() };
    let choice = Match { service_accounts: vec![account], ..Match::default() };
    assert!(matches(choice.clone(), &meshed()));
    assert!(matches(choice.clone(), &connection(Some("spiffe://other/ns/client/sa/reader"))));
    assert!(!matches(choice, &connection(Some("spiffe://td/ns/client/sa/writer"))));
}

#[test]
fn blocks_match_by_prefix_and_family() {
    let block = |address: &str, prefix_length| IpBlock { address: address.parse().unwrap(), prefix_length };
    let contains = |block: IpBlock, address: &str| block.contains(address.parse().unwrap());
    assert!(contains(block("10.0.0.77", 24), "10.0.0.1"));
    assert!(!contains(block("10.0.0.77", 25), "10.0.0.200"));
    assert!(contains(block("0.0.0.0", 0), "255.1.2.3"));
    assert!(!contains(block("0.0.0.0", 0), "::1"));
    assert!(contains(block("::", 0), "::1"));
    assert!(contains(block("2001:db8::", 32), "2001:db8:ffff::1"));
    assert!(contains(block("10.0.0.1", 32), "10.0.0.1"));
    assert!(!contains(block("10.0.0.1", 32), "10.0.0.0"));
    assert!(!block("10.0.0.1", 33).is_valid());
    assert!(block("::1", 128).is_valid());
}

#[test]
fn addresses_mean_the_peer_and_the_address_dialled() {
    let block = |text: &str| vec![IpBlock { address: text.parse().unwrap(), prefix_length: 32 }];
    assert!(matches(Match { source_ips: block("10.0.0.1"), ..Match::default() }, &meshed()));
    assert!(!matches(Match { source_ips: block("10.0.0.2"), ..Match::default() }, &meshed()));
    assert!(matches(Match { destination_ips: block("10.0.0.2"), ..Match::default() }, &meshed()));
    assert!(!matches(Match { not_destination_ips: block("10.0.0.2"), ..Match::default() }, &meshed()));
}

#[test]
fn dry_run_is_reported_and_never_enforced() {
    let dry = |mut policy: Authorization| {
        policy.dry_run = true;
        policy
    };
    let deny = dry(policy("deny", Action::Deny, anything()));
    let decision = authorize([&deny].into_iter(), &meshed());
    assert_eq!(decision, Decision { verdict: Verdict::Allowed { by: None }, dry_run: vec![deny.key.clone()] });

    let strict = dry(policy("narrow", Action::Allow, rule(port(1))));
    let decision = authorize([&strict].into_iter(), &meshed());
    assert_eq!(decision, Decision { verdict: Verdict::Allowed { by: None }, dry_run: vec![strict.key.clone()] });

    let refusing = policy("allow", Action::Allow, vec![]);
    let wide = dry(policy("wide", Action::Allow, anything()));
    let decision = authorize([&refusing, &wide, &deny].into_iter(), &meshed());
    assert_eq!(decision, Decision { verdict: Verdict::NotAllowed, dry_run: vec![wide.key] });
}

#[test]
fn unknown_policy_refuses_unless_a_known_one_denies() {
    let unknown = PolicyKey::new("ns", "later");
    let allow = policy("allow", Action::Allow, anything());
    let decision = authorize_known([&allow].into_iter(), Some(&unknown), &meshed());
    assert_eq!(decision.verdict, Verdict::PolicyUnknown(unknown.clone()));
    let deny = policy("deny", Action::Deny, anything());
    let decision = authorize_known([&allow, &deny].into_iter(), Some(&unknown), &meshed());
    assert_eq!(decision.verdict, Verdict::DeniedBy(deny.key));
}
