use super::*;
use crate::state::fixture::*;
use crate::state::{CidrVip, LoadBalancing, LoadBalancingMode, NamespacedHostname, Visibility};

fn external(name: &str, vip: &str) -> Service {
    Service { key: NamespacedHostname::new("ns", name), ..service("external", vip) }
}

fn ask(snapshot: &Snapshot, name: &str, family: Family) -> Answer {
    answer(snapshot, &Names::default(), &pod("client", "10.0.0.1"), name, family, &mut Rng::from_number(1))
}

/// The alias and sorted addresses, or nothing if it is forwarded.
fn known(snapshot: &Snapshot, name: &str, family: Family) -> Option<(Option<String>, Vec<String>)> {
    match ask(snapshot, name, family) {
        Answer::Forward => None,
        Answer::Known { alias, mut addresses, .. } => {
            addresses.sort_unstable();
            Some((alias, addresses.iter().map(ToString::to_string).collect()))
        }
    }
}

fn plainly(addresses: &[&str]) -> Option<(Option<String>, Vec<String>)> {
    Some((None, addresses.iter().map(ToString::to_string).collect()))
}

#[test]
fn kubernetes_short_forms_mean_the_service() {
    let mut far = service("far", "10.10.0.2");
    far.key = NamespacedHostname::new("other", "far.other.svc.cluster.local");
    let snapshot = snapshot([], [service("svc", "10.10.0.1"), far]);
    for name in ["svc", "svc.ns", "svc.ns.svc", "svc.ns.svc.cluster.local"] {
        assert_eq!(known(&snapshot, name, Family::V4), plainly(&["10.10.0.1"]), "{name}");
    }
    assert_eq!(known(&snapshot, "far", Family::V4), None, "another namespace's short name");
    assert_eq!(known(&snapshot, "far.other", Family::V4), plainly(&["10.10.0.2"]));
    for name in ["", "nothing", "svc.other", "svc.ns.svc.example.com", "www.example.com"] {
        assert_eq!(known(&snapshot, name, Family::V4), None, "{name}");
    }
}

#[test]
fn name_with_a_search_domain_appended_is_an_alias_of_what_it_was() {
    let snapshot = snapshot([], [external("www.example.com", "10.10.0.1"), service("svc", "10.10.0.2")]);
    assert_eq!(known(&snapshot, "www.example.com", Family::V4), plainly(&["10.10.0.1"]));
    for suffix in ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local"] {
        let (alias, addresses) = known(&snapshot, &format!("www.example.com.{suffix}"), Family::V4).unwrap();
        assert_eq!((alias.as_deref(), addresses), (Some("www.example.com"), vec!["10.10.0.1".to_owned()]), "{suffix}");
    }
    let (alias, _) = known(&snapshot, "svc.ns.ns.svc.cluster.local", Family::V4).unwrap();
    assert_eq!(alias.as_deref(), Some("svc.ns"), "the stripped name, not its expansion");
}

#[test]
fn exact_name_wins_over_wildcards_and_longer_wildcards_over_shorter() {
    let services = [
        external("a.b.example.com", "10.10.0.1"),
        external("*.b.example.com", "10.10.0.2"),
        external("*.example.com", "10.10.0.3"),
    ];
    let snapshot = snapshot([], services);
    for (name, address) in [
        ("a.b.example.com", "10.10.0.1"),
        ("x.b.example.com", "10.10.0.2"),
        ("x.y.b.example.com", "10.10.0.2"),
        ("b.example.com", "10.10.0.3"),
        ("x.example.com", "10.10.0.3"),
    ] {
        assert_eq!(known(&snapshot, name, Family::V4), plainly(&[address]), "{name}");
    }
    assert_eq!(known(&snapshot, "example.com", Family::V4), None);
    let through_search = known(&snapshot, "x.example.com.ns.svc.cluster.local", Family::V4);
    assert_eq!(through_search, plainly(&["10.10.0.3"]), "a wildcard keeps the queried name");
}

