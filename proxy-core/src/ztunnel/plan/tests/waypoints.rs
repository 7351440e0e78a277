use super::*;
use crate::state::{ApplicationProtocol, WeightedWaypoint};

#[test]
fn service_waypoint_hears_the_vip_untranslated() {
    let mut waypoint_service = service("waypoint", "10.10.0.9");
    waypoint_service.ports = vec![ServicePort { service_port: 15008, target_port: 15008 }];
    waypoint_service.subject_alt_names = vec![Identity::new("cluster.local", "ns", "alias")];
    let waypoint = serving(pod("waypoint", "10.0.0.9"), "waypoint", &[(80, 1234)]);
    for reference in [by_address("10.10.0.9"), by_hostname("waypoint", 15008)] {
        let svc = Service { waypoint: reference, ..service("svc", "10.10.0.1") };
        let server = serving(pod("server", "10.0.0.2"), "svc", &[]);
        let snapshot = snapshot([server, waypoint.clone()], [svc, waypoint_service.clone()]);
        let plan = plan_to(&snapshot, "10.10.0.1:80").unwrap();
        let expected = vec!["alias".to_owned(), "waypoint".to_owned()];
        assert_eq!(hbone(&plan), ("10.0.0.9:15008".into(), "10.10.0.1:80".into(), expected));
        assert_eq!(plan.hop, Hop::Waypoint);
        assert_eq!(plan.destination_service, Some(key("svc")), "the service the application meant");
        assert_eq!(&*plan.destination_workload.unwrap().name, "waypoint", "the next hop");
        // Even the waypoint itself goes through it.
        let own = plan_from(&snapshot, &waypoint, "10.10.0.1:80", 1).unwrap();
        assert_eq!(own.hop, Hop::Waypoint);
        // And pod-addressed traffic does not.
        assert_eq!(plan_to(&snapshot, "10.0.0.2:80").unwrap().hop, Hop::Hbone);
    }
}

#[test]
fn waypoint_service_without_ports_works_through_its_application_tunnel() {
    let portless = Service { ports: vec![], ..service("waypoint", "10.10.0.9") };
    let mut instance = serving(pod("waypoint", "10.0.0.9"), "waypoint", &[]);
    let svc = Service { waypoint: by_address("10.10.0.9"), ..service("svc", "10.10.0.1") };
    let without = snapshot([instance.clone()], [portless.clone(), svc.clone()]);
    assert_eq!(reason(plan_to(&without, "10.10.0.1:80")), Reason::UnknownWaypoint);
    instance.application_tunnel = tunnel(ApplicationProtocol::Proxy, Some(15088));
    let with = snapshot([instance], [portless, svc]);
    assert_eq!(hbone(&plan_to(&with, "10.10.0.1:80").unwrap()).0, "10.0.0.9:15008");
}

#[test]
fn unknown_waypoint_is_refused_and_never_gone_around() {
    let server = serving(pod("server", "10.0.0.2"), "svc", &[]);
    for waypoint in [by_address("10.0.0.9"), by_hostname("nothing", 15008)] {
        let svc = Service { waypoint: waypoint.clone(), ..service("svc", "10.10.0.1") };
        let via_service = snapshot([server.clone()], [svc]);
        assert_eq!(reason(plan_to(&via_service, "10.10.0.1:80")), Reason::UnknownWaypoint);
        let via_workload = snapshot([Workload { waypoint, ..server.clone() }], []);
        assert_eq!(reason(plan_to(&via_workload, "10.0.0.2:80")), Reason::UnknownWaypoint);
    }
}

