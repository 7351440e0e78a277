mod gateways;
mod waypoints;

use super::*;
use crate::state::fixture::*;
use crate::state::{
    CidrVip, HealthPolicy, HealthStatus, IpFamilies, LoadBalancing, LoadBalancingMode, NetworkMode, RoutingScope,
    ServicePort,
};

const CLIENT: &str = "10.0.0.1";

fn source() -> Workload {
    pod("client", CLIENT)
}

fn plan_from(snapshot: &Snapshot, source: &Workload, destination: &str, seed: u64) -> Result<Plan, PlanError> {
    let client = source.addresses.first().copied().unwrap_or(at("10.0.0.1:1").ip());
    let outbound = Outbound { source, client, original_destination: at(destination), network: "" };
    plan(snapshot, &outbound, &mut Rng::from_number(seed))
}

fn plan_to(snapshot: &Snapshot, destination: &str) -> Result<Plan, PlanError> {
    plan_from(snapshot, &source(), destination, 1)
}

fn reason(result: Result<Plan, PlanError>) -> Reason {
    result.expect_err("must be refused").reason
}

/// Next hop, authority, names of the expected accounts.
fn hbone(plan: &Plan) -> (String, String, Vec<String>) {
    let Transport::Hbone(tunnel) = &plan.transport else { panic!("not HBONE: {plan:?}") };
    (plan.address().unwrap().to_string(), tunnel.authority.to_string(), accounts(tunnel))
}

fn accounts(tunnel: &Tunnel) -> Vec<String> {
    tunnel.expected.iter().map(|identity| identity.service_account.to_string()).collect()
}

fn is_passthrough(plan: &Plan, destination: &str) -> bool {
    plan.address() == Some(at(destination))
        && plan.transport == Transport::Tcp
        && plan.destination_workload.is_none()
        && plan.destination_service.is_none()
}

fn balanced(service: Service, mode: LoadBalancingMode, scopes: &[RoutingScope]) -> Service {
    let load_balancing =
        LoadBalancing { routing_preference: scopes.to_vec(), mode, health_policy: HealthPolicy::OnlyHealthy };
    Service { load_balancing: Some(load_balancing), ..service }
}

fn remote(mut workload: Workload, gateway: Option<GatewayAddress>) -> Workload {
    workload.network = "remote".into();
    workload.network_gateway = gateway;
    workload
}

#[test]
fn unknown_destination_passes_through() {
    assert!(is_passthrough(&plan_to(&snapshot([], []), "1.2.3.4:443").unwrap(), "1.2.3.4:443"));
}

#[test]
fn a_pods_own_address_on_proxy_ports_is_a_self_call_whatever_its_protocol() {
    let plain = Workload { tunnel_protocol: TunnelProtocol::None, ..source() };
    for known in [source(), plain] {
        let state = snapshot([known.clone()], []);
        for port in ILLEGAL_PORTS {
            let result = plan_from(&state, &known, &format!("{CLIENT}:{port}"), 1);
            assert_eq!(reason(result), Reason::SelfCall, "{:?} {port}", known.tunnel_protocol);
        }
        assert!(plan_from(&state, &known, &format!("{CLIENT}:8080"), 1).is_ok());
    }
}

#[test]
fn loopback_on_own_ports_is_a_self_call() {
    for destination in ["127.0.0.1:15001", "127.0.0.1:15006", "[::1]:15008", "[::ffff:127.0.0.1]:15008"] {
        assert_eq!(reason(plan_to(&snapshot([], []), destination)), Reason::SelfCall, "{destination}");
    }
    assert!(plan_to(&snapshot([], []), "127.0.0.1:8080").is_ok());
}

