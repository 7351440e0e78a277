use super::*;
use crate::state::ServicePort;
use crate::state::fixture::*;

const LOCAL: &str = "10.0.0.2:15008";

/// The pod that serves, as most tests want it.
fn server() -> Workload {
    serving(pod("server", "10.0.0.2"), "svc", &[])
}

fn connect<'a>(workload: &'a Workload, authority: &'a str) -> InboundConnect<'a> {
    InboundConnect {
        workload,
        peer: at("10.0.0.1:41000"),
        local: at(LOCAL),
        authority,
        forwarded_host: None,
        forwarded_network: None,
        network: "",
        localhost_tunnel: true,
    }
}

fn to(snapshot: &Snapshot, workload: &Workload, authority: &str) -> Result<Admission, AdmitError> {
    admit(snapshot, &connect(workload, authority))
}

fn refused(result: Result<Admission, AdmitError>) -> (u16, Reason) {
    let error = result.expect_err("must be refused");
    (error.status, error.reason)
}

/// A snapshot of `workload`, of `svc` (80 → 8080) and of `others`.
fn around(workload: &Workload, others: impl IntoIterator<Item = Workload>) -> Arc<Snapshot> {
    snapshot(others.into_iter().chain([workload.clone()]), [service("svc", "10.10.0.1")])
}

#[test]
fn own_address_leads_to_the_pod() {
    let server = server();
    let admission = to(&around(&server, []), &server, "10.0.0.2:8080").unwrap();
    assert_eq!(admission.application, at("10.0.0.2:8080"));
    assert_eq!(admission.policy_destination, at("10.0.0.2:8080"));
    assert!(admission.preserve_source && admission.proxy_header.is_none());
    assert_eq!(admission.destination_service, Some(key("svc")));
}

#[test]
fn address_of_another_pod_is_an_ip_mismatch() {
    let server = server();
    let snapshot = around(&server, [pod("other", "10.0.0.9")]);
    let error = to(&snapshot, &server, "10.0.0.9:8080").unwrap_err();
    assert_eq!((error.status, error.reason), (400, Reason::IpMismatch));
    assert_eq!(error.text, "ip mismatch: 10.0.0.2 != 10.0.0.9");
    // Nor do unknown addresses, VIPs of our own services, or our address written otherwise.
    for authority in ["1.2.3.4:80", "10.10.0.1:80", "[::ffff:10.0.0.2]:8080", "127.0.0.1:8080"] {
        assert_eq!(refused(to(&snapshot, &server, authority)), (400, Reason::IpMismatch), "{authority}");
    }
}

#[test]
fn authority_that_cannot_be_read_is_a_bad_request() {
    let server = server();
    for authority in ["", "10.0.0.2", "svc", "10.0.0.2:0", "a b:80", "user@10.0.0.2:80"] {
        assert_eq!(refused(to(&around(&server, []), &server, authority)), (400, Reason::BadRequest), "{authority}");
    }
}

#[test]
fn proxy_ports_are_self_calls_by_address_and_by_hostname() {
    let mut server = server();
    server.services = serving(server.clone(), "svc", &[(80, 15006)]).services;
    let snapshot = around(&server, []);
    for authority in ["10.0.0.2:15001", "10.0.0.2:15006", "10.0.0.2:15008"] {
        assert_eq!(refused(to(&snapshot, &server, authority)), (503, Reason::SelfCall));
    }
    let authority = format!("{}:80", host("svc"));
    assert_eq!(refused(to(&snapshot, &server, &authority)), (503, Reason::SelfCall), "after the port is resolved");
    server.application_tunnel = tunnel(ApplicationProtocol::None, Some(15008));
    assert_eq!(refused(to(&snapshot, &server, "10.0.0.2:80")), (503, Reason::SelfCall), "after the tunnel's override");
}

#[test]
fn hostname_leads_to_the_endpoints_port() {
    let authority = format!("{}:80", host("svc"));
    let numeric = server();
    assert_eq!(to(&around(&numeric, []), &numeric, &authority).unwrap().application, at("10.0.0.2:8080"));
    let mapped = serving(pod("server", "10.0.0.2"), "svc", &[(80, 9090)]);
    let admission = to(&around(&mapped, []), &mapped, &authority).unwrap();
    assert_eq!((admission.application, admission.destination_service), (at("10.0.0.2:9090"), Some(key("svc"))));
}