#[test]
fn known_name_of_another_family_has_no_addresses_but_is_not_forwarded() {
    let mut dual = service("dual", "10.10.0.2");
    dual.vips.push(on("", "fd10::2"));
    let families = |ip_families| snapshot([], [service("svc", "10.10.0.1"), Service { ip_families, ..dual.clone() }]);
    assert_eq!(known(&families(IpFamilies::Dual), "svc", Family::V6), plainly(&[]));
    assert_eq!(known(&families(IpFamilies::Dual), "dual", Family::V6), plainly(&["fd10::2"]));
    assert_eq!(known(&families(IpFamilies::Ipv4Only), "dual", Family::V6), plainly(&[]));
    assert_eq!(known(&families(IpFamilies::Ipv6Only), "dual", Family::V4), plainly(&[]));
    let names = Names { ipv6: false, ..Names::default() };
    let snapshot = families(IpFamilies::Dual);
    let client = pod("client", "10.0.0.1");
    let answered = answer(&snapshot, &names, &client, "dual", Family::V6, &mut Rng::from_number(1));
    assert!(matches!(answered, Answer::Known { addresses, .. } if addresses.is_empty()));
}

#[test]
fn headless_service_of_the_cluster_means_its_endpoints() {
    let mut sick = serving(pod("sick", "10.0.0.4"), "svc", &[]);
    sick.status = HealthStatus::Unhealthy;
    let mut far = serving(pod("far", "10.0.0.5"), "svc", &[]);
    far.network = "far".into();
    let mut dual = serving(pod("dual", "10.0.0.2"), "svc", &[]);
    dual.addresses.push("fd00::2".parse().unwrap());
    let workloads = [dual, serving(pod("plain", "10.0.0.3"), "svc", &[]), sick, far];
    let with = |load_balancing| snapshot(workloads.clone(), [Service { load_balancing, ..service("svc", "") }]);
    assert_eq!(known(&with(None), "svc", Family::V4), plainly(&["10.0.0.2", "10.0.0.3"]));
    assert_eq!(known(&with(None), "svc", Family::V6), plainly(&["fd00::2"]));
    let all = LoadBalancing {
        routing_preference: vec![],
        mode: LoadBalancingMode::Unspecified,
        health_policy: HealthPolicy::AllowAll,
    };
    assert_eq!(known(&with(Some(all)), "svc", Family::V4), plainly(&["10.0.0.2", "10.0.0.3", "10.0.0.4"]));
    assert_eq!(known(&with(None), "plain.svc", Family::V4), None, "names of single pods are the upstream's");
}

#[test]
fn other_services_without_vips_are_forwarded() {
    let mut blocks = external("blocks.example.com", "");
    blocks.cidr_vips = vec![CidrVip { base: on("", "10.20.0.0"), prefix_length: 16 }];
    let snapshot = snapshot([], [external("plain.example.com", ""), blocks]);
    assert_eq!(known(&snapshot, "plain.example.com", Family::V4), None);
    assert_eq!(known(&snapshot, "blocks.example.com", Family::V4), None);
}

#[test]
fn service_that_is_not_ours_does_not_hide_one_that_is() {
    let mut second = external("www.example.com", "10.10.0.1");
    second.key.namespace = "zz".into();
    let snapshot = snapshot([], [external("www.example.com", ""), second]);
    assert_eq!(known(&snapshot, "www.example.com", Family::V4), plainly(&["10.10.0.1"]));
}

#[test]
fn hidden_service_is_forwarded_and_the_clients_own_wins() {
    let in_namespace = |namespace: &str, vip| {
        let mut service = external("www.example.com", vip);
        service.key.namespace = namespace.into();
        service
    };
    let hidden = Service { visibility: Visibility::Namespace, ..in_namespace("other", "10.10.0.1") };
    assert_eq!(known(&snapshot([], [hidden]), "www.example.com", Family::V4), None);
    let both = snapshot([], [in_namespace("a", "10.10.0.1"), in_namespace("ns", "10.10.0.2")]);
    assert_eq!(known(&both, "www.example.com", Family::V4), plainly(&["10.10.0.2"]));
}

#[test]
fn vips_of_other_networks_are_left_out() {
    let mut svc = service("svc", "10.10.0.1");
    svc.vips.push(on("far", "10.99.0.1"));
    assert_eq!(known(&snapshot([], [svc]), "svc", Family::V4), plainly(&["10.10.0.1"]));
}

#[test]
fn addresses_are_shuffled_by_the_dice_alone() {
    let server = |index: u8| serving(pod(&format!("s{index}"), &format!("10.0.1.{index}")), "svc", &[]);
    let snapshot = snapshot((0..20).map(server), [service("svc", "")]);
    let order = |seed| {
        let client = pod("client", "10.0.0.1");
        match answer(&snapshot, &Names::default(), &client, "svc", Family::V4, &mut Rng::from_number(seed)) {
            Answer::Known { addresses, .. } => addresses,
            Answer::Forward => Vec::new(),
        }
    };
    assert_eq!(order(1).len(), 20);
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}
