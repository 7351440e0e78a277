//! Random policies out of few values.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::policy::{
    Action, Authorization, Clause, IpBlock, Match, PolicyKey, Rule, Scope, ServiceAccountMatch, StringMatch,
};

fn word() -> impl Strategy<Value = Arc<str>> {
    prop::sample::select(&["", "a", "ab", "cluster.local/ns/a/sa/b"][..]).prop_map(Into::into)
}

fn strings() -> impl Strategy<Value = Vec<StringMatch>> {
    let one = (word(), 0..4u8).prop_map(|(text, kind)| match kind {
        0 => StringMatch::Exact(text),
        1 => StringMatch::Prefix(text),
        2 => StringMatch::Suffix(text),
        _ => StringMatch::Presence,
    });
    vec(one, 0..3)
}

fn blocks() -> impl Strategy<Value = Vec<IpBlock>> {
    let one = prop_oneof![(Just("10.1.2.3"), 0..=32u8), (Just("fd00::1"), 0..=128u8)];
    vec(one.prop_map(|(text, prefix_length)| IpBlock { address: text.parse().unwrap(), prefix_length }), 0..3)
}

fn accounts() -> impl Strategy<Value = Vec<ServiceAccountMatch>> {
    let one = (word(), word());
    vec(one.prop_map(|(namespace, service_account)| ServiceAccountMatch { namespace, service_account }), 0..2)
}

fn one_match() -> impl Strategy<Value = Match> {
    let ports = || vec(any::<u16>(), 0..2);
    let first = (strings(), strings(), strings(), strings(), accounts(), accounts());
    (first, (blocks(), blocks(), blocks(), blocks(), ports(), ports())).prop_map(|(first, second)| Match {
        namespaces: first.0,
        not_namespaces: first.1,
        principals: first.2,
        not_principals: first.3,
        service_accounts: first.4,
        not_service_accounts: first.5,
        source_ips: second.0,
        not_source_ips: second.1,
        destination_ips: second.2,
        not_destination_ips: second.3,
        destination_ports: second.4,
        not_destination_ports: second.5,
    })
}

pub(crate) fn policy() -> impl Strategy<Value = Authorization> {
    let clause = vec(one_match(), 0..3).prop_map(|matches| Clause { matches });
    let rule = vec(clause, 0..3).prop_map(|clauses| Rule { clauses });
    let scope = prop::sample::select(&[Scope::Global, Scope::Namespace, Scope::WorkloadSelector][..]);
    (0..9u8, scope, any::<bool>(), vec(rule, 0..3), any::<bool>()).prop_map(|(id, scope, deny, rules, dry_run)| {
        let action = if deny { Action::Deny } else { Action::Allow };
        Authorization { key: PolicyKey::new("ns", &format!("p{id}")), scope, action, rules, dry_run }
    })
}
