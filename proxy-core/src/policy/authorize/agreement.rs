//! Random policies and connections: [`authorize`] against an evaluator written independently of it.

use proptest::prelude::*;

use super::*;
use crate::policy::{Clause, IpBlock, Match, Rule, Scope, ServiceAccountMatch, StringMatch};

/// The same semantics said another way: strings are built, sets are counted, nothing is shared with the product.
mod naive {
    use super::*;

    fn text(pattern: &StringMatch, value: &str) -> bool {
        match pattern {
            StringMatch::Exact(wanted) => value == &**wanted,
            StringMatch::Prefix(wanted) => value.get(..wanted.len()) == Some(&**wanted),
            StringMatch::Suffix(wanted) => {
                value.len().checked_sub(wanted.len()).and_then(|start| value.get(start..)) == Some(&**wanted)
            }
            StringMatch::Presence => !value.is_empty(),
        }
    }

    fn bits(address: std::net::IpAddr) -> String {
        match address {
            std::net::IpAddr::V4(v4) => format!("4{:032b}", v4.to_bits()),
            std::net::IpAddr::V6(v6) => format!("6{:0128b}", v6.to_bits()),
        }
    }

    fn inside(block: &IpBlock, address: std::net::IpAddr) -> bool {
        bits(address).starts_with(&bits(block.address)[..1 + usize::from(block.prefix_length)])
    }

    fn choice(choice: &Match, connection: &Connection) -> bool {
        let principal = connection.identity.as_ref().map(|identity| identity.to_string().replace("spiffe://", ""));
        let pair =
            connection.identity.as_ref().map(|peer| (peer.namespace.to_string(), peer.service_account.to_string()));
        let namespace = pair.clone().map(|pair| pair.0).unwrap_or_default();
        let named = |list: &[StringMatch]| list.iter().filter(|one| text(one, &namespace)).count();
        let principals = |list: &[StringMatch]| {
            list.iter().filter(|one| principal.as_ref().is_some_and(|who| text(one, who))).count()
        };
        let accounts = |list: &[ServiceAccountMatch]| {
            list.iter().filter(|one| Some((one.namespace.to_string(), one.service_account.to_string())) == pair).count()
        };
        let from = |list: &[IpBlock]| list.iter().filter(|one| inside(one, connection.source.ip())).count();
        let to = |list: &[IpBlock]| list.iter().filter(|one| inside(one, connection.destination.ip())).count();
        let ports = |list: &[u16]| list.iter().filter(|one| **one == connection.destination.port()).count();
        // (named, hits, negated hits) of each kind.
        let kinds = [
            (
                choice.namespaces.len(),
                named(&choice.namespaces),
                choice.not_namespaces.len(),
                named(&choice.not_namespaces),
            ),
            (
                choice.principals.len(),
                principals(&choice.principals),
                choice.not_principals.len(),
                principals(&choice.not_principals),
            ),
            (
                choice.service_accounts.len(),
                accounts(&choice.service_accounts),
                choice.not_service_accounts.len(),
                accounts(&choice.not_service_accounts),
            ),
            (
                choice.source_ips.len(),
                from(&choice.source_ips),
                choice.not_source_ips.len(),
                from(&choice.not_source_ips),
            ),
            (
                choice.destination_ips.len(),
                to(&choice.destination_ips),
                choice.not_destination_ips.len(),
                to(&choice.not_destination_ips),
            ),
            (
                choice.destination_ports.len(),
                ports(&choice.destination_ports),
                choice.not_destination_ports.len(),
                ports(&choice.not_destination_ports),
            ),
        ];
        let fields: usize = kinds.iter().map(|kind| kind.0 + kind.2).sum();
        let failed = kinds.iter().filter(|kind| (kind.0 > 0 && kind.1 == 0) || kind.3 > 0).count();
        fields > 0 && failed == 0
    }

    fn hit(policy: &Authorization, connection: &Connection) -> bool {
        let mut any_rule = false;
        for rule in &policy.rules {
            let mut all_clauses = true;
            for clause in &rule.clauses {
                let hits = clause.matches.iter().filter(|one| choice(one, connection)).count();
                all_clauses &= clause.matches.is_empty() || hits > 0;
            }
            any_rule |= all_clauses;
        }
        any_rule
    }

    pub(super) fn admits(policies: &[Authorization], connection: &Connection) -> bool {
        let enforced = |action| policies.iter().filter(move |policy| !policy.dry_run && policy.action == action);
        let denied = enforced(Action::Deny).any(|policy| hit(policy, connection));
        let allows: Vec<bool> = enforced(Action::Allow).map(|policy| hit(policy, connection)).collect();
        !denied && (allows.is_empty() || allows.contains(&true))
    }
}

