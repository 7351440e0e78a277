//! What would stand in the status of objects.

use super::conditions;
use crate::cluster::{Cluster, Kind, ObjectReference};
use crate::control::translate::traffic::tests::{SHOP, cluster};

fn told(cluster: &Cluster, kind: Kind, namespace: &str, name: &str) -> Vec<String> {
    let all = conditions(cluster, &ObjectReference::new(kind, namespace, name));
    all.into_iter()
        .map(|condition| {
            let part = condition.of.map(|part| format!("{part}: ")).unwrap_or_default();
            format!("{part}{}={} {}", condition.kind, condition.status, condition.reason)
        })
        .collect()
}

#[test]
fn a_waypoint_is_programmed_once_it_has_been_ready() {
    let cluster = cluster(SHOP);
    assert_eq!(
        told(&cluster, Kind::Gateway, "shop", "waypoint"),
        ["Accepted=true Accepted", "Programmed=true Programmed", "listener mesh: Accepted=true Accepted"]
    );
    assert_eq!(told(&cluster, Kind::Service, "shop", "web"), ["istio.io/WaypointBound=true WaypointAccepted"]);
    assert!(told(&cluster, Kind::Service, "shop", "waypoint").is_empty());
}

#[test]
fn listeners_of_a_waypoint_are_port_15008_with_hbone_and_nothing_else() {
    let manifests = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: w}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: http, port: 80, protocol: HTTP}]}
";
    let told = told(&cluster(manifests), Kind::Gateway, "default", "w");
    assert!(told.contains(&"listener http: Accepted=false UnsupportedProtocol".to_owned()), "{told:?}");
}

#[test]
fn a_refused_binding_says_why() {
    let service = |name: &str, labels: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: other, labels: {{{labels}}}}}\n\
             spec: {{selector: {{a: b}}, ports: [{{port: 80}}]}}\n"
        )
    };
    let across = "istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: shop";
    let manifests = format!(
        "{SHOP}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: other}}\n{}{}{}",
        service("denied", across),
        service("missing", "istio.io/use-waypoint: nobody"),
        service("out", "istio.io/use-waypoint: none"),
    );
    let cluster = cluster(&manifests);
    let told = |name| told(&cluster, Kind::Service, "other", name);
    assert_eq!(told("denied"), ["istio.io/WaypointBound=false AttachmentDenied"]);
    assert_eq!(told("missing"), ["istio.io/WaypointBound=false WaypointIsNotReady"]);
    assert!(told("out").is_empty());
}

#[test]
fn a_route_to_a_missing_service_is_accepted_with_unresolved_references() {
    let route = |name: &str, parent: &str, backend: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{parentRefs: [{{group: '', kind: Service, {parent}}}], rules: [{{backendRefs: [{{{backend}}}]}}]}}\n"
        )
    };
    let manifests = format!(
        "{SHOP}{}{}{}{}{}",
        route("good", "name: web, port: 80", "name: next, port: 80"),
        route("missing", "name: web", "name: nobody, port: 80"),
        route("kind", "name: web", "name: x, kind: Bucket, group: storage, port: 80"),
        route("port", "name: web", "name: next, port: 81"),
        route("parent", "name: nobody", "name: next, port: 80"),
    );
    let cluster = cluster(&manifests);
    let told = |name: &str| -> Vec<String> {
        let all = told(&cluster, Kind::HttpRoute, "shop", name);
        all.into_iter().map(|line| line.split_once(": ").map(|(_, rest)| rest.to_owned()).unwrap_or(line)).collect()
    };
    let with = |references: &str| {
        vec![
            "Accepted=true Accepted".to_owned(),
            references.to_owned(),
            "ResolvedWaypoints=true ResolvedWaypoints".to_owned(),
        ]
    };
    assert_eq!(told("good"), with("ResolvedRefs=true ResolvedRefs"));
    assert_eq!(told("missing"), with("ResolvedRefs=false BackendNotFound"));
    assert_eq!(told("kind"), with("ResolvedRefs=false InvalidKind"));
    assert_eq!(told("port"), with("ResolvedRefs=false InvalidDestination"));
    assert_eq!(told("parent"), ["Accepted=false NoMatchingParent", "ResolvedRefs=true ResolvedRefs"]);
}

#[test]
fn policies_say_who_enforces_them() {
    let policy = |name: &str, namespace: &str, target: &str| {
        format!(
            "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{targetRefs: [{{{target}}}], rules: [{{to: [{{operation: {{methods: [GET]}}}}]}}]}}\n"
        )
    };
    let class = "group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint";
    let manifests = format!(
        "{SHOP}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: bare}}\n---\napiVersion: v1\nkind: Service\n\
         metadata: {{name: web, namespace: bare}}\nspec: {{selector: {{a: b}}, ports: [{{port: 80}}]}}\n{}{}{}{}{}",
        policy("service", "shop", "kind: Service, name: web"),
        policy("unbound", "bare", "kind: Service, name: web"),
        policy("missing", "shop", "kind: Service, name: nobody"),
        policy("class", "istio-system", class),
        policy("wrong", "shop", class),
    );
    let cluster = cluster(&manifests);
    let told = |namespace: &str, name: &str| {
        let told = told(&cluster, Kind::AuthorizationPolicy, namespace, name);
        told[0].split_once(": ").expect("a part").1.to_owned()
    };
    assert_eq!(told("shop", "service"), "WaypointAccepted=true Accepted");
    assert_eq!(told("bare", "unbound"), "WaypointAccepted=false AncestorNotBound");
    assert_eq!(told("shop", "missing"), "WaypointAccepted=false TargetNotFound");
    assert_eq!(told("istio-system", "class"), "WaypointAccepted=true Accepted");
    assert_eq!(told("shop", "wrong"), "WaypointAccepted=false Invalid");
}
