use std::sync::Arc;

use crate::policy::{Action, Authorization, Connection, IpBlock, PolicyKey, Scope, Verdict};
use crate::state::fixture::*;
use crate::state::{ResourceName, Snapshot, Update, Workload};

fn attached(names: &[&str]) -> Workload {
    let authorization_policies = names.iter().map(|name| PolicyKey::new("ns", name)).collect();
    Workload { authorization_policies, ..pod("server", "10.0.0.2") }
}

fn selector(name: &str, action: Action, ports: &[u16]) -> Authorization {
    policy(name, Scope::WorkloadSelector, action, ports)
}

fn verdict(snapshot: &Snapshot, port: u16) -> Verdict {
    let server = snapshot.workload("Kubernetes//Pod/ns/server").unwrap();
    let destination = format!("10.0.0.2:{port}");
    let connection = Connection { identity: None, source: at("10.0.0.1:1"), destination: at(&destination) };
    snapshot.authorize(server, &connection).verdict
}

fn allowed_by(name: &str) -> Verdict {
    Verdict::Allowed { by: Some(PolicyKey::new("ns", name)) }
}

fn apply(base: &Arc<Snapshot>, update: &Update) -> Arc<Snapshot> {
    Snapshot::apply(base, update).0
}

fn fresh(workload: Workload, policies: impl IntoIterator<Item = Authorization>) -> Arc<Snapshot> {
    apply(&Snapshot::empty(), &upsert([workload], [], policies))
}

fn without(name: &str) -> Update {
    Update { removed: vec![ResourceName::Authorization(PolicyKey::new("ns", name))], upserted: vec![] }
}

#[test]
fn applicable_are_global_namespace_and_named_policies() {
    let elsewhere = |name: &str, scope| {
        let mut policy = policy(name, scope, Action::Deny, &[80]);
        policy.key.namespace = "other".into();
        policy
    };
    let denied = |workload: Workload, policy: Authorization| !verdict(&fresh(workload, [policy]), 80).is_allowed();
    assert!(denied(attached(&[]), elsewhere("p", Scope::Global)));
    assert!(!denied(attached(&[]), elsewhere("p", Scope::Namespace)));
    assert!(denied(attached(&[]), policy("p", Scope::Namespace, Action::Deny, &[80])));
    assert!(!denied(attached(&[]), selector("p", Action::Deny, &[80])));
    assert!(denied(attached(&["p"]), selector("p", Action::Deny, &[80])));
    let mut named = attached(&[]);
    named.authorization_policies = vec![PolicyKey::new("other", "p")];
    assert!(denied(named, elsewhere("p", Scope::Namespace)));
}

#[test]
fn policy_that_denies_is_named_in_a_stable_order() {
    let deny = |name: &str, scope| policy(name, scope, Action::Deny, &[]);
    let policies = [
        deny("d", Scope::WorkloadSelector),
        deny("c", Scope::Namespace),
        deny("b", Scope::Namespace),
        deny("z", Scope::Global),
    ];
    let mut reversed = policies.clone();
    reversed.reverse();
    for policies in [policies, reversed] {
        assert_eq!(
            verdict(&fresh(attached(&["d"]), policies.clone()), 80),
            Verdict::DeniedBy(PolicyKey::new("ns", "z"))
        );
        let without_global = policies.into_iter().filter(|policy| policy.scope != Scope::Global);
        assert_eq!(verdict(&fresh(attached(&["d"]), without_global), 80), Verdict::DeniedBy(PolicyKey::new("ns", "b")));
    }
}

#[test]
fn policy_both_named_and_in_scope_is_one_policy() {
    let mut dry = policy("p", Scope::Namespace, Action::Deny, &[]);
    dry.dry_run = true;
    let snapshot = fresh(attached(&["p"]), [dry]);
    let server = snapshot.workload("Kubernetes//Pod/ns/server").unwrap();
    let connection = Connection { identity: None, source: at("10.0.0.1:1"), destination: at("10.0.0.2:80") };
    assert_eq!(snapshot.authorize(server, &connection).dry_run.len(), 1);
}

#[test]
fn new_workload_that_names_an_unknown_policy_is_refused_until_it_comes() {
    let early = fresh(attached(&["later"]), []);
    assert_eq!(verdict(&early, 80), Verdict::PolicyUnknown(PolicyKey::new("ns", "later")));
    let then = apply(&early, &upsert([], [], [selector("later", Action::Deny, &[81])]));
    assert!(verdict(&then, 80).is_allowed());
    assert!(!verdict(&then, 81).is_allowed());
}

