//! The reference and the product (translation, then a waypoint's decisions) agree on random layer-7 objects and requests.

mod policies;
mod routes;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::sample::select;
use proxy_core::host::Instant;
use proxy_core::route::{GatewayKey, ServiceRoutes, WaypointSettings};
use proxy_core::state::{NamespacedHostname, Resource, ResourceName};

use super::HttpRequest;
use crate::cluster::{ApplyOptions, Cluster, ClusterConfig, yaml};
use crate::control::{Resources, translate};

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: door}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: door, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: shop}
spec: {selector: {app: echo}, ports: [{name: http, port: 80, targetPort: 8080}, {name: grpc, port: 7070}, {name: tcp-x, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo-v1, namespace: shop}
spec: {selector: {app: echo}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo-v2, namespace: shop}
spec: {selector: {app: echo}, ports: [{name: http, port: 8080}]}
---
";

/// A cluster with a ready waypoint `door` in front of service `echo`, and these objects.
fn cluster_of(objects: &str) -> Cluster {
    let mut cluster = Cluster::new(ClusterConfig::with_nodes(1));
    let documents = yaml::parse("random.yaml", &format!("{SHOP}{objects}")).expect("well-formed YAML");
    if let Err(wrong) = cluster.apply(&documents, &ApplyOptions::default(), Instant::START) {
        panic!("{objects}\n{}", wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
    cluster.step(Instant::from_nanos(30_000_000_000));
    cluster
}

fn door() -> GatewayKey {
    GatewayKey { namespace: "shop".into(), name: "door".into() }
}

/// What the waypoint is told of `echo`.
fn told(resources: &Resources) -> &ServiceRoutes {
    let key = NamespacedHostname::new("shop", "echo.shop.svc.cluster.local");
    match resources.get_for(&door(), &ResourceName::ServiceRoutes(key)) {
        Some(Resource::ServiceRoutes(routes)) => routes,
        _ => panic!("the waypoint is told of its service"),
    }
}

/// What the waypoint is told of itself.
fn settings(resources: &Resources) -> &WaypointSettings {
    let settings = resources.of_waypoint(&door()).find_map(|resource| match resource {
        Resource::WaypointSettings(settings) => Some(settings),
        _ => None,
    });
    settings.expect("the waypoint is told of itself")
}

fn translated(cluster: &Cluster) -> Resources {
    translate(cluster).resources
}

fn header_map(request: &HttpRequest) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(
            name.parse::<HeaderName>().expect("a header name"),
            HeaderValue::from_str(value).expect("a header value"),
        );
    }
    headers
}

/// Requests from a small world, so that rules and requests meet.
fn request() -> impl Strategy<Value = HttpRequest> {
    let path = select(vec![
        "/",
        "/v1",
        "/v1/",
        "/v1/x",
        "/v1x",
        "/v2",
        "/v2/a/b",
        "/a",
        "/a/b",
        "/a/b/c",
        "/A",
        "/shop.Cart/Add",
        "/shop.Cart/Drop",
        "/other.Cart/Add",
        "/shop.Cart/Add/x",
    ]);
    let query = select(vec![
        "",
        "",
        "?animal=whale",
        "?animal=dolphin",
        "?animal=whale&animal=dolphin",
        "?x=1&animal=whale",
        "?x",
    ]);
    let header = select(vec![
        ("version", "one"),
        ("version", "two"),
        ("Version", "one"),
        ("x-a", "b"),
        ("x-a", "c"),
        ("x-b", ""),
    ]);
    let method = select(vec!["GET", "POST", "PUT", "POST"]);
    let authority = select(vec!["echo", "echo.shop", "ECHO:80", "other.example:8080", "echo.shop.svc.cluster.local"]);
    (path, query, method, authority, prop::collection::vec(header, 0..3)).prop_map(
        |(path, query, method, authority, headers)| HttpRequest {
            method: method.to_owned(),
            target: format!("{path}{query}"),
            authority: authority.to_owned(),
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        },
    )
}
