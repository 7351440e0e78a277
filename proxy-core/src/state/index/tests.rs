use super::*;
use crate::state::fixture::*;
use crate::state::{CidrVip, NetworkMode, TunnelProtocol, Visibility};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn in_namespace(namespace: &str, service: Service) -> Service {
    Service { key: NamespacedHostname { namespace: namespace.into(), ..service.key.clone() }, ..service }
}

fn block(name: &str, base: &str, prefix_length: u8) -> Service {
    Service { cidr_vips: vec![CidrVip { base: on("", base), prefix_length }], ..service(name, "") }
}

/// The key of the service a client of `namespace` means by an address of the default network.
fn meant(snapshot: &Snapshot, address: &str, namespace: &str) -> Option<String> {
    snapshot.service_of_address("", ip(address), namespace).map(|service| service.key.to_string())
}

#[test]
fn workload_is_found_by_uid_address_node_and_name() {
    let snapshot = snapshot([pod("a", "10.0.0.1"), pod("b", "10.0.0.2")], []);
    let name = |workload: Option<&Arc<Workload>>| workload.map(|workload| workload.name.to_string());
    assert_eq!(name(snapshot.workload("Kubernetes//Pod/ns/a")).as_deref(), Some("a"));
    assert_eq!(name(snapshot.workload_of_address("", ip("10.0.0.2"))).as_deref(), Some("b"));
    assert_eq!(snapshot.workloads_on_node("node-1").count(), 2);
    assert_eq!(snapshot.workload_count(), 2);
    let local =
        LocalWorkload { name: "b".into(), namespace: "ns".into(), service_account: "b".into(), node: "node-1".into() };
    assert_eq!(name(snapshot.local_workload(&local)).as_deref(), Some("b"));
    let elsewhere = LocalWorkload { node: "node-2".into(), ..local.clone() };
    assert_eq!(name(snapshot.local_workload(&elsewhere)), None);
    let impostor = LocalWorkload { service_account: "a".into(), ..local.clone() };
    assert_eq!(name(snapshot.local_workload(&impostor)), None);
    let any_node = LocalWorkload { node: "".into(), ..local };
    assert_eq!(name(snapshot.local_workload(&any_node)).as_deref(), Some("b"));
}

#[test]
fn address_is_exact_within_its_network() {
    let mut far = pod("far", "10.0.0.1");
    far.network = "far".into();
    let snapshot = snapshot([pod("near", "10.0.0.1"), far], []);
    let name =
        |network| snapshot.workload_of_address(network, ip("10.0.0.1")).map(|workload| workload.name.to_string());
    assert_eq!(name("").as_deref(), Some("near"));
    assert_eq!(name("far").as_deref(), Some("far"));
    assert_eq!(name("other"), None);
}

#[test]
fn shared_address_belongs_to_a_pod_then_to_hbone_then_to_the_last_claim() {
    let entry = |name: &str, tunnel_protocol| Workload {
        uid: format!("Kubernetes/networking.istio.io/WorkloadEntry/ns/{name}").into(),
        tunnel_protocol,
        ..pod(name, "10.0.0.1")
    };
    let owner = |workloads: Vec<Workload>| {
        let snapshot = snapshot(workloads, []);
        snapshot.workload_of_address("", ip("10.0.0.1")).unwrap().name.to_string()
    };
    assert_eq!(owner(vec![plain_pod("pod", "10.0.0.1"), entry("entry", TunnelProtocol::Hbone)]), "pod");
    assert_eq!(owner(vec![pod("hbone", "10.0.0.1"), plain_pod("plain", "10.0.0.1")]), "hbone");
    assert_eq!(owner(vec![pod("old", "10.0.0.1"), pod("new", "10.0.0.1")]), "new");
    assert_eq!(owner(vec![pod("new", "10.0.0.1"), pod("old", "10.0.0.1")]), "old");
}

#[test]
fn repeat_of_an_old_record_does_not_take_its_address_back() {
    let base = snapshot([pod("old", "10.0.0.1"), pod("new", "10.0.0.1")], []);
    let mut repeated = pod("old", "10.0.0.1");
    repeated.canonical_name = "changed".into();
    let (next, _) = Snapshot::apply(&base, &upsert([repeated], [], []));
    assert_eq!(&*next.workload_of_address("", ip("10.0.0.1")).unwrap().name, "new");
    assert_eq!(&*next.workload("Kubernetes//Pod/ns/old").unwrap().canonical_name, "changed");
}

#[test]
fn host_network_workload_owns_no_address() {
    let agent = Workload { network_mode: NetworkMode::HostNetwork, ..pod("agent", "10.0.0.1") };
    assert_eq!(snapshot([agent], []).workload_of_address("", ip("10.0.0.1")), None);
}

#[test]
fn workload_wins_over_service_for_an_address() {
    let snapshot = snapshot([pod("a", "10.0.0.1")], [service("svc", "10.0.0.1")]);
    assert!(matches!(snapshot.address_owner("", ip("10.0.0.1"), "ns"), Some(AddressOwner::Workload(_))));
}

