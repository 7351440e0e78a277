use std::time::Duration;

use proxy_core::host::Instant;
use proxy_core::state::{
    HealthPolicy, HealthStatus, IpFamilies, LoadBalancing, LoadBalancingMode, NetworkMode, PortMapping, RoutingScope,
    Service, ServicePort, TunnelProtocol, Workload,
};

use super::*;
use crate::cluster::{ApplyOptions, ClusterConfig, NodeConfig, ObjectName, Redirection, yaml};
use crate::control::Resources;

/// A cluster of these manifests after a virtual minute.
fn cluster(manifests: &str) -> Cluster {
    let node = |name: &str, zone: &str| NodeConfig {
        name: name.into(),
        region: "r".into(),
        zone: zone.into(),
        ..NodeConfig::default()
    };
    let nodes = vec![node("node-1", "a"), node("node-2", "b")];
    let mut cluster = Cluster::new(ClusterConfig { nodes, ..ClusterConfig::default() });
    let documents = yaml::parse("test.yaml", manifests).expect("YAML");
    cluster.apply(&documents, &ApplyOptions::default(), Instant::START).expect("manifests");
    settle(&mut cluster);
    cluster
}

fn settle(cluster: &mut Cluster) {
    while let Some(due) = cluster.next_deadline().filter(|due| *due <= Instant::START + Duration::from_secs(60)) {
        cluster.step(due);
    }
}

fn resources(manifests: &str) -> Resources {
    translate(&cluster(manifests)).resources
}

fn service(resources: &Resources, hostname: &str) -> Service {
    let found = resources.services().find(|service| &*service.key.hostname == hostname);
    (**found.unwrap_or_else(|| panic!("no service {hostname}"))).clone()
}

fn workload(resources: &Resources, name: &str) -> Workload {
    let found = resources.workloads().find(|workload| &*workload.name == name);
    (**found.unwrap_or_else(|| panic!("no workload {name}"))).clone()
}

fn ports(workload: &Workload, hostname: &str) -> Option<Vec<(u16, u16)>> {
    let (_, ports) = workload.services.iter().find(|(key, _)| &*key.hostname == hostname)?;
    Some(ports.iter().map(|PortMapping { service_port, target_port }| (*service_port, *target_port)).collect())
}

fn pod(name: &str, labels: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{{labels}}}}}\nspec:\n  nodeName: node-2\n  \
         containers: [{{name: c, image: i, ports: [{{containerPort: 8080, name: http}}]}}]\n{rest}\n"
    )
}

#[test]
fn a_pod_becomes_a_workload_with_upstreams_fields() {
    let resources = resources(&pod("web", "app: shop, version: v2", ""));
    let web = workload(&resources, "web");
    assert_eq!(&*web.uid, "Kubernetes//Pod/default/web");
    assert_eq!((&*web.namespace, &*web.node, &*web.cluster_id), ("default", "node-2", "Kubernetes"));
    assert_eq!((&*web.trust_domain, &*web.service_account), ("cluster.local", "default"));
    assert_eq!((&*web.canonical_name, &*web.canonical_revision, &*web.workload_name), ("shop", "v2", "web"));
    assert_eq!((&*web.locality.region, &*web.locality.zone), ("r", "b"));
    assert_eq!((web.status, web.network_mode, web.capacity), (HealthStatus::Healthy, NetworkMode::Standard, 1));
    assert_eq!(web.addresses.len(), 1);
}

#[test]
fn the_annotation_and_not_the_label_makes_a_workload_hbone() {
    let mut cluster = cluster(&pod("web", "istio.io/dataplane-mode: ambient", ""));
    let protocol = |cluster: &Cluster| workload(&translate(cluster).resources, "web").tunnel_protocol;
    assert_eq!(protocol(&cluster), TunnelProtocol::None);
    let name = ObjectName::new("default", "web");
    assert!(cluster.set_redirection(&name, Some(Redirection::Pending)));
    assert_eq!(protocol(&cluster), TunnelProtocol::None);
    assert!(cluster.set_redirection(&name, Some(Redirection::Enabled)));
    assert_eq!(protocol(&cluster), TunnelProtocol::Hbone);
    assert!(cluster.set_redirection(&name, None));
    assert_eq!(protocol(&cluster), TunnelProtocol::None);
}

#[test]
fn a_workload_that_says_it_tunnels_itself_is_hbone_without_annotation() {
    let resources = resources(&pod("web", "networking.istio.io/tunnel: http", ""));
    let web = workload(&resources, "web");
    assert_eq!((web.tunnel_protocol, web.native_tunnel), (TunnelProtocol::Hbone, true));
}