#[test]
fn hostname_or_port_that_leads_nowhere_is_refused() {
    let server = server();
    let snapshot = around(&server, []);
    for authority in ["nothing.example:80".to_owned(), format!("{}:81", host("svc"))] {
        assert_eq!(refused(to(&snapshot, &server, &authority)), (503, Reason::NoNextHop), "{authority}");
    }
    let named = Service { ports: vec![ServicePort { service_port: 80, target_port: 0 }], ..service("svc", "") };
    let named = crate::state::fixture::snapshot([server.clone()], [named]);
    assert_eq!(refused(to(&named, &server, &format!("{}:80", host("svc")))), (503, Reason::NoNextHop));
}

#[test]
fn hostname_of_a_service_we_do_not_serve_is_refused() {
    let stranger = pod("server", "10.0.0.2");
    let authority = format!("{}:80", host("svc"));
    assert_eq!(refused(to(&around(&stranger, []), &stranger, &authority)), (503, Reason::NoNextHop));
}

#[test]
fn hostname_prefers_our_namespace() {
    let server = server();
    let mut foreign = service("svc", "");
    foreign.key.namespace = "another".into();
    foreign.ports[0].target_port = 1;
    let snapshot = snapshot([server.clone()], [foreign, service("svc", "")]);
    let admission = to(&snapshot, &server, &format!("{}:80", host("svc"))).unwrap();
    assert_eq!(admission.application, at("10.0.0.2:8080"));
}

#[test]
fn waypoint_is_reached_by_the_addresses_it_stands_for() {
    let waypoint = serving(pod("waypoint", "10.0.0.2"), "waypoint", &[]);
    let other = serving(pod("other", "10.0.0.9"), "other", &[]);
    let waypoint_service = service("waypoint", "10.10.0.9");
    let references = [by_address("10.10.0.9"), by_hostname("waypoint", 15008), by_address("10.0.0.2")];
    for reference in references {
        let svc = Service { waypoint: reference.clone(), ..service("svc", "10.10.0.1") };
        let backend = Workload { waypoint: reference, ..pod("backend", "10.0.0.5") };
        let snapshot =
            snapshot([waypoint.clone(), other.clone(), backend], [svc, waypoint_service.clone(), service("other", "")]);
        for authority in ["10.10.0.1:80", "10.0.0.5:80"] {
            let admission = to(&snapshot, &waypoint, authority).unwrap();
            assert_eq!(admission.application, at("10.0.0.2:80"), "our address, the authority's port");
            // The same request to a pod that is not that waypoint.
            let wrong = InboundConnect { local: at("10.0.0.9:15008"), ..connect(&other, authority) };
            assert_eq!(refused(admit(&snapshot, &wrong)), (400, Reason::IpMismatch));
        }
    }
}

#[test]
fn application_tunnel_takes_any_authority() {
    let mut sandwiched = server();
    sandwiched.application_tunnel = tunnel(ApplicationProtocol::None, None);
    let admission = to(&around(&sandwiched, []), &sandwiched, "1.2.3.4:8080").unwrap();
    assert_eq!((admission.application, admission.proxy_header), (at("10.0.0.2:8080"), None));
    assert!(admission.preserve_source);
    sandwiched.application_tunnel = tunnel(ApplicationProtocol::None, Some(15088));
    let admission = to(&around(&sandwiched, []), &sandwiched, "1.2.3.4:8080").unwrap();
    assert_eq!(admission.application, at("10.0.0.2:15088"));
}

#[test]
fn proxy_tunnel_names_the_authority_and_is_reached_over_loopback() {
    let mut sandwiched = pod("server", "10.0.0.2");
    sandwiched.application_tunnel = tunnel(ApplicationProtocol::Proxy, Some(15088));
    let snapshot = around(&sandwiched, []);
    let admission = to(&snapshot, &sandwiched, "10.10.0.1:80").unwrap();
    assert_eq!(admission.application, at("127.0.0.1:15088"));
    assert!(!admission.preserve_source);
    assert_eq!(admission.policy_destination, at("10.0.0.2:15088"), "policy does not see the loopback");
    assert_eq!(admission.proxy_header, Some(at("10.10.0.1:80")));
    let direct = InboundConnect { localhost_tunnel: false, ..connect(&sandwiched, "10.10.0.1:80") };
    let admission = admit(&snapshot, &direct).unwrap();
    assert_eq!((admission.application, admission.preserve_source), (at("10.0.0.2:15088"), true));
}

