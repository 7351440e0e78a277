//! What waypoints are told, from manifests.

use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;
use proxy_core::route::{BackendTarget, Forward, GatewayKey, HttpRoute, RouteAction, ServiceRoutes, WaypointSettings};
use proxy_core::state::{NamespacedHostname, Resource, ResourceName, Service};

use crate::cluster::{Cluster, ClusterConfig, ObjectName};
use crate::control::{Resources, translate};

mod istio;

/// A waypoint `waypoint` in namespace `shop`, which uses it.
pub(crate) const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/use-waypoint: waypoint}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: next, namespace: shop}
spec: {selector: {app: next}, ports: [{name: http, port: 80}]}
";

/// A cluster of these manifests in which every waypoint has become ready.
pub(crate) fn cluster(manifests: &str) -> Cluster {
    let mut cluster = Cluster::new(ClusterConfig::default());
    crate::cluster::testing::apply(&mut cluster, manifests, Instant::START);
    let mut now = Instant::START + Duration::from_secs(10);
    cluster.step(now);
    let waypoints: Vec<ObjectName> =
        cluster.pods().filter(|pod| pod.is_waypoint()).map(|pod| pod.meta.key.clone()).collect();
    for pod in waypoints {
        now += Duration::from_secs(1);
        cluster.set_ready(&pod, true, now);
        cluster.step(now);
    }
    cluster
}

pub(super) fn resources(manifests: &str) -> Resources {
    translate(&cluster(manifests)).resources
}

pub(super) fn key(namespace: &str, name: &str) -> NamespacedHostname {
    NamespacedHostname::new(namespace, &format!("{name}.{namespace}.svc.cluster.local"))
}

pub(super) fn service(resources: &Resources, namespace: &str, name: &str) -> Arc<Service> {
    match resources.get(&ResourceName::Service(key(namespace, name))) {
        Some(Resource::Service(service)) => service.clone(),
        _ => panic!("no service {namespace}/{name}"),
    }
}

pub(super) fn routes(resources: &Resources, name: &str) -> Arc<ServiceRoutes> {
    let waypoint = GatewayKey::new("shop", "waypoint");
    match resources.get_for(&waypoint, &ResourceName::ServiceRoutes(key("shop", name))) {
        Some(Resource::ServiceRoutes(routes)) => routes.clone(),
        _ => panic!("the waypoint is not told of {name}"),
    }
}

pub(super) fn settings(resources: &Resources) -> Arc<WaypointSettings> {
    let waypoint = GatewayKey::new("shop", "waypoint");
    match resources.get_for(&waypoint, &ResourceName::WaypointSettings(waypoint.clone())) {
        Some(Resource::WaypointSettings(settings)) => settings.clone(),
        _ => panic!("no settings"),
    }
}

#[test]
fn services_of_a_namespace_that_uses_a_waypoint_are_behind_it() {
    let resources = resources(SHOP);
    let waypoint = service(&resources, "shop", "web").waypoint.clone().expect("a waypoint");
    assert_eq!(waypoint.to_string(), "shop/waypoint.shop.svc.cluster.local:15008");
    assert_eq!(service(&resources, "shop", "waypoint").waypoint, None, "never the waypoint itself");
    assert_eq!(routes(&resources, "web").ports.keys().copied().collect::<Vec<_>>(), [80, 9000]);
}

fn route(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  parentRefs: [{{group: '', kind: Service, name: web, namespace: shop}}]\n  {spec}\n"
    )
}

/// The entries of the producer's routes of `web` on port 80.
fn entries(manifests: &str) -> Vec<Arc<HttpRoute>> {
    let resources = resources(&format!("{SHOP}{manifests}"));
    let routes = routes(&resources, "web");
    routes.ports[&80].http.as_ref().map(|http| http.entries().to_vec()).unwrap_or_default()
}

fn forward(entry: &HttpRoute) -> &Forward {
    match &entry.action {
        RouteAction::Forward(forward) => forward,
        other => panic!("not forwarded: {other:?}"),
    }
}

#[test]
fn a_service_waypoint_is_for_services_and_a_workload_waypoint_for_pods() {
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: {app: web}}\nspec: {containers: [{name: c, image: i}]}\n";
    let of = |waypoint_for: &str| {
        let gateway = format!("metadata: {{name: waypoint, namespace: shop, labels: {{{waypoint_for}}}}}");
        let manifests = SHOP.replacen("metadata: {name: waypoint, namespace: shop}", &gateway, 1);
        let resources = resources(&format!("{manifests}{pod}"));
        let workload = resources.workload("Kubernetes//Pod/shop/web").expect("the pod").waypoint.is_some();
        (service(&resources, "shop", "web").waypoint.is_some(), workload)
    };
    assert_eq!(of(""), (true, false));
    assert_eq!(of("istio.io/waypoint-for: service"), (true, false));
    assert_eq!(of("istio.io/waypoint-for: workload"), (false, true));
    assert_eq!(of("istio.io/waypoint-for: all"), (true, true));
    assert_eq!(of("istio.io/waypoint-for: none"), (false, false));
}