#[test]
fn protocol_decides_and_the_node_does_not() {
    for node in ["node-1", "node-2"] {
        let mut plain = plain_pod("plain", "10.0.0.2");
        let mut meshed = pod("meshed", "10.0.0.3");
        plain.node = node.into();
        meshed.node = node.into();
        let snapshot = snapshot([plain, meshed], []);
        let plan = plan_to(&snapshot, "10.0.0.2:80").unwrap();
        assert_eq!((plan.address(), &plan.transport, plan.hop), (Some(at("10.0.0.2:80")), &Transport::Tcp, Hop::Plain));
        assert_eq!(&*plan.destination_workload.unwrap().name, "plain");
        let plan = plan_to(&snapshot, "10.0.0.3:80").unwrap();
        assert_eq!(hbone(&plan), ("10.0.0.3:15008".into(), "10.0.0.3:80".into(), vec!["meshed".into()]));
    }
}

#[test]
fn vip_is_translated_to_endpoint_and_target_port() {
    let mut svc = service("svc", "10.10.0.1");
    svc.subject_alt_names = vec![Identity::new("cluster.local", "ns", "alias")];
    let snapshot = snapshot([serving(pod("server", "10.0.0.2"), "svc", &[])], [svc]);
    let plan = plan_to(&snapshot, "10.10.0.1:80").unwrap();
    assert_eq!(hbone(&plan), ("10.0.0.2:15008".into(), "10.0.0.2:8080".into(), vec!["alias".into(), "server".into()]));
    assert_eq!(plan.destination_service, Some(key("svc")));
    assert_eq!(plan.hop, Hop::Hbone);
}

#[test]
fn service_without_endpoints_or_without_the_port_fails() {
    let empty = snapshot([], [service("svc", "10.10.0.1")]);
    let error = plan_to(&empty, "10.10.0.1:80").unwrap_err();
    assert_eq!((error.reason, &*error.text), (Reason::NoHealthyUpstream, "no healthy upstream: 10.10.0.1:80"));
    let other_port = snapshot([serving(pod("server", "10.0.0.2"), "svc", &[])], [service("svc", "10.10.0.1")]);
    assert_eq!(reason(plan_to(&other_port, "10.10.0.1:81")), Reason::NoHealthyUpstream);
}

#[test]
fn endpoint_mapping_wins_over_target_port_and_named_ports_filter_endpoints() {
    let mut svc = service("svc", "10.10.0.1");
    svc.ports.push(ServicePort { service_port: 81, target_port: 0 });
    let workloads = [
        serving(pod("mapped", "10.0.0.2"), "svc", &[(80, 9090), (81, 9191)]),
        serving(pod("unmapped", "10.0.0.3"), "svc", &[]),
    ];
    let snapshot = snapshot(workloads, [svc]);
    for seed in 0..20 {
        let plan = plan_from(&snapshot, &source(), "10.10.0.1:81", seed).unwrap();
        assert_eq!(hbone(&plan).1, "10.0.0.2:9191", "only the endpoint that maps the named port");
        let authority = hbone(&plan_from(&snapshot, &source(), "10.10.0.1:80", seed).unwrap()).1;
        assert!(authority == "10.0.0.2:9090" || authority == "10.0.0.3:8080", "{authority}");
    }
}

#[test]
fn unhealthy_endpoints_count_only_if_the_service_allows_all() {
    let mut sick = serving(pod("server", "10.0.0.2"), "svc", &[]);
    sick.status = HealthStatus::Unhealthy;
    let healthy_only = snapshot([sick.clone()], [service("svc", "10.10.0.1")]);
    assert_eq!(reason(plan_to(&healthy_only, "10.10.0.1:80")), Reason::NoHealthyUpstream);
    let mut all = balanced(service("svc", "10.10.0.1"), LoadBalancingMode::Unspecified, &[]);
    all.load_balancing.as_mut().unwrap().health_policy = HealthPolicy::AllowAll;
    assert!(plan_to(&snapshot([sick], [all]), "10.10.0.1:80").is_ok());
}