#[test]
fn unready_and_terminating_pods_are_sent_as_unhealthy_and_gone_ones_removed() {
    let mut cluster = cluster(&pod("web", "app: a", ""));
    let name = ObjectName::new("default", "web");
    let now = Instant::START + Duration::from_secs(60);
    assert!(cluster.set_ready(&name, false, now));
    assert_eq!(workload(&translate(&cluster).resources, "web").status, HealthStatus::Unhealthy);
    assert!(cluster.set_ready(&name, true, now));
    assert_eq!(workload(&translate(&cluster).resources, "web").status, HealthStatus::Healthy);
    let pod = crate::cluster::ObjectReference::new(crate::cluster::Kind::Pod, "default", "web");
    cluster.delete(&pod, None, now).expect("exists");
    cluster.step(now);
    assert_eq!(workload(&translate(&cluster).resources, "web").status, HealthStatus::Unhealthy);
    while let Some(due) = cluster.next_deadline() {
        cluster.step(due);
    }
    assert!(translate(&cluster).resources.workload("Kubernetes//Pod/default/web").is_none());
}

#[test]
fn host_network_pods_are_marked_so_that_their_address_is_nobodys() {
    let resources = resources(&pod("agent", "app: a", "  hostNetwork: true"));
    assert_eq!(workload(&resources, "agent").network_mode, NetworkMode::HostNetwork);
}

#[test]
fn owners_give_workloads_their_names() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  replicas: 1\n  \
        selector: {matchLabels: {x: y}}\n  template:\n    metadata: {labels: {x: y}}\n    \
        spec: {containers: [{name: c, image: i}]}\n";
    let translated = resources(deployment);
    let workload = translated.workloads().next().expect("a pod");
    assert_eq!((&*workload.workload_name, &*workload.canonical_name), ("shop", "shop"));
    assert_eq!(&*workload.canonical_revision, "latest");
}

#[test]
fn named_ports_resolve_by_pod_and_a_missing_name_drops_only_that_port() {
    let manifests = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  selector: {{app: a}}\n  ports:\n  \
         - {{name: one, port: 80, targetPort: http}}\n  - {{name: two, port: 81, targetPort: grpc}}\n  \
         - {{name: three, port: 82}}\n{}{}",
        pod("first", "app: a", ""),
        pod("second", "app: a", "").replace("8080, name: http", "9090, name: grpc"),
    );
    let resources = resources(&manifests);
    let hostname = "web.default.svc.cluster.local";
    assert_eq!(ports(&workload(&resources, "first"), hostname), Some(vec![(80, 8080), (82, 82)]));
    assert_eq!(ports(&workload(&resources, "second"), hostname), Some(vec![(81, 9090), (82, 82)]));
    let service = service(&resources, hostname);
    let named = |service_port, target_port| ServicePort { service_port, target_port };
    assert_eq!(service.ports, [named(80, 0), named(81, 0), named(82, 82)]);
    assert_eq!((service.vips.len(), service.ip_families, service.canonical), (1, IpFamilies::Ipv4Only, true));
}

#[test]
fn services_need_a_selector_of_the_pods_own_namespace() {
    let manifests = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: other}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: far, namespace: other}}\nspec: {{selector: {{app: a}}, ports: [{{port: 80}}]}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: none}}\nspec: {{ports: [{{port: 80}}]}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: headless}}\nspec: {{clusterIP: None, selector: {{app: a}}, ports: [{{port: 80}}]}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: alias}}\nspec: {{type: ExternalName, externalName: example.com}}\n{}",
        pod("web", "app: a", ""),
    );
    let resources = resources(&manifests);
    let web = workload(&resources, "web");
    let hostnames: Vec<&str> = web.services.keys().map(|key| &*key.hostname).collect();
    assert_eq!(hostnames, ["headless.default.svc.cluster.local"]);
    assert!(service(&resources, "headless.default.svc.cluster.local").vips.is_empty());
    assert!(resources.services().all(|service| &*service.name != "alias"));
}

