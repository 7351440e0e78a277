use super::*;

#[test]
fn remote_endpoint_without_gateway_is_refused() {
    let addressed = serving(remote(pod("server", "10.0.0.2"), None), "svc", &[]);
    let snapshot = snapshot([addressed], [service("svc", "10.10.0.1")]);
    assert_eq!(reason(plan_to(&snapshot, "10.10.0.1:80")), Reason::NoValidDestination);
    // Its own address means nothing in our network.
    assert!(is_passthrough(&plan_to(&snapshot, "10.0.0.2:80").unwrap(), "10.0.0.2:80"));
}

#[test]
fn remote_endpoint_is_reached_by_two_tunnels_that_name_the_service() {
    let mut svc = service("svc", "10.10.0.1");
    svc.subject_alt_names = vec![Identity::new("cluster.local", "ns", "published")];
    let mut gateway_service = service("gateway", "10.10.0.8");
    gateway_service.ports = vec![ServicePort { service_port: 15009, target_port: 15008 }];
    gateway_service.subject_alt_names = vec![Identity::new("cluster.local", "ns", "gateway-alias")];
    let instance = serving(pod("gateway", "10.0.0.8"), "gateway", &[]);
    for (reference, outer) in [
        (by_address("10.0.0.8"), vec!["gateway".to_owned()]),
        (by_hostname("gateway", 15009), vec!["gateway".to_owned(), "gateway-alias".to_owned()]),
    ] {
        let server = serving(remote(pod("server", ""), reference), "svc", &[]);
        let snapshot = snapshot([server, instance.clone()], [svc.clone(), gateway_service.clone()]);
        let plan = plan_to(&snapshot, "10.10.0.1:80").unwrap();
        let Transport::DoubleHbone { outer: to_gateway, inner } = &plan.transport else { panic!("{plan:?}") };
        assert_eq!(plan.address(), Some(at("10.0.0.8:15008")));
        let authority = format!("{}:80", host("svc"));
        assert_eq!((&*to_gateway.authority, &*inner.authority), (&*authority, &*authority));
        assert_eq!((accounts(to_gateway), accounts(inner)), (outer, vec!["published".to_owned()]));
        assert_eq!((plan.hop, plan.destination_service.clone()), (Hop::DoubleHbone, Some(key("svc"))));
        assert_eq!(&*plan.destination_workload.unwrap().name, "gateway");
    }
}

#[test]
fn remote_waypoint_is_reached_through_its_gateway_with_the_waypoints_published_identities() {
    let mut waypoint_service = service("waypoint", "10.10.0.9");
    waypoint_service.ports = vec![ServicePort { service_port: 15008, target_port: 15008 }];
    waypoint_service.subject_alt_names = vec![Identity::new("cluster.local", "ns", "waypoint-alias")];
    let waypoint = serving(remote(pod("waypoint", ""), by_address("10.0.0.8")), "waypoint", &[]);
    let svc = Service { waypoint: by_address("10.10.0.9"), ..service("svc", "10.10.0.1") };
    let snapshot = snapshot([waypoint, pod("gateway", "10.0.0.8")], [svc, waypoint_service]);
    let plan = plan_to(&snapshot, "10.10.0.1:80").unwrap();
    let Transport::DoubleHbone { outer, inner } = &plan.transport else { panic!("{plan:?}") };
    assert_eq!(&*outer.authority, format!("{}:80", host("svc")));
    assert_eq!((accounts(outer), accounts(inner)), (vec!["gateway".into()], vec!["waypoint-alias".into()]));
}

#[test]
fn unknown_gateway_is_refused() {
    let server = serving(remote(pod("server", ""), by_address("10.0.0.8")), "svc", &[]);
    let snapshot = snapshot([server], [service("svc", "10.10.0.1")]);
    assert_eq!(reason(plan_to(&snapshot, "10.10.0.1:80")), Reason::UnknownNetworkGateway);
}

#[test]
fn network_failover_stays_local_while_anything_local_is_healthy() {
    let scopes = [RoutingScope::Network, RoutingScope::Region, RoutingScope::Zone];
    let svc = balanced(service("svc", "10.10.0.1"), LoadBalancingMode::Failover, &scopes);
    let mut source = source();
    source.locality.region = "here".into();
    let mut near = serving(remote(pod("near", ""), by_address("10.0.0.8")), "svc", &[]);
    near.locality.region = "here".into();
    let far = serving(remote(pod("far", ""), by_address("10.0.0.8")), "svc", &[]);
    let mut local = serving(pod("local", "10.0.0.2"), "svc", &[]);
    local.locality.region = "elsewhere".into();
    let with =
        |local: Workload| snapshot([near.clone(), far.clone(), local, pod("gateway", "10.0.0.8")], [svc.clone()]);
    for seed in 0..20 {
        let plan = plan_from(&with(local.clone()), &source, "10.10.0.1:80", seed).unwrap();
        assert_eq!(hbone(&plan).1, "10.0.0.2:8080");
    }
    local.status = HealthStatus::Unhealthy;
    let plan = plan_from(&with(local), &source, "10.10.0.1:80", 1).unwrap();
    assert_eq!(plan.hop, Hop::DoubleHbone);
}
