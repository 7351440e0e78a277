//! Istio's own APIs at a waypoint.

use super::*;
use proxy_core::request::TextMatch;
use proxy_core::route::{BackendSettings, LoadBalancer, PathKind};

fn virtual_service(rest: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v, namespace: shop}}\nspec:\n  hosts: [web]\n  {rest}\n"
    )
}

fn backend_settings(manifests: &str) -> Arc<BackendSettings> {
    let resources = resources(&format!("{SHOP}{manifests}"));
    let waypoint = GatewayKey::new("shop", "waypoint");
    match resources.get_for(&waypoint, &ResourceName::BackendSettings(key("shop", "web"))) {
        Some(Resource::BackendSettings(settings)) => settings.clone(),
        _ => panic!("no settings"),
    }
}

#[test]
fn virtual_services_keep_their_order_and_end_at_a_catch_all() {
    let some = entries(&virtual_service(
        "http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: next}}]}, {route: [{destination: {host: web}}]}, \
         {match: [{uri: {exact: /never}}], route: [{destination: {host: next}}]}]",
    ));
    assert_eq!(some.iter().map(|entry| entry.origin.rule).collect::<Vec<_>>(), [0, 1]);
    let path = some[0].matches.path.as_ref().expect("a path");
    assert_eq!(path.kind, PathKind::TextPrefix("/a".into()));
    let BackendTarget::Service(backend) = &forward(&some[0]).backends[0].target else { panic!("a service") };
    assert_eq!((backend.service.clone(), backend.port), (key("shop", "next"), 80));
}

#[test]
fn matches_that_never_apply_at_a_waypoint_leave_no_entry() {
    let of = |matched: &str| {
        entries(&virtual_service(&format!(
            "http: [{{match: [{{{matched}}}], route: [{{destination: {{host: next}}}}]}}]"
        )))
        .len()
    };
    assert_eq!(of("sourceLabels: {a: b}"), 0);
    assert_eq!(of("gateways: [ingress]"), 0);
    assert_eq!(of("port: 81"), 0);
    assert_eq!(of("sourceNamespace: elsewhere"), 0);
    assert_eq!(of("sourceNamespace: shop"), 1);
    assert_eq!(of("port: 80"), 1);
    assert_eq!(of("headers: {x: {}}"), 1);
}

#[test]
fn only_virtual_services_for_the_mesh_count() {
    let rest = "gateways: [ingress]\n  http: [{route: [{destination: {host: next}}]}]";
    assert!(entries(&virtual_service(rest)).is_empty());
    let both = "gateways: [ingress, mesh]\n  http: [{route: [{destination: {host: next}}]}]";
    assert_eq!(entries(&virtual_service(both)).len(), 1);
}

#[test]
fn a_gateway_api_route_wins_over_a_virtual_service() {
    let manifests = format!(
        "{}{}",
        virtual_service("http: [{route: [{destination: {host: next}}]}]"),
        route("r", "shop", "rules: [{backendRefs: [{name: next, port: 80}]}]")
    );
    assert_eq!(&*entries(&manifests)[0].origin.name, "r");
}

#[test]
fn delegates_are_put_under_the_matches_of_who_names_them() {
    let manifests = format!(
        "{}---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: inner, namespace: shop}}\n\
         spec: {{http: [{{match: [{{uri: {{prefix: /a/b}}}}], route: [{{destination: {{host: next}}}}]}}]}}\n",
        virtual_service("http: [{match: [{uri: {prefix: /a}, headers: {x: {exact: y}}}], delegate: {name: inner}}]")
    );
    let some = entries(&manifests);
    assert_eq!((some.len(), &*some[0].origin.name), (1, "inner"));
    assert_eq!(some[0].matches.headers[0].value, TextMatch::Exact("y".into()));
}

#[test]
fn subsets_are_the_endpoints_with_their_labels() {
    let pod = |name: &str, version: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: web, version: {version}}}}}\nspec: {{containers: [{{name: c, image: i}}]}}\n"
        )
    };
    let rule = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: shop}\nspec:\n  \
        host: web\n  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}\n  subsets: [{name: v1, labels: {version: v1}}, \
        {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]\n";
    let settings = backend_settings(&format!("{}{}{rule}", pod("one", "v1"), pod("two", "v2")));
    let members = |name: &str| settings.subsets[name].members.iter().map(|uid| uid.to_string()).collect::<Vec<_>>();
    assert_eq!(members("v1"), ["Kubernetes//Pod/shop/one"]);
    assert_eq!(members("v2"), ["Kubernetes//Pod/shop/two"]);
    let balancer = |subset| settings.policy(80, subset).map(|policy| policy.load_balancer.clone());
    assert_eq!(balancer(None), Some(LoadBalancer::RoundRobin));
    assert_eq!(balancer(Some("v1")), Some(LoadBalancer::RoundRobin));
    assert_eq!(balancer(Some("v2")), Some(LoadBalancer::Random));
    assert_eq!(balancer(Some("v3")), None);
}

#[test]
fn the_rule_of_the_waypoints_namespace_wins_then_the_services_then_the_root() {
    let rule = |name: &str, namespace: &str, host: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{host: {host}}}\n"
        )
    };
    let full = "web.shop.svc.cluster.local";
    let origin = |manifests: &str| backend_settings(manifests).origin.as_ref().map(ToString::to_string);
    let root = rule("root", "istio-system", full);
    assert_eq!(origin(&root).as_deref(), Some("istio-system/root"));
    assert_eq!(origin(&format!("{root}{}", rule("own", "shop", "web"))).as_deref(), Some("shop/own"));
    let wide = rule("a-wide", "shop", "'*.shop.svc.cluster.local'");
    assert_eq!(origin(&format!("{wide}{}", rule("own", "shop", "web"))).as_deref(), Some("shop/own"));
}

#[test]
fn providers_of_the_mesh_configuration_are_told_if_their_service_exists() {
    let options = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    \
        extensionProviders:\n    - name: good\n      envoyExtAuthzHttp: {service: next.shop.svc.cluster.local, port: 80, headersToUpstreamOnAllow: [X-Ok]}\n    \
        - name: gone\n      envoyExtAuthzGrpc: {service: nobody.shop.svc.cluster.local, port: 9000}\n    pathNormalization: {normalization: MERGE_SLASHES}\n";
    let settings = settings(&resources(&format!("{SHOP}{options}")));
    assert_eq!(settings.providers.keys().map(|name| name.to_string()).collect::<Vec<_>>(), ["good"]);
    assert_eq!(settings.path_normalization, proxy_core::request::PathNormalization::MergeSlashes);
    assert_eq!(settings.providers["good"].timeout, Duration::from_secs(600));
}

#[test]
fn tokens_without_keys_are_all_refused() {
    let authentication = "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: j, namespace: shop}\n\
        spec: {targetRefs: [{kind: Service, name: web}], jwtRules: [{issuer: a, jwksUri: 'http://keys.example/k'}]}\n";
    let rules = routes(&resources(&format!("{SHOP}{authentication}")), "web").authentication.clone();
    assert_eq!(*rules[0].keys, proxy_core::authentication::KeySet::unusable());
    assert_eq!(rules[0].locations, proxy_core::authentication::TokenLocations::default());
}