#[test]
fn load_balancing_follows_policy_then_spec_then_annotations() {
    use RoutingScope::{Network, Node, Region, Subzone, Zone};
    let of = |spec: &str, annotations: &str, namespace: &str| {
        let manifests = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: n, annotations: {{{namespace}}}}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: s, namespace: n, annotations: {{{annotations}}}}}\n\
             spec: {{selector: {{a: b}}, ports: [{{port: 80}}]{spec}}}\n"
        );
        service(&resources(&manifests), "s.n.svc.cluster.local").load_balancing
    };
    let annotation = |value: &str| format!("networking.istio.io/traffic-distribution: {value}");
    let failover = |scopes: &[RoutingScope]| {
        Some(LoadBalancing {
            routing_preference: scopes.to_vec(),
            mode: LoadBalancingMode::Failover,
            health_policy: HealthPolicy::OnlyHealthy,
        })
    };
    let zone = failover(&[Network, Region, Zone]);
    let node = failover(&[Network, Region, Zone, Subzone, Node]);
    assert_eq!(of("", "", ""), None);
    assert_eq!(of(", trafficDistribution: PreferClose", "", ""), zone);
    assert_eq!(of(", trafficDistribution: PreferSameNode", &annotation("PreferClose"), ""), node);
    assert_eq!(of("", &annotation("preferclose"), &annotation("PreferSameNode")), zone);
    assert_eq!(of("", "", &annotation("PreferSameNode")), node);
    assert_eq!(of("", &annotation("nonsense"), ""), None);
    let strict = of(", internalTrafficPolicy: Local", &annotation("PreferClose"), "").expect("some");
    assert_eq!((strict.mode, strict.routing_preference), (LoadBalancingMode::Strict, vec![Node]));
    let unready = of(", publishNotReadyAddresses: true", "", "").expect("some");
    assert_eq!((unready.mode, unready.health_policy), (LoadBalancingMode::Unspecified, HealthPolicy::AllowAll));
}

#[test]
fn bare_slice_endpoints_are_host_network_workloads_joined_by_port_name() {
    let manifests = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec:\n  ports: [{name: sql, port: 3306}, {name: admin, port: 80}]\n---\n\
        apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: db-1, labels: {kubernetes.io/service-name: db}}\n\
        addressType: IPv4\nports: [{name: sql, port: 13306}]\nendpoints: [{addresses: [192.0.2.1]}, {addresses: [192.0.2.2], conditions: {ready: false}}]\n";
    let resources = resources(manifests);
    let uid = "Kubernetes/discovery.k8s.io/EndpointSlice/default/db-1/192.0.2.1";
    let endpoint = resources.workload(uid).expect("first endpoint");
    assert_eq!(ports(endpoint, "db.default.svc.cluster.local"), Some(vec![(3306, 13306)]));
    assert_eq!((endpoint.network_mode, endpoint.status), (NetworkMode::HostNetwork, HealthStatus::Healthy));
    let second = resources.workload("Kubernetes/discovery.k8s.io/EndpointSlice/default/db-1/192.0.2.2");
    assert_eq!(second.expect("second endpoint").status, HealthStatus::Unhealthy);
}

fn entry(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"
    )
}

#[test]
fn service_entries_become_services_and_workloads() {
    let manifests = entry(
        "ext",
        "hosts: [a.example, b.example]\n  addresses: [192.0.2.9, 198.51.100.77/24]\n  resolution: STATIC\n  \
         ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]\n  \
         endpoints: [{address: 203.0.113.1, ports: {http: 81}, weight: 5, locality: r/z/s}, {address: 203.0.113.2}]",
    );
    let resources = resources(&manifests);
    let a = service(&resources, "a.example");
    assert_eq!(a.vips.len(), 1);
    assert_eq!((a.cidr_vips[0].base.address.to_string(), a.cidr_vips[0].prefix_length), ("198.51.100.0".into(), 24));
    assert_eq!(a.ports, [ServicePort { service_port: 80, target_port: 8080 }]);
    let first = resources.workload("Kubernetes/networking.istio.io/ServiceEntry/default/ext/203.0.113.1").unwrap();
    assert_eq!(ports(first, "b.example"), Some(vec![(80, 81)]));
    assert_eq!((first.capacity, &*first.locality.subzone), (5, "s"));
    let second = resources.workload("Kubernetes/networking.istio.io/ServiceEntry/default/ext/203.0.113.2").unwrap();
    assert_eq!((ports(second, "a.example"), second.capacity), (Some(vec![(80, 8080)]), 1));
}

#[test]
fn resolution_none_passes_through_and_dns_resolves_each_host() {
    let none = entry(
        "any",
        "hosts: [x.example]\n  addresses: [192.0.2.0/24]\n  ports: [{number: 80, name: http, protocol: HTTP}]",
    );
    let balancing = service(&resources(&none), "x.example").load_balancing.expect("some");
    assert_eq!((balancing.mode, balancing.health_policy), (LoadBalancingMode::Passthrough, HealthPolicy::AllowAll));
    let dns = entry(
        "dns",
        "hosts: [x.example, y.example]\n  resolution: DNS\n  ports: [{number: 80, name: http, protocol: HTTP}]",
    );
    let resources = resources(&dns);
    let x = resources.workload("Kubernetes/networking.istio.io/ServiceEntry/default/dns/x.example").expect("implicit");
    assert_eq!((x.hostname.as_deref(), x.addresses.len()), (Some("x.example"), 0));
    assert_eq!((ports(x, "x.example"), ports(x, "y.example")), (Some(vec![(80, 80)]), None));
    assert_eq!(service(&resources, "x.example").vips.len(), 1, "an automatic address");
}