#[test]
fn capacity_is_a_weight_and_zero_is_never_picked() {
    let weighted =
        |name: &str, address: &str, capacity| Workload { capacity, ..serving(pod(name, address), "svc", &[]) };
    let workloads = [weighted("a", "10.0.0.2", 3), weighted("b", "10.0.0.3", 1), weighted("c", "10.0.0.4", 0)];
    let some = snapshot(workloads.clone(), [service("svc", "10.10.0.1")]);
    let mut hits = [0; 3];
    for seed in 0..400 {
        let plan = plan_from(&some, &source(), "10.10.0.1:80", seed).unwrap();
        let name = plan.destination_workload.unwrap().name.clone();
        hits[usize::from(name.as_bytes()[0] - b'a')] += 1;
    }
    assert!((250..350).contains(&hits[0]) && hits[2] == 0, "{hits:?}");
    let none = workloads.map(|workload| Workload { capacity: 0, ..workload });
    let none = snapshot(none, [service("svc", "10.10.0.1")]);
    assert_eq!(reason(plan_to(&none, "10.10.0.1:80")), Reason::NoHealthyUpstream);
}

#[test]
fn host_network_workload_is_reached_through_its_service_only() {
    let mut agent = serving(pod("agent", "192.168.0.1"), "svc", &[]);
    agent.network_mode = NetworkMode::HostNetwork;
    let snapshot = snapshot([agent], [service("svc", "10.10.0.1")]);
    assert!(is_passthrough(&plan_to(&snapshot, "192.168.0.1:80").unwrap(), "192.168.0.1:80"));
    assert_eq!(hbone(&plan_to(&snapshot, "10.10.0.1:80").unwrap()).0, "192.168.0.1:15008");
}

#[test]
fn dialled_address_and_family_are_kept() {
    let mut dual = serving(pod("dual", "10.0.0.2"), "svc", &[]);
    dual.addresses.extend([at("[fd00::2]:1").ip(), at("[fd00::3]:1").ip()]);
    let mut svc = service("svc", "10.10.0.1");
    svc.vips.push(on("", "fd10::1"));
    let with_families = |ip_families| snapshot([dual.clone()], [Service { ip_families, ..svc.clone() }]);
    let authority = |families, destination| hbone(&plan_to(&with_families(families), destination).unwrap()).1;
    assert_eq!(authority(IpFamilies::Automatic, "[fd00::3]:80"), "[fd00::3]:80");
    assert_eq!(authority(IpFamilies::Automatic, "[fd10::1]:80"), "[fd00::2]:8080");
    assert_eq!(authority(IpFamilies::Automatic, "10.10.0.1:80"), "10.0.0.2:8080");
    assert_eq!(authority(IpFamilies::Ipv4Only, "[fd10::1]:80"), "10.0.0.2:8080");
    assert_eq!(authority(IpFamilies::Ipv6Only, "10.10.0.1:80"), "[fd00::2]:8080");
    dual.addresses.truncate(1);
    let v4_only = snapshot([dual], [Service { ip_families: IpFamilies::Ipv6Only, ..svc }]);
    assert_eq!(reason(plan_to(&v4_only, "10.10.0.1:80")), Reason::NoHealthyUpstream);
}

#[test]
fn workload_hostname_is_left_to_resolve_and_completes_the_authority() {
    let mut named = serving(pod("named", ""), "svc", &[]);
    named.hostname = Some("db.example".into());
    let snapshot = snapshot([named], [service("svc", "10.10.0.1")]);
    let mut plan = plan_to(&snapshot, "10.10.0.1:80").unwrap();
    assert_eq!(plan.address(), None);
    plan.resolve(at("5.6.7.8:1").ip());
    assert_eq!((hbone(&plan).0, hbone(&plan).1), ("5.6.7.8:15008".into(), "5.6.7.8:8080".into()));
}

#[test]
fn waypoint_that_nobody_can_reach_is_unknown() {
    let mut hidden = pod("hidden", "10.0.0.2");
    hidden.addresses.clear();
    // As a waypoint by hostname of a workload: a name, then no name.
    hidden.hostname = Some("wp.ns.svc.cluster.local".into());
    let mut server = pod("server", "10.0.0.3");
    server.waypoint = by_hostname("wp", 15008);
    assert!(plan_to(&snapshot([hidden, server.clone()], []), "10.0.0.3:80").is_ok());
    let unreachable = serving(pod("hidden", ""), "wp", &[]);
    let waypoint =
        Service { ports: vec![ServicePort { service_port: 15008, target_port: 15008 }], ..service("wp", "") };
    assert_eq!(reason(plan_to(&snapshot([unreachable, server], [waypoint]), "10.0.0.3:80")), Reason::UnknownWaypoint);
}

