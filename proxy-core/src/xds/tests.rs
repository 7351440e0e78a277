use std::sync::Arc;

use prost::Message;

use super::Decoded;
use super::DecodedCache;
use super::session::{Received, Session};
use crate::policy::{Action, Authorization, PolicyKey, Scope};
use crate::proto::wire::envoy::config::core::v3::Node;
use crate::proto::wire::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource as WireResource};
use crate::proto::wire::{Any, value};
use crate::proto::{Kind, encode_resource};
use crate::state::fixture::pod;
use crate::state::{Push, Rejected, Resource, ResourceName, StateHandle};

fn workload(name: &str) -> Resource {
    Resource::Workload(Arc::new(pod(name, "10.0.0.1")))
}

fn policy(name: &str) -> Resource {
    let key = PolicyKey::new("ns", name);
    let (scope, action) = (Scope::Namespace, Action::Deny);
    Resource::Authorization(Arc::new(Authorization { key, scope, action, rules: vec![], dry_run: false }))
}

fn wire(resource: &Resource, version: &str) -> WireResource {
    encode_resource(resource, version.to_owned())
}

fn malformed(name: &str) -> WireResource {
    let body = Any { type_url: String::new(), value: vec![0xff] };
    WireResource { name: name.to_owned(), version: "1".to_owned(), resource: Some(body), aliases: vec![] }
}

fn response(kind: Kind, nonce: &str, resources: Vec<WireResource>, removed: &[&str]) -> Arc<Decoded> {
    let response = DeltaDiscoveryResponse {
        type_url: kind.type_url().to_owned(),
        nonce: nonce.to_owned(),
        resources,
        removed_resources: removed.iter().map(ToString::to_string).collect(),
        ..DeltaDiscoveryResponse::default()
    };
    Arc::new(Decoded::read(&response.encode_to_vec().into()).unwrap())
}

fn push(session: &mut Session, response: Arc<Decoded>) -> Push {
    match session.receive(response) {
        Received::Push(push) => push,
        Received::Answer(request) => panic!("answered: {request:?}"),
    }
}

fn versions(session: &mut Session, kind: Kind) -> Vec<(String, String)> {
    let requests = session.begin(&Node::default());
    let request = requests.into_iter().find(|request| request.type_url == kind.type_url()).unwrap();
    assert_eq!((request.resource_names_subscribe.len(), request.resource_names_unsubscribe.len()), (0, 0));
    request.initial_resource_versions.into_iter().collect()
}

const POD: &str = "Kubernetes//Pod/ns/a";

#[test]
fn the_first_stream_asks_for_everything_of_both_kinds_and_says_who_we_are() {
    let node = super::NodeDescription {
        address: Some("10.1.2.3".parse().unwrap()),
        pod: "ztunnel-x".into(),
        namespace: "istio-system".into(),
        node: "node-1".into(),
        metadata: [("CLUSTER_ID".to_owned(), "Kubernetes".to_owned())].into(),
    };
    let requests = Session::default().begin(&node.to_wire());
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert!(request.initial_resource_versions.is_empty());
        let node = request.node.as_ref().unwrap();
        assert_eq!(node.id, "ztunnel~10.1.2.3~ztunnel-x.istio-system~istio-system.svc.cluster.local");
        let fields = &node.metadata.as_ref().unwrap().fields;
        let string = |key: &str| fields[key].kind.clone();
        assert_eq!(string("NODE_NAME"), Some(value::Kind::StringValue("node-1".into())));
        assert_eq!(string("CLUSTER_ID"), Some(value::Kind::StringValue("Kubernetes".into())));
    }
}

#[test]
fn it_is_in_sync_once_both_kinds_came_in_whole() {
    let mut session = Session::default();
    assert!(!push(&mut session, response(Kind::Address, "1", vec![], &[])).initial);
    assert!(!push(&mut session, response(Kind::Authorization, "2", vec![malformed("ns/p")], &[])).initial);
    assert!(push(&mut session, response(Kind::Authorization, "3", vec![wire(&policy("p"), "2")], &[])).initial);
    assert!(!push(&mut session, response(Kind::Address, "4", vec![], &[])).initial);
}

