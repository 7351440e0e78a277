use super::*;
use crate::policy::{Action, IpBlock, PolicyKey, Scope};
use crate::state::fixture::*;
use crate::state::{HealthStatus, NamespacedHostname};

fn apply(base: &Arc<Snapshot>, update: Update) -> Arc<Snapshot> {
    Snapshot::apply(base, &update).0
}

fn remove(names: impl IntoIterator<Item = ResourceName>) -> Update {
    Update { removed: names.into_iter().collect(), upserted: vec![] }
}

fn uid(name: &str) -> ResourceName {
    ResourceName::Workload(format!("Kubernetes//Pod/ns/{name}").into())
}

fn endpoints(snapshot: &Snapshot, service: &NamespacedHostname) -> Vec<String> {
    snapshot.endpoints(service).iter().map(|endpoint| endpoint.name.to_string()).collect()
}

#[test]
fn endpoints_may_come_before_their_service_and_outlive_it() {
    let early = snapshot([serving(pod("a", "10.0.0.1"), "svc", &[])], []);
    assert_eq!(endpoints(&early, &key("svc")), ["a"]);
    let with = apply(&early, upsert([], [service("svc", "10.10.0.1")], []));
    assert_eq!(*with, *snapshot([serving(pod("a", "10.0.0.1"), "svc", &[])], [service("svc", "10.10.0.1")]));
    let without = apply(&with, remove([ResourceName::Service(key("svc"))]));
    assert_eq!(*without, *early, "the service is gone, its endpoints are known still");
    assert_eq!(*apply(&without, upsert([], [service("svc", "10.10.0.1")], [])), *with);
}

#[test]
fn removed_workload_leaves_no_trace() {
    let mut a = serving(pod("a", "10.0.0.1"), "svc", &[]);
    a.hostname = Some("a.example".into());
    let base = snapshot([a, pod("b", "10.0.0.2")], []);
    let (next, applied) = Snapshot::apply(&base, &remove([uid("a"), uid("unknown")]));
    assert_eq!(*next, *snapshot([pod("b", "10.0.0.2")], []));
    assert_eq!(applied.workloads_changed, ["Kubernetes//Pod/ns/a".into()]);
    assert_eq!(*apply(&next, remove([uid("b")])), *Snapshot::empty());
}

#[test]
fn changed_workload_leaves_no_trace_of_what_it_was() {
    let mut old = serving(serving(pod("a", "10.0.0.1"), "one", &[]), "two", &[]);
    old.addresses.push("fd00::1".parse().unwrap());
    let mut new = serving(serving(pod("a", "10.0.0.2"), "two", &[]), "three", &[]);
    (new.name, new.node, new.network) = ("renamed".into(), "node-9".into(), "net".into());
    new.hostname = Some("a.example".into());
    let there = apply(&snapshot([old.clone()], []), upsert([new.clone()], [], []));
    assert_eq!(*there, *snapshot([new], []));
    let back = apply(&there, upsert([old.clone()], [], []));
    assert_eq!(*back, *snapshot([old], []));
}

#[test]
fn changed_service_leaves_no_trace_of_what_it_was() {
    let mut new = service("svc", "10.10.0.2");
    new.vips.push(on("net", "10.10.0.3"));
    let there = apply(&snapshot([], [service("svc", "10.10.0.1")]), upsert([], [new.clone()], []));
    assert_eq!(*there, *snapshot([], [new]));
}

#[test]
fn removals_come_before_upserts() {
    let base = snapshot([pod("a", "10.0.0.1")], []);
    let mut update = upsert([pod("a", "10.0.0.9")], [], []);
    update.removed = vec![uid("a")];
    assert_eq!(*apply(&base, update), *snapshot([pod("a", "10.0.0.9")], []));
}

#[test]
fn health_is_a_matter_of_choice_not_of_storage() {
    let sick = Workload { status: HealthStatus::Unhealthy, ..serving(pod("a", "10.0.0.1"), "svc", &[]) };
    let snapshot = snapshot([sick], [service("svc", "10.10.0.1")]);
    assert_eq!(endpoints(&snapshot, &key("svc")), ["a"]);
}

#[test]
fn update_without_news_changes_nothing_and_reports_nothing() {
    let records = || upsert([pod("a", "10.0.0.1")], [service("svc", "10.10.0.1")], [strict()]);
    let base = apply(&Snapshot::empty(), records());
    let (next, applied) = Snapshot::apply(&base, &records());
    assert!(Arc::ptr_eq(&base, &next));
    assert_eq!(applied, Applied::default());
}

fn strict() -> Authorization {
    policy("strict", Scope::WorkloadSelector, Action::Deny, &[1])
}

#[test]
fn rejected_resource_keeps_its_previous_value_and_the_rest_is_applied() {
    let base = apply(&Snapshot::empty(), upsert([], [service("svc", "10.10.0.1")], [strict()]));
    let mut bad_policy = strict();
    bad_policy.rules[0].clauses[0].matches[0].not_source_ips =
        vec![IpBlock { address: "10.0.0.1".parse().unwrap(), prefix_length: 33 }];
    let mut bad_service = service("svc", "10.10.0.2");
    bad_service.cidr_vips = vec![crate::state::CidrVip { base: on("", "fd00::"), prefix_length: 129 }];
    let nameless = Workload { uid: "".into(), ..pod("nameless", "10.0.0.3") };
    let update = upsert([pod("a", "10.0.0.1"), nameless], [bad_service], [bad_policy]);
    let (next, applied) = Snapshot::apply(&base, &update);
    let rejected: Vec<String> = applied.rejected.iter().map(|one| format!("{}: {}", one.name, one.reason)).collect();
    assert_eq!(
        rejected,
        [
            ": a workload needs a uid".to_owned(),
            format!("{}: bad prefix length: fd00::/129", key("svc")),
            "ns/strict: bad prefix length: 10.0.0.1/33".to_owned(),
        ]
    );
    let expected = upsert([pod("a", "10.0.0.1")], [service("svc", "10.10.0.1")], [strict()]);
    assert_eq!(*next, *apply(&Snapshot::empty(), expected));
    assert!(!applied.policies_changed);
}

#[test]
fn policy_of_another_scope_is_taken_out_of_the_old_one() {
    let base = apply(&Snapshot::empty(), upsert([], [], [policy("p", Scope::Global, Action::Deny, &[])]));
    let connection =
        crate::policy::Connection { identity: None, source: at("10.0.0.1:1"), destination: at("10.0.0.2:80") };
    let elsewhere = Workload { namespace: "other".into(), ..pod("a", "10.0.0.2") };
    let denies =
        |snapshot: &Snapshot, workload: &Workload| !snapshot.authorize(workload, &connection).verdict.is_allowed();
    assert!(denies(&base, &elsewhere));
    for (scope, own) in [(Scope::Namespace, true), (Scope::WorkloadSelector, false)] {
        let (next, applied) = Snapshot::apply(&base, &upsert([], [], [policy("p", scope, Action::Deny, &[])]));
        assert!(applied.policies_changed);
        assert!(!denies(&next, &elsewhere));
        assert_eq!(denies(&next, &pod("a", "10.0.0.2")), own);
    }
    let gone = apply(&base, remove([ResourceName::Authorization(PolicyKey::new("ns", "p"))]));
    assert!(!denies(&gone, &elsewhere));
    assert_eq!(*gone, *Snapshot::empty());
}
