use std::net::IpAddr;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::arbitrary::policy;
use super::wire as messages;
use super::wire::envoy::service::discovery::v3 as discovery;
use super::wire::istio::{security, workload as wire};
use super::*;
use crate::policy::{PolicyKey, masked};
use crate::state::arbitrary::{service, workload};
use crate::state::{Rejected, Resource, ResourceName, Service, TunnelProtocol, Update, Workload};

fn body(resource: &Resource) -> Vec<u8> {
    encode_resource(resource, String::new()).resource.unwrap().value
}

fn read(kind: Kind, name: &str, value: Vec<u8>) -> Resource {
    let resource = messages::Any { type_url: kind.type_url().to_owned(), value };
    decode_resource(kind, discovery::Resource { name: name.to_owned(), resource: Some(resource), ..Default::default() })
}

/// Why a resource was not taken.
fn refusal(resource: Resource) -> Rejected {
    match resource {
        Resource::Malformed(rejected) => (*rejected).clone(),
        taken => panic!("taken: {taken:?}"),
    }
}

fn refused_workload(change: impl FnOnce(&mut wire::Workload)) -> String {
    let mut workload = wire::Workload { uid: "c//Pod/ns/a".to_owned(), ..Default::default() };
    change(&mut workload);
    let address = wire::Address { r#type: Some(wire::address::Type::Workload(workload)) };
    let rejected = refusal(read(Kind::Address, "c//Pod/ns/a", address.encode_to_vec()));
    assert_eq!(rejected.name, ResourceName::Workload("c//Pod/ns/a".into()));
    rejected.reason
}

fn refused_match(change: impl FnOnce(&mut security::Match)) -> String {
    let mut choice = security::Match::default();
    change(&mut choice);
    let clause = security::Clause { matches: vec![choice] };
    let policy = security::Authorization {
        rules: vec![security::Rule { clauses: vec![clause] }],
        ..security::Authorization::default()
    };
    let rejected = refusal(read(Kind::Authorization, "ns/p", policy.encode_to_vec()));
    assert_eq!(rejected.name, ResourceName::Authorization(PolicyKey::new("ns", "p")));
    rejected.reason
}

/// The record as it comes back: address blocks are masked.
fn normal(mut service: Service) -> Service {
    for block in &mut service.cidr_vips {
        block.base.address = masked(block.base.address, block.prefix_length);
    }
    service
}

#[test]
fn a_workload_has_the_bytes_that_its_field_numbers_say() {
    let workload = Workload {
        uid: "u".into(),
        name: "a".into(),
        namespace: "b".into(),
        addresses: vec![IpAddr::from([10, 0, 0, 1])],
        tunnel_protocol: TunnelProtocol::Hbone,
        service_account: "c".into(),
        capacity: 7,
        authorization_policies: vec![PolicyKey::new("n", "p")],
        ..Workload::default()
    };
    let mut fields: Vec<u8> = Vec::new();
    fields.extend([0x0a, 1, b'a']); // 1: name
    fields.extend([0x12, 1, b'b']); // 2: namespace
    fields.extend([0x1a, 4, 10, 0, 0, 1]); // 3: addresses
    fields.extend([0x28, 1]); // 5: tunnel_protocol HBONE
    fields.extend([0x3a, 1, b'c']); // 7: service_account; 6, the trust domain, is the default
    fields.extend([0x60, 2]); // 12: workload_type POD
    fields.extend([0x82, 0x01, 3, b'n', b'/', b'p']); // 16: authorization_policies
    fields.extend([0x92, 0x01, 10]); // 18: cluster_id
    fields.extend(b"Kubernetes");
    fields.extend([0xa2, 0x01, 1, b'u']); // 20: uid
    fields.extend([0xda, 0x01, 2, 0x08, 7]); // 27: capacity, a UInt32Value
    let mut expected = vec![0x0a, fields.len() as u8]; // Address.workload
    expected.extend(fields);
    assert_eq!(body(&Resource::Workload(Arc::new(workload))), expected);
}

#[test]
fn a_policy_is_read_from_the_bytes_of_its_field_numbers() {
    // 1 name, 2 namespace, 3 scope, 4 action, 5 rules { 1 clauses { 2 matches { 3 principals { 1 exact } 9 ports } } }
    let matches = [0x1a, 3, 0x0a, 1, b'x', 0x4a, 2, 0x90, 0x3f];
    let clause = [&[0x12, matches.len() as u8][..], &matches].concat();
    let rule = [&[0x0a, clause.len() as u8][..], &clause].concat();
    let head = [0x0a, 1, b'p', 0x12, 2, b'n', b's', 0x18, 2, 0x20, 1];
    let bytes = [&head[..], &[0x2a, rule.len() as u8], &rule].concat();
    let Resource::Authorization(policy) = read(Kind::Authorization, "ns/p", bytes.clone()) else { panic!("refused") };
    assert_eq!(policy.key, PolicyKey::new("ns", "p"));
    assert_eq!(policy.scope, crate::policy::Scope::WorkloadSelector);
    assert_eq!(policy.action, crate::policy::Action::Deny);
    let choice = &policy.rules[0].clauses[0].matches[0];
    assert_eq!(choice.principals, [crate::policy::StringMatch::Exact("x".into())]);
    assert_eq!(choice.destination_ports, [8080]);
    assert_eq!(body(&Resource::Authorization(policy)), bytes);
}

#[test]
fn defaults_of_the_wire_are_filled_in() {
    let address = wire::Address { r#type: Some(wire::address::Type::Workload(wire::Workload::default())) };
    let Resource::Workload(workload) = read(Kind::Address, "", address.encode_to_vec()) else { panic!("refused") };
    assert_eq!(&*workload.trust_domain, "cluster.local");
    assert_eq!(&*workload.service_account, "default");
    assert_eq!(&*workload.cluster_id, "Kubernetes");
    assert_eq!(workload.capacity, 1);
}

#[test]
fn a_workload_that_cannot_be_meant_is_refused_with_its_reason() {
    assert_eq!(refused_workload(|it| it.addresses = vec![vec![1, 2, 3].into()]), "an address has 3 bytes, not 4 or 16");
    assert_eq!(refused_workload(|it| it.tunnel_protocol = 2), "unknown tunnel protocol 2");
    assert_eq!(refused_workload(|it| it.network_mode = 9), "unknown network mode 9");
    assert_eq!(refused_workload(|it| it.status = -1), "unknown workload status -1");
    assert_eq!(refused_workload(|it| it.waypoint = Some(Default::default())), "a gateway has no destination");
    let services = [("no-slash".to_owned(), wire::PortList::default())].into();
    assert_eq!(refused_workload(|it| it.services = services), "service `no-slash` is not namespace/hostname");
    let tunnel = wire::ApplicationTunnel { protocol: 5, port: 0 };
    assert_eq!(refused_workload(|it| it.application_tunnel = Some(tunnel)), "unknown application tunnel protocol 5");
}

#[test]
fn what_only_telemetry_or_lookup_would_miss_does_not_cost_the_record() {
    let workload = wire::Workload { workload_type: 77, ..Default::default() };
    let address = wire::Address { r#type: Some(wire::address::Type::Workload(workload)) };
    assert!(matches!(read(Kind::Address, "", address.encode_to_vec()), Resource::Workload(_)));
    let service = wire::Service { visibility: 9, subject_alt_names: vec!["nonsense".into()], ..Default::default() };
    let address = wire::Address { r#type: Some(wire::address::Type::Service(service)) };
    let Resource::Service(service) = read(Kind::Address, "", address.encode_to_vec()) else { panic!("refused") };
    assert_eq!(service.visibility, crate::state::Visibility::Public);
    assert_eq!(service.subject_alt_names, []);
}

#[test]
fn a_matcher_that_cannot_be_read_refuses_its_policy_instead_of_vanishing() {
    let empty = security::StringMatch::default();
    assert_eq!(refused_match(|it| it.principals = vec![empty]), "a string matcher of no known kind");
    let block = security::Address { address: vec![10, 0, 0, 1].into(), length: 33 };
    assert_eq!(refused_match(|it| it.source_ips = vec![block]), "bad prefix length: 10.0.0.1/33");
    assert_eq!(refused_match(|it| it.not_destination_ports = vec![65_536]), "destination port 65536 is not a port");
}

#[test]
fn an_empty_envelope_and_a_foreign_type_are_refused() {
    let empty = discovery::Resource { name: "ns/svc".to_owned(), ..Default::default() };
    let rejected = refusal(decode_resource(Kind::Address, empty));
    assert_eq!(rejected.name.to_string(), "ns/svc");
    assert_eq!(rejected.reason, "the resource is empty");
    let foreign = messages::Any { type_url: Kind::Authorization.type_url().to_owned(), value: Vec::new() };
    let foreign = discovery::Resource { resource: Some(foreign), ..Default::default() };
    assert!(refusal(decode_resource(Kind::Address, foreign)).reason.starts_with("the resource is of type"));
    assert_eq!(refusal(read(Kind::Address, "", Vec::new())).reason, "neither a workload nor a service");
}

#[test]
fn a_malformed_policy_is_rejected_and_keeps_its_previous_value() {
    let policy = |value| read(Kind::Authorization, "ns/p", value);
    let good = security::Authorization { name: "p".into(), namespace: "ns".into(), action: 1, ..Default::default() };
    let update = Update { removed: vec![], upserted: vec![policy(good.encode_to_vec())] };
    let (before, _) = crate::state::Snapshot::apply(&crate::state::Snapshot::empty(), &update);
    let bad = policy(security::Authorization { action: 9, ..good }.encode_to_vec());
    let (after, applied) = crate::state::Snapshot::apply(&before, &Update { removed: vec![], upserted: vec![bad] });
    assert_eq!(applied.rejected[0].reason, "unknown policy action 9");
    assert_eq!(after, before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn workloads_come_back_as_they_went(workload in workload()) {
        let resource = Resource::Workload(Arc::new(workload));
        prop_assert_eq!(decode_resource(Kind::Address, encode_resource(&resource, "1".to_owned())), resource);
    }

    #[test]
    fn services_come_back_as_they_went(service in service()) {
        let resource = Resource::Service(Arc::new(normal(service)));
        prop_assert_eq!(decode_resource(Kind::Address, encode_resource(&resource, "1".to_owned())), resource);
    }

    #[test]
    fn policies_come_back_as_they_went(policy in policy()) {
        let resource = Resource::Authorization(Arc::new(policy));
        prop_assert_eq!(decode_resource(Kind::Authorization, encode_resource(&resource, "1".to_owned())), resource);
    }

    #[test]
    fn hostile_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200), address in any::<bool>()) {
        let kind = if address { Kind::Address } else { Kind::Authorization };
        read(kind, "ns/x", bytes);
    }

    #[test]
    fn damaged_records_are_read_or_refused(workload in workload(), at in any::<usize>(), flip in 1..=255u8) {
        let mut bytes = body(&Resource::Workload(Arc::new(workload)));
        let at = at % bytes.len();
        bytes[at] ^= flip;
        read(Kind::Address, "ns/x", bytes);
    }
}