#[test]
fn passthrough_service_keeps_the_destination_unless_it_has_a_waypoint() {
    let svc = balanced(service("svc", "10.10.0.1"), LoadBalancingMode::Passthrough, &[]);
    let endpoint = serving(pod("server", "10.0.0.2"), "svc", &[]);
    let none = snapshot([endpoint.clone()], [svc.clone()]);
    assert!(is_passthrough(&plan_to(&none, "10.10.0.1:80").unwrap(), "10.10.0.1:80"));
    let with = Service { waypoint: by_address("10.0.0.9"), ..svc };
    let with = snapshot([endpoint, pod("waypoint", "10.0.0.9")], [with]);
    assert_eq!(hbone(&plan_to(&with, "10.10.0.1:80").unwrap()).0, "10.0.0.9:15008");
}

#[test]
fn passthrough_block_over_a_workload_leaves_the_protocol_to_the_workload() {
    let mut svc = balanced(service("svc", ""), LoadBalancingMode::Passthrough, &[]);
    svc.cidr_vips.push(CidrVip { base: on("", "10.0.0.0"), prefix_length: 24 });
    let snapshot = snapshot([pod("server", "10.0.0.2")], [svc]);
    assert_eq!(hbone(&plan_to(&snapshot, "10.0.0.2:80").unwrap()).1, "10.0.0.2:80");
    assert!(is_passthrough(&plan_to(&snapshot, "10.0.0.3:80").unwrap(), "10.0.0.3:80"));
}

#[test]
fn failover_counts_leading_scopes_and_strict_demands_all() {
    let endpoint = |name: &str, address: &str, region: &str, zone: &str| {
        let mut endpoint = serving(pod(name, address), "svc", &[]);
        (endpoint.locality.region, endpoint.locality.zone) = (region.into(), zone.into());
        endpoint
    };
    let workloads = [
        endpoint("same-zone-of-other-region", "10.0.0.2", "r2", "z1"),
        endpoint("same-region", "10.0.0.3", "r1", "z2"),
    ];
    let mut source = source();
    (source.locality.region, source.locality.zone) = ("r1".into(), "z1".into());
    let scopes = [RoutingScope::Region, RoutingScope::Zone];
    let with = |mode| snapshot(workloads.clone(), [balanced(service("svc", "10.10.0.1"), mode, &scopes)]);
    for seed in 0..20 {
        let plan = plan_from(&with(LoadBalancingMode::Failover), &source, "10.10.0.1:80", seed).unwrap();
        assert_eq!(&*plan.destination_workload.unwrap().name, "same-region", "counting stops at the first miss");
    }
    let strict = plan_from(&with(LoadBalancingMode::Strict), &source, "10.10.0.1:80", 1);
    assert_eq!(reason(strict), Reason::NoHealthyUpstream);
}

#[test]
fn same_dice_make_the_same_plan() {
    let server = |index: u8| serving(pod(&format!("s{index}"), &format!("10.0.1.{index}")), "svc", &[]);
    let snapshot = snapshot((0..50).map(server), [service("svc", "10.10.0.1")]);
    let run = || {
        let mut rng = Rng::from_number(7);
        let source = source();
        let client = source.addresses[0];
        let outbound = Outbound { source: &source, client, original_destination: at("10.10.0.1:80"), network: "" };
        (0..50).map(|_| plan(&snapshot, &outbound, &mut rng).unwrap()).collect::<Vec<_>>()
    };
    let plans = run();
    assert_eq!(plans, run());
    assert!(plans.iter().any(|plan| *plan != plans[0]), "one pick per connection");
}
