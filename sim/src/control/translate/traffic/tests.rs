//! What waypoints are told, from manifests.

use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;
use proxy_core::route::{GatewayKey, ServiceRoutes};
use proxy_core::state::{NamespacedHostname, Resource, ResourceName, Service};

use crate::cluster::{Cluster, ClusterConfig, ObjectName};
use crate::control::{Resources, translate};

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
        now = now + Duration::from_secs(1);
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

#[test]
fn services_of_a_namespace_that_uses_a_waypoint_are_behind_it() {
    let resources = resources(SHOP);
    let waypoint = service(&resources, "shop", "web").waypoint.clone().expect("a waypoint");
    assert_eq!(waypoint.to_string(), "shop/waypoint.shop.svc.cluster.local:15008");
    assert_eq!(service(&resources, "shop", "waypoint").waypoint, None, "never the waypoint itself");
    assert_eq!(routes(&resources, "web").ports.keys().copied().collect::<Vec<_>>(), [80, 9000]);
}