#[test]
fn waypoint_pods_are_behind_no_waypoint() {
    let manifests = SHOP.replacen(
        "metadata: {name: waypoint, namespace: shop}",
        "metadata: {name: waypoint, namespace: shop, labels: {istio.io/waypoint-for: all}}",
        1,
    );
    let resources = resources(&manifests);
    let instance = resources.workloads().find(|workload| workload.name.starts_with("waypoint-")).expect("an instance");
    assert_eq!(instance.waypoint, None);
    assert_eq!(&*instance.service_account, "waypoint");
}

#[test]
fn an_object_that_names_no_usable_waypoint_has_none_and_not_its_namespaces() {
    let of = |labels: &str| {
        let own = format!("metadata: {{name: web, namespace: shop, labels: {{{labels}}}}}");
        let manifests = SHOP.replacen("metadata: {name: web, namespace: shop}", &own, 1);
        service(&resources(&manifests), "shop", "web").waypoint.is_some()
    };
    assert!(of("app: web"));
    assert!(of("istio.io/use-waypoint: waypoint"));
    assert!(!of("istio.io/use-waypoint: nobody"));
    assert!(!of("istio.io/use-waypoint: none"));
    assert!(!of("istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: elsewhere"));
}

#[test]
fn another_namespace_is_admitted_by_the_listeners_allowed_routes_only() {
    let other = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: other, labels: {team: a, istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: shop}}\n---\n\
        apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: other}\nspec: {selector: {a: b}, ports: [{port: 80}]}\n";
    let of = |allowed: &str| {
        let listener = format!("{{name: mesh, port: 15008, protocol: HBONE{allowed}}}");
        let manifests = SHOP.replacen("{name: mesh, port: 15008, protocol: HBONE}", &listener, 1);
        service(&resources(&format!("{manifests}{other}")), "other", "api").waypoint.is_some()
    };
    assert!(!of(""));
    assert!(!of(", allowedRoutes: {namespaces: {from: Same}}"));
    assert!(of(", allowedRoutes: {namespaces: {from: All}}"));
    assert!(of(", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: a}}}}"));
    assert!(!of(", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: b}}}}"));
}

#[test]
fn a_canary_gets_its_weight_and_a_bad_one_nothing() {
    let canary = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: canary, namespace: shop}\n\
        spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}\n";
    let of = |labels: &str, weight: &str| -> Vec<u32> {
        let own = format!(
            "metadata: {{name: web, namespace: shop, labels: {{{labels}}}, annotations: {{istio.io/use-waypoint-canary-weight: '{weight}'}}}}"
        );
        let manifests = SHOP.replacen("metadata: {name: web, namespace: shop}", &own, 1);
        let service = service(&resources(&format!("{manifests}{canary}")), "shop", "web");
        assert!(service.waypoint.is_some());
        service.weighted_waypoints.iter().map(|share| share.weight).collect()
    };
    assert_eq!(of("istio.io/use-waypoint-canary: canary", "20"), [80, 20]);
    assert!(of("istio.io/use-waypoint-canary: canary", "120").is_empty());
    assert!(of("istio.io/use-waypoint-canary: waypoint", "20").is_empty());
    assert!(of("istio.io/use-waypoint-canary: nobody", "20").is_empty());
    assert!(of("istio.io/use-waypoint: waypoint", "20").is_empty());
}

#[test]
fn routes_are_by_service_port_and_so_are_the_policies_of_a_waypoint() {
    let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\n\
        spec: {targetRefs: [{kind: Service, name: web}], rules: [{to: [{operation: {ports: ['80']}}]}]}\n";
    let resources = resources(&format!("{SHOP}{policy}"));
    let routes = routes(&resources, "web");
    assert!(routes.ports.contains_key(&80) && !routes.ports.contains_key(&8080));
    assert_eq!(routes.policies.policies[0].rules[0].to[0].ports.any, [80]);
    assert_eq!(resources.authorizations().count(), 0, "ztunnels are not told of it");
}

#[test]
fn policies_by_selector_are_not_for_waypoints_and_those_of_the_class_are_for_all() {
    let policy = |name: &str, namespace: &str, spec: &str| {
        format!(
            "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"
        )
    };
    let class = "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]";
    let manifests = format!(
        "{SHOP}{}{}{}{}",
        policy("wide", "shop", "rules: [{}]"),
        policy("gateway", "shop", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}]"),
        policy("class", "istio-system", class),
        policy("elsewhere", "default", class),
    );
    let resources = resources(&manifests);
    let names: Vec<String> =
        settings(&resources).policies.policies.iter().map(|policy| policy.key.to_string()).collect();
    assert_eq!(names, ["istio-system/class", "shop/gateway"]);
    assert!(routes(&resources, "web").policies.policies.is_empty());
}

#[test]
fn principals_stand_for_those_of_every_alias_of_the_trust_domain() {
    let options = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
        data: {mesh: 'trustDomainAliases: [old.example]'}\n";
    let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\n\
        spec: {targetRefs: [{kind: Service, name: web}], rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b]}}]}]}\n";
    let resources = resources(&format!("{SHOP}{options}{policy}"));
    let principals = &routes(&resources, "web").policies.policies[0].rules[0].from[0].principals.any;
    let texts: Vec<String> = principals.iter().map(|one| format!("{one:?}")).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts.iter().all(|text| !text.contains("spiffe://")) && texts[1].contains("old.example/ns/a/sa/b"));
}

