use std::sync::Arc;

use proxy_core::policy::{Action, Authorization, PolicyKey, Scope};
use proxy_core::proto::Kind;
use proxy_core::proto::wire::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proxy_core::state::{NamespacedHostname, NetworkAddress, Push, Resource, Service, SharedUpdate, Workload};

use super::encoding::{Content, Encodings, split, version};
use super::stream::{Outgoing, Stream};
use crate::control::{Resources, diff};

fn workload(name: &str, address: &str, node: &str, service: Option<&str>) -> Resource {
    let services = service.map(|service| (NamespacedHostname::new("ns", service), vec![])).into_iter().collect();
    Resource::Workload(Arc::new(Workload {
        uid: format!("c//Pod/ns/{name}").into(),
        addresses: vec![address.parse().unwrap()],
        node: node.into(),
        services,
        ..Workload::default()
    }))
}

fn service(name: &str, vip: &str) -> Resource {
    let vip = NetworkAddress { network: "".into(), address: vip.parse().unwrap() };
    let key = NamespacedHostname::new("ns", name);
    Resource::Service(Arc::new(Service { key, vips: vec![vip], ..Service::default() }))
}

fn policy(name: &str) -> Resource {
    let (scope, action) = (Scope::Namespace, Action::Deny);
    let key = PolicyKey::new("ns", name);
    Resource::Authorization(Arc::new(Authorization { key, scope, action, rules: vec![], dry_run: false }))
}

fn resources(records: &[Resource]) -> Arc<Resources> {
    let mut resources = Resources::new();
    for record in records {
        resources.insert(record.clone());
    }
    Arc::new(resources)
}

fn shop() -> Arc<Resources> {
    resources(&[
        workload("a", "10.0.0.1", "n1", Some("web")),
        workload("b", "10.0.0.2", "n2", None),
        service("web", "10.96.0.1"),
        policy("p"),
    ])
}

fn push(from: &Resources, to: &Resources) -> Push {
    Push { nonce: 7, update: SharedUpdate::new(diff(from, to)), initial: from.is_empty() }
}

fn request(kind: Kind) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: kind.type_url().to_owned(), ..DeltaDiscoveryRequest::default() }
}

fn subscribe(names: &[&str]) -> DeltaDiscoveryRequest {
    let names = names.iter().map(ToString::to_string).collect();
    DeltaDiscoveryRequest { resource_names_subscribe: names, ..request(Kind::Address) }
}

/// A stream that subscribed to nothing by name, as an on-demand client begins, and all policies.
fn on_demand(node: &str) -> Stream {
    let mut stream = Stream::new(node.into());
    stream.request(request(Kind::Authorization), None);
    let nothing = DeltaDiscoveryRequest { resource_names_unsubscribe: vec!["*".to_owned()], ..subscribe(&["*"]) };
    assert!(stream.request(nothing, None).is_empty());
    stream
}