#[test]
fn replacing_one_policy_by_its_equal_never_changes_the_answer_in_any_order() {
    let before = fresh(attached(&["a"]), [selector("a", Action::Allow, &[80])]);
    let add = upsert([], [], [selector("b", Action::Allow, &[80])]);
    let name = upsert([attached(&["b"])], [], []);
    let drop = without("a");
    let steps = [&add, &name, &drop];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut state = before.clone();
        for step in order {
            state = apply(&state, steps[step]);
            assert!(verdict(&state, 80).is_allowed(), "{order:?} at {step}");
            assert_eq!(verdict(&state, 81), Verdict::NotAllowed, "{order:?} at {step}");
        }
        assert_eq!(verdict(&state, 80), allowed_by("b"));
        assert_eq!(*state, *fresh(attached(&["b"]), [selector("b", Action::Allow, &[80])]), "nothing is kept for good");
    }
}

#[test]
fn removed_policy_stays_in_force_until_the_workloads_record_follows() {
    let before = fresh(attached(&["a"]), [selector("a", Action::Deny, &[80])]);
    let between = apply(&before, &without("a"));
    assert_eq!(verdict(&between, 80), Verdict::DeniedBy(PolicyKey::new("ns", "a")));
    assert!(verdict(&between, 81).is_allowed());
    let after = apply(&between, &upsert([attached(&[])], [], []));
    assert_eq!(*after, *fresh(attached(&[]), []));
}

#[test]
fn workload_keeps_its_attachments_until_all_new_ones_are_known() {
    let before = fresh(attached(&["a"]), [selector("a", Action::Deny, &[80])]);
    let between = apply(&before, &upsert([attached(&["a", "b", "c"])], [], []));
    assert!(verdict(&between, 81).is_allowed());
    let between = apply(&between, &upsert([], [], [selector("b", Action::Deny, &[81])]));
    assert!(verdict(&between, 81).is_allowed(), "all or none");
    assert!(!verdict(&between, 80).is_allowed());
    let (after, applied) = Snapshot::apply(&between, &upsert([], [], [selector("c", Action::Deny, &[82])]));
    assert!(applied.policies_changed);
    assert!([80, 81, 82].iter().all(|port| !verdict(&after, *port).is_allowed()));
}

#[test]
fn rejected_policy_refuses_whoever_names_it() {
    let mut bad = selector("bad", Action::Deny, &[81]);
    bad.rules[0].clauses[0].matches[0].source_ips = vec![IpBlock { address: at("10.0.0.1:1").ip(), prefix_length: 99 }];
    let unknown = Verdict::PolicyUnknown(PolicyKey::new("ns", "bad"));
    let named_first = apply(&fresh(attached(&[]), []), &upsert([attached(&["bad"])], [], []));
    assert!(verdict(&named_first, 80).is_allowed());
    let (refused, applied) = Snapshot::apply(&named_first, &upsert([], [], [bad.clone()]));
    assert_eq!(verdict(&refused, 80), unknown);
    assert!(applied.policies_changed, "connections admitted before are judged again");
    assert!(!Snapshot::apply(&refused, &upsert([], [], [bad.clone()])).1.policies_changed);
    let rejected_first = apply(&fresh(attached(&[]), []), &upsert([], [], [bad]));
    let after = apply(&rejected_first, &upsert([attached(&["bad"])], [], []));
    assert_eq!(verdict(&after, 80), unknown);
    let mended = apply(&after, &upsert([], [], [selector("bad", Action::Deny, &[81])]));
    assert!(verdict(&mended, 80).is_allowed());
}

#[test]
fn removed_policy_that_returns_is_the_new_one() {
    let before = fresh(attached(&["a"]), [selector("a", Action::Deny, &[80])]);
    let after = apply(&apply(&before, &without("a")), &upsert([], [], [selector("a", Action::Deny, &[81])]));
    assert!(verdict(&after, 80).is_allowed());
    assert!(!verdict(&after, 81).is_allowed());
    let gone = apply(
        &after,
        &Update { removed: vec![ResourceName::Workload("Kubernetes//Pod/ns/server".into())], upserted: vec![] },
    );
    assert_eq!(*apply(&gone, &without("a")), *Snapshot::empty());
}