#[test]
fn without_a_route_all_goes_to_the_service_and_with_one_nothing_but_what_matches() {
    let implicit = resources(SHOP);
    assert!(routes(&implicit, "web").ports[&80].http.is_none());
    let some = entries(&route(
        "r",
        "shop",
        "rules: [{matches: [{path: {value: /a}}], backendRefs: [{name: next, port: 80}]}]",
    ));
    assert_eq!(some.len(), 1, "what does not match it is answered 404");
    let other_port = "rules: [{backendRefs: [{name: next, port: 80}]}]".to_owned();
    let with_port = route("r", "shop", &other_port).replace("namespace: shop}]", "namespace: shop, port: 9000}]");
    assert!(entries(&with_port).is_empty());
}

#[test]
fn invalid_backends_keep_their_share_and_zero_weights_stay_zero() {
    let some = entries(&route(
        "r",
        "shop",
        "rules: [{backendRefs: [{name: next, port: 80, weight: 3}, {name: nobody, port: 80, weight: 7}, {name: next, port: 80, weight: 0}]}]",
    ));
    let backends = &forward(&some[0]).backends;
    let told: Vec<(u32, bool)> =
        backends.iter().map(|one| (one.weight, matches!(one.target, BackendTarget::Invalid(_)))).collect();
    assert_eq!(told, [(3, false), (7, true), (0, false)]);
}

#[test]
fn the_more_specific_entry_comes_first_whatever_the_order_of_writing() {
    let some = entries(&route(
        "r",
        "shop",
        "rules: [{matches: [{}, {path: {value: /a}}, {path: {value: /abc}}, {path: {type: Exact, value: /a}}, \
         {path: {value: /a}, method: GET}, {path: {value: /a}, headers: [{name: x, value: y}]}, \
         {path: {value: /a}, queryParams: [{name: q, value: y}]}, {path: {type: RegularExpression, value: /a.*}}], \
         backendRefs: [{name: next, port: 80}]}]",
    ));
    let order: Vec<usize> = some.iter().map(|entry| entry.origin.entry).collect();
    assert_eq!(order, [3, 2, 4, 5, 6, 1, 0, 7]);
}

#[test]
fn of_equal_entries_the_lower_name_comes_first_and_grpc_routes_are_merged_in() {
    let spec = "rules: [{backendRefs: [{name: next, port: 80}]}]";
    let grpc = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: g, namespace: shop}\nspec:\n  \
        parentRefs: [{group: '', kind: Service, name: web}]\n  rules: [{matches: [{method: {service: a.B, method: C}}], backendRefs: [{name: next, port: 80}]}]\n";
    let some = entries(&format!("{}{}{grpc}", route("b", "shop", spec), route("a", "shop", spec)));
    let names: Vec<&str> = some.iter().map(|entry| &*entry.origin.name).collect();
    assert_eq!(names, ["g", "a", "b"]);
}

#[test]
fn routes_of_other_namespaces_are_for_clients_there_only() {
    let namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: consumer}\n";
    let spec = "rules: [{backendRefs: [{name: next, namespace: shop, port: 80}]}]";
    let manifests = format!("{SHOP}{namespace}{}", route("r", "consumer", spec));
    let resources = resources(&manifests);
    let port = &routes(&resources, "web").ports[&80];
    assert!(port.http.is_none());
    assert!(port.http_for(Some("consumer")).is_some() && port.http_for(Some("shop")).is_none());
}

#[test]
fn a_route_with_a_filter_no_waypoint_has_is_not_programmed() {
    let filter = "filters: [{type: ExtensionRef, extensionRef: {group: g, kind: K, name: n}}]";
    assert!(
        entries(&route("r", "shop", &format!("rules: [{{{filter}, backendRefs: [{{name: next, port: 80}}]}}]")))
            .is_empty()
    );
}

#[test]
fn timeouts_and_retries_are_upstreams() {
    let of = |rest: &str| {
        let some = entries(&route("r", "shop", &format!("rules: [{{backendRefs: [{{name: next, port: 80}}]{rest}}}]")));
        forward(&some[0]).clone()
    };
    let seconds = |count| Some(Duration::from_secs(count));
    assert_eq!(of("").timeouts.request, None);
    assert_eq!(of("").retry.expect("the default").attempts, 2);
    assert_eq!(of(", timeouts: {request: 0s}").timeouts.request, None);
    assert_eq!(of(", timeouts: {request: 10s, backendRequest: 3s}").timeouts.request, seconds(3));
    let both = of(", timeouts: {request: 10s, backendRequest: 3s}, retry: {attempts: 4, codes: [503]}");
    assert_eq!((both.timeouts.request, both.timeouts.backend_request), (seconds(10), seconds(3)));
    let retry = both.retry.expect("a policy");
    assert_eq!((retry.attempts, retry.on.statuses), (4, vec![503]));
    assert_eq!(of(", retry: {attempts: 0}").retry, None);
}