fn own(outgoing: Vec<Outgoing>) -> Vec<(Kind, Vec<String>, Vec<String>)> {
    let content = |outgoing| match outgoing {
        Outgoing::Own(kind, Content { upserted, removed }) => {
            (kind, upserted.iter().map(|record| record.name().to_string()).collect(), removed)
        }
        Outgoing::Shared(update, _) => panic!("shared: {update:?}"),
    };
    outgoing.into_iter().map(content).collect()
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

const NOTHING: Vec<String> = Vec::new();

#[test]
fn who_asks_for_everything_is_sent_what_everybody_is_sent() {
    let mut stream = Stream::new("n1".into());
    for kind in Kind::ALL {
        assert!(stream.request(request(kind), None).is_empty());
    }
    let push = push(&Resources::new(), &shop());
    let [Outgoing::Shared(update, _)] = &stream.push(&push, &shop())[..] else { panic!("not shared") };
    assert!(Arc::ptr_eq(update, &push.update));
}

#[test]
fn an_empty_cluster_is_told_as_such_for_both_kinds() {
    let mut stream = Stream::new("n1".into());
    for kind in Kind::ALL {
        stream.request(request(kind), None);
    }
    let empty = Arc::default();
    let outgoing = stream.push(&push(&empty, &empty), &empty);
    let told: Vec<Kind> = outgoing
        .iter()
        .filter_map(|outgoing| if let Outgoing::Own(kind, _) = outgoing { Some(*kind) } else { None })
        .collect();
    assert_eq!(told, Kind::ALL);
}

#[test]
fn policies_come_before_and_go_after_the_workloads_that_name_them() {
    let kinds = |from: &Resources, to: &Resources| {
        split(&push(from, to).update, from).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()
    };
    let (empty, shop) = (Resources::new(), shop());
    assert_eq!(kinds(&empty, &shop), [Kind::Authorization, Kind::Address]);
    assert_eq!(kinds(&shop, &empty), [Kind::Address, Kind::Authorization]);
    let (old, new) = (resources(&[policy("p")]), resources(&[policy("q")]));
    assert_eq!(kinds(&old, &new), [Kind::Authorization], "replaced at once where nothing depends on the order");
}

#[test]
fn a_policy_is_narrowed_to_those_who_name_it_only_when_they_do() {
    let Resource::Authorization(wide) = policy("p") else { unreachable!() };
    let narrow = Authorization { scope: Scope::WorkloadSelector, ..(*wide).clone() };
    let Resource::Workload(named) = workload("a", "10.0.0.1", "n1", None) else { unreachable!() };
    let named = Workload { authorization_policies: vec![wide.key.clone()], ..(*named).clone() };
    let before = resources(&[policy("p"), workload("a", "10.0.0.1", "n1", None)]);
    let after = resources(&[Resource::Authorization(Arc::new(narrow)), Resource::Workload(Arc::new(named))]);
    let parts = split(&push(&before, &after).update, &before);
    assert_eq!(parts.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [Kind::Address, Kind::Authorization]);
    let parts = split(&push(&after, &before).update, &after);
    assert_eq!(parts.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [Kind::Authorization, Kind::Address]);
}

#[test]
fn who_comes_back_is_sent_only_what_changed_and_what_is_gone() {
    let mut stream = Stream::new("n1".into());
    let held = workload("a", "10.0.0.1", "n1", Some("web"));
    let versions = [
        ("c//Pod/ns/a".to_owned(), version(&held)),
        ("c//Pod/ns/b".to_owned(), "older".to_owned()),
        ("c//Pod/ns/gone".to_owned(), "1".to_owned()),
    ];
    stream.request(request(Kind::Authorization), None);
    stream
        .request(DeltaDiscoveryRequest { initial_resource_versions: versions.into(), ..request(Kind::Address) }, None);
    let sent = own(stream.push(&push(&Resources::new(), &shop()), &shop()));
    assert_eq!(sent[0], (Kind::Authorization, names(&["ns/p"]), NOTHING));
    assert_eq!(sent[1], (Kind::Address, names(&["c//Pod/ns/b", "ns/web"]), names(&["c//Pod/ns/gone"])));
}

#[test]
fn who_asks_late_for_a_kind_is_sent_all_of_it() {
    let mut stream = Stream::new("n1".into());
    stream.request(request(Kind::Address), None);
    assert_eq!(own(stream.push(&push(&Resources::new(), &shop()), &shop())).len(), 1);
    let late = own(stream.request(request(Kind::Authorization), Some(&shop())));
    assert_eq!(late, [(Kind::Authorization, names(&["ns/p"]), NOTHING)]);
}

#[test]
fn an_on_demand_client_starts_with_its_own_node_and_all_policies() {
    let mut stream = on_demand("n2");
    let sent = own(stream.push(&push(&Resources::new(), &shop()), &shop()));
    assert_eq!(sent[0], (Kind::Authorization, names(&["ns/p"]), NOTHING));
    assert_eq!(sent[1], (Kind::Address, names(&["c//Pod/ns/b"]), NOTHING));
}

#[test]
fn names_and_aliases_are_looked_up_and_unknown_ones_are_said_to_be_removed() {
    let mut stream = on_demand("n3");
    stream.push(&push(&Resources::new(), &shop()), &shop());
    let mut ask = |name: &str| {
        let (_, found, removed) = own(stream.request(subscribe(&[name]), Some(&shop()))).remove(0);
        (found, removed)
    };
    assert_eq!(ask("/10.0.0.2"), (names(&["c//Pod/ns/b"]), NOTHING));
    assert_eq!(ask("c//Pod/ns/a"), (names(&["c//Pod/ns/a"]), NOTHING));
    let web = (names(&["ns/web", "c//Pod/ns/a"]), NOTHING);
    assert_eq!(ask("/10.96.0.1"), web, "a service and all its workloads");
    assert_eq!(ask("ns/web"), web);
    assert_eq!(ask("/10.9.9.9"), (NOTHING, names(&["/10.9.9.9"])));
}

#[test]
fn what_was_asked_for_is_followed_even_if_it_was_unknown() {
    let mut stream = on_demand("n3");
    let before = shop();
    stream.push(&push(&Resources::new(), &before), &before);
    stream.request(subscribe(&["/10.9.9.9", "ns/web"]), Some(&before));
    let mut after = Resources::clone(&before);
    after.insert(workload("new", "10.9.9.9", "n1", None));
    after.insert(workload("other", "10.9.9.10", "n1", None));
    after.insert(workload("member", "10.9.9.11", "n1", Some("web")));
    let after = Arc::new(after);
    let sent = own(stream.push(&push(&before, &after), &after));
    assert_eq!(sent, [(Kind::Address, names(&["c//Pod/ns/member", "c//Pod/ns/new"]), NOTHING)]);
    let sent = own(stream.push(&push(&after, &resources(&[policy("p")])), &resources(&[policy("p")])));
    let (kind, upserted, mut gone) = sent[0].clone();
    gone.sort_unstable();
    assert_eq!((kind, upserted), (Kind::Address, NOTHING));
    assert_eq!(gone, ["c//Pod/ns/a", "c//Pod/ns/member", "c//Pod/ns/new", "ns/web"]);
}

#[test]
fn a_push_is_answered_when_all_its_responses_are_and_says_what_was_refused() {
    let (mut stream, encodings) = (Stream::new("n1".into()), Encodings::default());
    for kind in Kind::ALL {
        stream.request(request(kind), None);
    }
    let push = push(&Resources::new(), &shop());
    let frames = encodings.of_update(&push.update, &Resources::new()).to_vec();
    assert!(
        Arc::ptr_eq(
            &encodings.of_update(&push.update, &Resources::new()),
            &encodings.of_update(&push.update, &Resources::new())
        ),
        "written once"
    );
    let nonces: Vec<String> = frames.iter().map(|frame| frame.nonce.clone()).collect();
    assert_eq!(stream.sent(push.nonce, frames), None);
    assert_eq!(stream.answer("nonsense", None), None);
    assert_eq!(stream.answer(&nonces[1], Some("c//Pod/ns/b: unknown tunnel protocol 2")), None);
    let answered = stream.answer(&nonces[0], None).unwrap();
    assert_eq!(answered.push, push.nonce);
    let rejected: Vec<String> = answered.rejected.iter().map(|rejected| rejected.name.to_string()).collect();
    assert_eq!(rejected, ["c//Pod/ns/b"]);
    assert_eq!(stream.answer(&nonces[0], None), None, "once");
}

#[test]
fn versions_tell_records_apart_and_nothing_else() {
    let one = workload("a", "10.0.0.1", "n1", None);
    assert_eq!(version(&one), version(&workload("a", "10.0.0.1", "n1", None)));
    assert_ne!(version(&one), version(&workload("a", "10.0.0.2", "n1", None)));
}

#[test]
fn requests_of_unknown_types_are_passed_over() {
    let mut stream = Stream::new("n1".into());
    let strange = DeltaDiscoveryRequest { type_url: "x".to_owned(), ..DeltaDiscoveryRequest::default() };
    assert!(stream.request(strange, Some(&shop())).is_empty());
    assert!(!stream.is_subscribed());
}