#[test]
fn among_equal_hosts_the_service_wins_then_the_oldest_entry() {
    let manifests = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{selector: {{a: b}}, ports: [{{port: 80}}]}}\n{}{}{}",
        entry(
            "copy",
            "hosts: [web.default.svc.cluster.local]\n  resolution: STATIC\n  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: 203.0.113.1}]"
        ),
        entry(
            "old",
            "hosts: [x.example]\n  resolution: STATIC\n  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: 203.0.113.2}]"
        ),
        entry(
            "new",
            "hosts: [x.example]\n  resolution: STATIC\n  ports: [{number: 80, name: http, protocol: HTTP}]\n  endpoints: [{address: 203.0.113.3}]"
        ),
    );
    let resources = resources(&manifests);
    assert_eq!(resources.services().filter(|service| &*service.key.hostname == "x.example").count(), 1);
    let uids: Vec<&str> = resources.workloads().map(|workload| &*workload.uid).collect();
    assert_eq!(uids, ["Kubernetes/networking.istio.io/ServiceEntry/default/old/203.0.113.2"]);
    assert_eq!(&*service(&resources, "web.default.svc.cluster.local").name, "web");
}

#[test]
fn entries_select_pods_and_workload_entries() {
    let manifests = format!(
        "{}---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: vm}}\nspec: {{address: 203.0.113.7, labels: {{app: a}}, serviceAccount: vm, ports: {{http: 8888}}}}\n{}",
        entry(
            "pick",
            "hosts: [x.example]\n  resolution: STATIC\n  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8000}]\n  workloadSelector: {labels: {app: a}}"
        ),
        pod("web", "app: a", ""),
    );
    let resources = resources(&manifests);
    assert_eq!(ports(&workload(&resources, "web"), "x.example"), Some(vec![(80, 8080)]));
    let vm = resources.workload("Kubernetes/networking.istio.io/WorkloadEntry/default/vm").expect("entry");
    assert_eq!(ports(vm, "x.example"), Some(vec![(80, 8888)]));
    assert_eq!((&*vm.service_account, vm.tunnel_protocol), ("vm", TunnelProtocol::None));
}

#[test]
fn workloads_name_selector_policies_and_only_those() {
    let policy = |name: &str, namespace: &str, rest: &str| {
        format!(
            "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{rest}}}\n"
        )
    };
    let selector = "selector: {matchLabels: {app: a}}, rules: [{}]";
    let manifests = format!(
        "{}{}{}{}{}{}",
        pod("web", "app: a", ""),
        policy("own", "default", selector),
        policy("root", "istio-system", selector),
        policy("wide", "default", "rules: [{}]"),
        policy("audit", "default", &format!("action: AUDIT, {selector}")),
        "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: {mtls: {mode: STRICT}}\n",
    );
    let resources = resources(&manifests);
    let keys: Vec<String> =
        workload(&resources, "web").authorization_policies.iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["default/own", "istio-system/istio_converted_static_strict", "istio-system/root"]);
    let sent: Vec<String> = resources.authorizations().map(|policy| policy.key.to_string()).collect();
    assert_eq!(
        sent,
        ["default/own", "default/wide", "istio-system/istio_converted_static_strict", "istio-system/root"]
    );
}

#[test]
fn equal_clusters_translate_equally() {
    let manifests = pod("web", "app: a", "");
    assert_eq!(resources(&manifests), resources(&manifests));
}

#[test]
fn virtual_services_list_ready_pods_and_refuse_without_any() {
    let manifests = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{clusterIP: 10.96.1.1, selector: {{app: a}}, ports: [{{port: 80, targetPort: http}}]}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: nobody}}\nspec: {{clusterIP: 10.96.1.2, selector: {{app: x}}, ports: [{{port: 80}}]}}\n{}",
        pod("web", "app: a", ""),
    );
    let mut cluster = cluster(&manifests);
    let address = cluster.pod(&ObjectName::new("default", "web")).unwrap().addresses[0];
    let table = virtual_services(&cluster);
    assert_eq!(table[&"10.96.1.1:80".parse().unwrap()], [std::net::SocketAddr::new(address, 8080)]);
    assert!(table[&"10.96.1.2:80".parse().unwrap()].is_empty());
    cluster.set_ready(&ObjectName::new("default", "web"), false, Instant::START + Duration::from_secs(60));
    assert!(virtual_services(&cluster)[&"10.96.1.1:80".parse().unwrap()].is_empty());
}