fn word() -> impl Strategy<Value = std::sync::Arc<str>> {
    prop_oneof![Just(""), Just("a"), Just("ab"), Just("b")].prop_map(Into::into)
}

fn string_match() -> impl Strategy<Value = StringMatch> {
    let principal = (word(), word(), word()).prop_map(|(td, ns, sa)| format!("{td}/ns/{ns}/sa/{sa}").into());
    let text = prop_oneof![word(), principal, Just("/sa/a".into()), Just("a/ns/".into())];
    (text, 0..4u8).prop_map(|(text, kind)| match kind {
        0 => StringMatch::Exact(text),
        1 => StringMatch::Prefix(text),
        2 => StringMatch::Suffix(text),
        _ => StringMatch::Presence,
    })
}

fn address() -> impl Strategy<Value = std::net::IpAddr> {
    prop_oneof![Just("10.0.0.1"), Just("10.0.0.2"), Just("192.168.0.1"), Just("fd00::1"), Just("fd00::2")]
        .prop_map(|text| text.parse().unwrap())
}

fn block() -> impl Strategy<Value = IpBlock> {
    (address(), prop_oneof![Just(0u8), Just(8), Just(30), Just(31), Just(32)])
        .prop_map(|(address, prefix_length)| IpBlock { address, prefix_length })
}

fn few<T: std::fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    // Mostly absent, else random policies hardly ever match.
    prop_oneof![4 => Just(0usize), 2 => Just(1), 1 => Just(2)].prop_flat_map({
        let one = std::rc::Rc::new(one);
        move |count| proptest::collection::vec(one.clone(), count)
    })
}

fn any_match() -> impl Strategy<Value = Match> {
    let account =
        || (word(), word()).prop_map(|(namespace, service_account)| ServiceAccountMatch { namespace, service_account });
    let number = || prop_oneof![Just(80u16), Just(8080)];
    (
        (few(string_match()), few(string_match()), few(string_match()), few(string_match())),
        (few(account()), few(account()), few(block()), few(block())),
        (few(block()), few(block()), few(number()), few(number())),
    )
        .prop_map(|(strings, middle, last)| Match {
            namespaces: strings.0,
            not_namespaces: strings.1,
            principals: strings.2,
            not_principals: strings.3,
            service_accounts: middle.0,
            not_service_accounts: middle.1,
            source_ips: middle.2,
            not_source_ips: middle.3,
            destination_ips: last.0,
            not_destination_ips: last.1,
            destination_ports: last.2,
            not_destination_ports: last.3,
        })
}

fn any_policies() -> impl Strategy<Value = Vec<Authorization>> {
    let clause = proptest::collection::vec(any_match(), 0..3).prop_map(|matches| Clause { matches });
    let rule = proptest::collection::vec(clause, 0..3).prop_map(|clauses| Rule { clauses });
    let one = (proptest::collection::vec(rule, 0..3), any::<bool>(), proptest::bool::weighted(0.3));
    proptest::collection::vec(one, 0..5).prop_map(|list| {
        let policy = |(index, (rules, deny, dry_run)): (usize, _)| Authorization {
            key: PolicyKey::new("ns", &format!("p{index}")),
            scope: Scope::Namespace,
            action: if deny { Action::Deny } else { Action::Allow },
            rules,
            dry_run,
        };
        list.into_iter().enumerate().map(policy).collect()
    })
}

fn any_connection() -> impl Strategy<Value = Connection> {
    let identity = (word(), word(), word()).prop_map(|(td, ns, sa)| Identity::new(&td, &ns, &sa));
    let number = prop_oneof![Just(80u16), Just(8080), Just(9090)];
    (proptest::option::of(identity), address(), address(), number).prop_map(|(identity, from, to, port)| Connection {
        identity,
        source: SocketAddr::new(from, 41000),
        destination: SocketAddr::new(to, port),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn authorize_agrees_with_a_naive_evaluator(policies in any_policies(), connection in any_connection()) {
        let decision = authorize(policies.iter(), &connection);
        prop_assert_eq!(decision.verdict.is_allowed(), naive::admits(&policies, &connection));
        // Each dry-run policy is reported exactly if enforcing it alone would turn the answer.
        for index in 0..policies.len() {
            if policies[index].dry_run {
                let mut enforced = policies.clone();
                enforced[index].dry_run = false;
                let turned = naive::admits(&enforced, &connection) != naive::admits(&policies, &connection);
                prop_assert_eq!(decision.dry_run.contains(&policies[index].key), turned);
            }
        }
    }
}