#[test]
fn shared_vip_belongs_to_the_clients_namespace_then_to_the_canonical_service() {
    let canonical = Service { canonical: true, ..in_namespace("z", service("svc", "10.10.0.1")) };
    let both = [in_namespace("a", service("svc", "10.10.0.1")), in_namespace("b", service("svc", "10.10.0.1"))];
    let name = |namespace: &str| Some(format!("{namespace}/{}", host("svc")));
    let with_canonical = snapshot([], both.clone().into_iter().chain([canonical]));
    assert_eq!(meant(&with_canonical, "10.10.0.1", "b"), name("b"));
    assert_eq!(meant(&with_canonical, "10.10.0.1", "other"), name("z"));
    assert_eq!(meant(&snapshot([], both.clone()), "10.10.0.1", "other"), name("a"));
    assert_eq!(meant(&snapshot([], both.into_iter().rev()), "10.10.0.1", "other"), name("a"), "in any order");
}

#[test]
fn shared_hostname_ranks_alike_and_a_preferred_namespace_comes_after_canonical() {
    let plain = [in_namespace("a", service("svc", "")), in_namespace("b", service("svc", ""))];
    let canonical = Service { canonical: true, ..in_namespace("z", service("svc", "")) };
    let name = |snapshot: &Snapshot, client: &str, preferred| {
        let service = snapshot.service_of_hostname(&host("svc"), client, preferred).unwrap();
        service.key.namespace.to_string()
    };
    let without = snapshot([], plain.clone());
    assert_eq!(name(&without, "b", Some("a")), "b");
    assert_eq!(name(&without, "other", Some("b")), "b");
    assert_eq!(name(&without, "other", None), "a");
    assert_eq!(name(&snapshot([], plain.into_iter().chain([canonical])), "other", Some("b")), "z");
    assert!(without.service_of_hostname(&host("svc").to_ascii_uppercase(), "a", None).is_some());
}

#[test]
fn namespace_visibility_hides_vips_hostnames_and_blocks() {
    let hidden = |service| Service { visibility: Visibility::Namespace, ..service };
    let mut blocked = block("svc", "10.20.0.0", 16);
    blocked.vips.push(on("", "10.10.0.1"));
    let snapshot = snapshot([], [hidden(blocked)]);
    for address in ["10.10.0.1", "10.20.3.4"] {
        assert!(meant(&snapshot, address, "ns").is_some());
        assert_eq!(meant(&snapshot, address, "other"), None);
    }
    assert!(snapshot.service_of_hostname(&host("svc"), "other", None).is_none());
    assert!(snapshot.service(&key("svc")).is_some(), "a reference by key is not a client's view");
}

#[test]
fn exact_vip_wins_over_a_block_unless_it_is_hidden() {
    let exact = in_namespace("other", service("exact", "10.20.0.1"));
    let services = [exact.clone(), block("block", "10.20.0.0", 16)];
    assert_eq!(meant(&snapshot([], services), "10.20.0.1", "ns"), Some(format!("other/{}", host("exact"))));
    let hidden = Service { visibility: Visibility::Namespace, ..exact };
    let services = [hidden, block("block", "10.20.0.0", 16)];
    assert_eq!(meant(&snapshot([], services), "10.20.0.1", "ns"), Some(key("block").to_string()));
}

#[test]
fn longest_block_wins_within_family_and_network() {
    let mut far = block("far", "10.20.30.40", 32);
    far.cidr_vips[0].base.network = "far".into();
    let services = [
        block("all", "0.0.0.0", 0),
        block("wide", "10.20.99.99", 16),
        block("narrow", "10.20.30.0", 24),
        block("six", "fd00::", 8),
        far,
    ];
    let snapshot = snapshot([], services);
    let name = |address| meant(&snapshot, address, "ns");
    assert_eq!(name("10.20.30.40"), Some(key("narrow").to_string()));
    assert_eq!(name("10.20.31.1"), Some(key("wide").to_string()), "bits past the prefix do not count");
    assert_eq!(name("1.1.1.1"), Some(key("all").to_string()));
    assert_eq!(name("fd12::1"), Some(key("six").to_string()));
    assert_eq!(name("fe80::1"), None);
}

#[test]
fn own_block_wins_over_a_longer_one_and_canonical_breaks_ties() {
    let own = in_namespace("mine", block("own", "10.20.0.0", 16));
    let longer = block("longer", "10.20.30.0", 24);
    let canonical = Service { canonical: true, ..in_namespace("zz", block("canonical", "10.20.30.0", 24)) };
    let snapshot = snapshot([], [own, longer, canonical]);
    assert_eq!(meant(&snapshot, "10.20.30.40", "mine"), Some(format!("mine/{}", host("own"))));
    assert_eq!(meant(&snapshot, "10.20.30.40", "other"), Some(format!("zz/{}", host("canonical"))));
}

#[test]
fn removed_block_uncovers_the_wider_one() {
    let base = snapshot([], [block("wide", "10.20.0.0", 16), block("narrow", "10.20.30.0", 24)]);
    let removed = vec![crate::state::ResourceName::Service(key("narrow"))];
    let (next, _) = Snapshot::apply(&base, &crate::state::Update { removed, upserted: vec![] });
    assert_eq!(meant(&next, "10.20.30.40", "ns"), Some(key("wide").to_string()));
    assert_eq!(*next, *snapshot([], [block("wide", "10.20.0.0", 16)]));
}

#[test]
fn hostname_of_a_workload_belongs_to_its_namespace() {
    let named = Workload { hostname: Some("db.example".into()), ..pod("named", "") };
    let snapshot = snapshot([named], []);
    assert!(snapshot.workload_of_hostname(&NamespacedHostname::new("ns", "db.example")).is_some());
    assert!(snapshot.workload_of_hostname(&NamespacedHostname::new("other", "db.example")).is_none());
}