#[test]
fn proxy_tunnel_names_a_vip_for_a_hostname() {
    let mut sandwiched = pod("server", "10.0.0.2");
    sandwiched.application_tunnel = tunnel(ApplicationProtocol::Proxy, Some(15088));
    let authority = format!("{}:80", host("svc"));
    let header = |vips: &[(&str, &str)]| {
        let vips = vips.iter().map(|(network, address)| on(network, address)).collect();
        let snapshot = snapshot([sandwiched.clone()], [Service { vips, ..service("svc", "") }]);
        to(&snapshot, &sandwiched, &authority).map(|admission| admission.proxy_header)
    };
    assert_eq!(header(&[("", "fd10::1"), ("", "10.10.0.1")]), Ok(Some(at("10.10.0.1:80"))), "IPv4 first");
    assert_eq!(header(&[("far", "10.10.0.1"), ("", "fd10::1")]), Ok(Some(at("[fd10::1]:80"))), "our network first");
    assert_eq!(refused(header(&[]).map(|_| unreachable!())), (503, Reason::NoNextHop), "no VIP to name");
}

#[test]
fn source_is_known_by_address_unless_it_is_of_another_network() {
    let server = server();
    let snapshot = around(&server, [pod("client", "10.0.0.1")]);
    let source = |forwarded_network| {
        let inbound = InboundConnect { forwarded_network, network: "net", ..connect(&server, "10.0.0.2:80") };
        admit(&snapshot, &inbound).unwrap().source_workload.map(|workload| workload.name.to_string())
    };
    assert_eq!(source(None), None, "the lookup is in our own network");
    let source = |forwarded_network| {
        let inbound = InboundConnect { forwarded_network, ..connect(&server, "10.0.0.2:80") };
        admit(&snapshot, &inbound).unwrap().source_workload.map(|workload| workload.name.to_string())
    };
    assert_eq!(source(None).as_deref(), Some("client"));
    assert_eq!(source(Some("")).as_deref(), Some("client"));
    assert_eq!(source(Some("far")), None);
}

#[test]
fn network_names_are_compared_without_case() {
    let mut server = server();
    let mut client = pod("client", "10.0.0.1");
    (server.network, client.network) = ("Net".into(), "Net".into());
    let snapshot = around(&server, [client]);
    let inbound = InboundConnect { forwarded_network: Some("nET"), network: "Net", ..connect(&server, "10.0.0.2:80") };
    assert!(admit(&snapshot, &inbound).unwrap().source_workload.is_some());
}

#[test]
fn forwarded_host_is_believed_only_among_our_services() {
    let server = serving(server(), "twin", &[(80, 8080)]);
    let snapshot = snapshot([server.clone()], [service("svc", "10.10.0.1"), service("twin", "10.10.0.2")]);
    let chosen = |forwarded: Option<&str>, authority| {
        let inbound = InboundConnect { forwarded_host: forwarded, ..connect(&server, authority) };
        admit(&snapshot, &inbound).unwrap().destination_service
    };
    assert_eq!(chosen(Some(&host("twin")), "10.0.0.2:8080"), Some(key("twin")));
    assert_eq!(chosen(Some("bank.example"), "10.0.0.2:8080"), Some(key("svc")), "else the first that leads there");
    assert_eq!(chosen(None, "10.0.0.2:9999"), None);
}

#[test]
fn plaintext_goes_where_it_meant_to_but_never_to_the_proxy() {
    let server = server();
    let snapshot = around(&server, [pod("client", "10.0.0.1")]);
    let plain = |destination: &str| {
        let peer = at("10.0.0.1:41000");
        let inbound = InboundPlaintext { workload: &server, peer, original_destination: at(destination), network: "" };
        admit_plaintext(&snapshot, &inbound)
    };
    let admission = plain("10.0.0.2:8080").unwrap();
    assert_eq!((admission.application, admission.policy_destination), (at("10.0.0.2:8080"), at("10.0.0.2:8080")));
    assert_eq!(admission.destination_service, Some(key("svc")));
    assert_eq!(&*admission.source_workload.unwrap().name, "client");
    for port in ILLEGAL_PORTS {
        assert_eq!(plain(&format!("10.0.0.2:{port}")).unwrap_err().reason, Reason::SelfCall);
    }
}