#[test]
fn a_push_is_acknowledged_with_its_nonce_and_type() {
    let mut session = Session::default();
    let push = push(&mut session, response(Kind::Address, "n-7", vec![wire(&workload("a"), "v1")], &[]));
    let request = session.answer(push.nonce, &[]).unwrap();
    assert_eq!(request.response_nonce, "n-7");
    assert_eq!(request.type_url, Kind::Address.type_url());
    assert_eq!(request.error_detail, None);
    assert_eq!(session.answer(push.nonce, &[]), None, "once");
    assert_eq!(versions(&mut session, Kind::Address), [(POD.to_owned(), "v1".to_owned())]);
}

#[test]
fn what_is_refused_is_named_and_the_rest_is_applied() {
    let mut session = Session::default();
    let resources = vec![wire(&workload("a"), "v1"), malformed("Kubernetes//Pod/ns/b")];
    let push = push(&mut session, response(Kind::Address, "1", resources, &[]));
    let state = StateHandle::new();
    let applied = state.apply_push(&push);
    assert!(state.snapshot().workload(POD).is_some());
    let request = session.answer(push.nonce, &applied.rejected).unwrap();
    let detail = request.error_detail.unwrap();
    assert!(detail.message.starts_with("Kubernetes//Pod/ns/b: cannot be decoded"), "{}", detail.message);
    assert_eq!((detail.code, request.response_nonce.as_str()), (0, "1"));
    assert_eq!(versions(&mut session, Kind::Address).len(), 1, "the refused one is to be sent again");
}

#[test]
fn a_refused_change_keeps_the_old_value_and_asks_for_the_new_one_again() {
    let mut session = Session::default();
    let first = push(&mut session, response(Kind::Address, "1", vec![wire(&workload("a"), "v1")], &[]));
    session.answer(first.nonce, &[]);
    let second = push(&mut session, response(Kind::Address, "2", vec![malformed(POD)], &[]));
    let rejected = Rejected { name: ResourceName::Workload(POD.into()), reason: "no".into() };
    session.answer(second.nonce, &[rejected]);
    assert_eq!(versions(&mut session, Kind::Address), []);
    let third = push(&mut session, response(Kind::Address, "3", vec![], &[POD]));
    assert_eq!(third.update.removed, [ResourceName::Workload(POD.into())], "it can still be removed");
}

#[test]
fn a_removal_names_what_came_under_that_name() {
    let mut session = Session::default();
    let mut renamed = wire(&workload("a"), "v1");
    renamed.name = "some/name".to_owned();
    let first = push(&mut session, response(Kind::Address, "1", vec![renamed], &[]));
    session.answer(first.nonce, &[]);
    let gone = push(&mut session, response(Kind::Address, "2", vec![], &["some/name", "ns/svc"]));
    assert_eq!(gone.update.removed[0], ResourceName::Workload(POD.into()));
    assert_eq!(gone.update.removed[1].to_string(), "ns/svc");
    session.answer(gone.nonce, &[]);
    assert_eq!(versions(&mut session, Kind::Address), []);
}

#[test]
fn what_was_not_answered_on_the_old_stream_is_not_claimed_on_the_new_one() {
    let mut session = Session::default();
    let first = push(&mut session, response(Kind::Address, "1", vec![wire(&workload("a"), "v1")], &[]));
    assert_eq!(versions(&mut session, Kind::Address), []);
    assert_eq!(session.answer(first.nonce, &[]), None);
    assert_eq!(versions(&mut session, Kind::Address), []);
}

#[test]
fn a_type_nobody_asked_for_is_acknowledged_and_ignored() {
    let response = DeltaDiscoveryResponse { type_url: "x".into(), nonce: "9".into(), ..Default::default() };
    let decoded = Arc::new(Decoded::read(&response.encode_to_vec().into()).unwrap());
    let Received::Answer(request) = Session::default().receive(decoded) else { panic!("applied") };
    assert_eq!((request.type_url.as_str(), request.response_nonce.as_str()), ("x", "9"));
}

#[test]
fn proxies_sent_the_same_bytes_share_one_update() {
    let response = DeltaDiscoveryResponse {
        type_url: Kind::Address.type_url().to_owned(),
        resources: vec![wire(&workload("a"), "v1")],
        ..DeltaDiscoveryResponse::default()
    };
    let (bytes, cache) = (response.encode_to_vec(), DecodedCache::default());
    let read = || cache.read(&bytes.clone().into()).unwrap();
    let (one, other) = (push(&mut Session::default(), read()), push(&mut Session::default(), read()));
    assert!(Arc::ptr_eq(&one.update, &other.update));
}