#[test]
fn weighted_waypoints_are_sampled_and_all_zero_means_the_single_one() {
    let weighted = |weights: [u32; 2]| {
        let destinations = ["10.0.0.7", "10.0.0.8"].map(|address| by_address(address).unwrap());
        let entries = destinations.into_iter().zip(weights);
        let weighted_waypoints =
            entries.map(|(destination, weight)| WeightedWaypoint { destination, weight }).collect();
        let svc = Service { waypoint: by_address("10.0.0.9"), weighted_waypoints, ..service("svc", "10.10.0.1") };
        snapshot([pod("a", "10.0.0.7"), pod("b", "10.0.0.8"), pod("c", "10.0.0.9")], [svc])
    };
    let count = |snapshot: &Snapshot, address: &str| {
        let hit = |seed: &u64| hbone(&plan_from(snapshot, &source(), "10.10.0.1:80", *seed).unwrap()).0 == address;
        (0..200).filter(hit).count()
    };
    let snapshot = weighted([3, 1]);
    assert!((120..180).contains(&count(&snapshot, "10.0.0.7:15008")));
    assert_eq!(count(&snapshot, "10.0.0.9:15008"), 0);
    assert_eq!(count(&weighted([0, 5]), "10.0.0.8:15008"), 200);
    assert_eq!(count(&weighted([0, 0]), "10.0.0.9:15008"), 200);
}

#[test]
fn workload_waypoint_serves_pod_addressed_traffic_only() {
    let mut server = serving(pod("server", "10.0.0.2"), "svc", &[]);
    server.waypoint = by_address("10.0.0.9");
    let snapshot = snapshot([server, pod("waypoint", "10.0.0.9")], [service("svc", "10.10.0.1")]);
    let plan = plan_to(&snapshot, "10.0.0.2:80").unwrap();
    assert_eq!(hbone(&plan), ("10.0.0.9:15008".into(), "10.0.0.2:80".into(), vec!["waypoint".into()]));
    assert_eq!(&*plan.destination_workload.unwrap().name, "waypoint");
    assert_eq!(plan_to(&snapshot, "10.10.0.1:80").unwrap().hop, Hop::Hbone);
}

#[test]
fn source_waypoint_is_ignored() {
    let snapshot = snapshot([pod("server", "10.0.0.2"), pod("waypoint", "10.0.0.9")], []);
    let source = Workload { waypoint: by_address("10.0.0.9"), ..source() };
    assert_eq!(plan_from(&snapshot, &source, "10.0.0.2:80", 1).unwrap().hop, Hop::Hbone);
}

#[test]
fn waypoint_reaches_its_workload_directly_but_an_impostor_does_not() {
    let mut server = pod("server", "10.0.0.2");
    server.waypoint = by_address("10.0.0.9");
    let waypoint = pod("waypoint", "10.0.0.9");
    let snapshot = snapshot([server, waypoint.clone()], []);
    let hop = |source: &Workload| plan_from(&snapshot, source, "10.0.0.2:80", 1).unwrap().hop;
    assert_eq!(hop(&waypoint), Hop::Hbone);
    assert_eq!(hop(&pod("waypoint", CLIENT)), Hop::Waypoint, "right identity, wrong address");
    assert_eq!(hop(&pod("client", "10.0.0.9")), Hop::Waypoint, "right address, wrong identity");
}

#[test]
fn waypoint_address_may_change_the_family_and_its_hostname_follows_the_client() {
    let mut server = pod("server", "fd00::2");
    server.waypoint = by_address("10.0.0.9");
    let mut waypoint = pod("waypoint", "10.0.0.9");
    let by_ip = snapshot([server.clone(), waypoint.clone()], []);
    assert_eq!(hbone(&plan_to(&by_ip, "[fd00::2]:80").unwrap()).0, "10.0.0.9:15008");
    server.waypoint = by_hostname("waypoint", 15008);
    waypoint.addresses.push(at("[fd00::9]:1").ip());
    let service =
        Service { ports: vec![ServicePort { service_port: 15008, target_port: 15008 }], ..service("waypoint", "") };
    let by_name = snapshot([server, serving(waypoint, "waypoint", &[])], [service]);
    assert_eq!(hbone(&plan_to(&by_name, "[fd00::2]:80").unwrap()).0, "[fd00::9]:15008");
}
