//! A waypoint between clients and servers.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use proxy_core::telemetry::{Event, Hop, Reporter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.7.7, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: next, namespace: shop}
spec: {selector: {app: next}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {nodeName: node-1, containers: [{name: c, image: client}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-2, containers: [{name: c, image: server, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: next, namespace: shop, labels: {app: next}}
spec: {nodeName: node-2, containers: [{name: c, image: server, ports: [{containerPort: 8080}]}]}
";

const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
  - matches: [{path: {value: /next}}]
    backendRefs: [{name: next, port: 80}]
  - matches: [{path: {value: /gone}}]
    backendRefs: [{name: missing, port: 80}]
";

/// Servers answer one request a connection with their own name.
fn servers(start: AppStart<'_>) -> Option<Box<dyn App>> {
    if start.pod.spec.containers.iter().any(|container| &*container.image == "server") {
        let host = start.host.clone();
        let listener = host.listen(SocketAddr::new("::".parse().ok()?, 8080)).ok()?;
        let name = start.pod.meta.name().to_owned();
        start.host.spawn("server", async move {
            while let Ok(accepted) = listener.accept().await {
                let mut stream = accepted.stream;
                let name = name.clone();
                host.spawn("connection", async move {
                    let mut head = Vec::new();
                    let mut buffer = [0; 1024];
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut buffer).await {
                            Ok(count @ 1..) => head.extend_from_slice(&buffer[..count]),
                            _ => return,
                        }
                    }
                    let length = name.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{name}");
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
    }
    None
}

fn shop(manifests: &str) -> Mesh {
    let documents = yaml::parse("test.yaml", &format!("{SHOP}---\n{manifests}")).expect("YAML");
    let (mut mesh, _) = Mesh::new(config(), &documents, servers).expect("a mesh");
    mesh.settle(LIMIT).expect("settles");
    mesh
}

/// Status and body of one request from the client.
fn get(mesh: &mut Mesh, path: &str) -> (u16, String) {
    let host: SimHost = mesh.pod(&name("shop", "client")).expect("a pod").2.clone();
    let outcome = Arc::new(Mutex::new(None));
    let place = outcome.clone();
    let task = host.clone();
    let request = format!("GET {path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
    host.spawn("get", async move {
        let mut answer = Vec::new();
        if let Ok(mut stream) = task.dial(Dial::to("10.96.7.7:80".parse().expect("an address"))).await {
            let _ = stream.write_all(request.as_bytes()).await;
            let _ = stream.read_to_end(&mut answer).await;
        }
        *place.lock() = Some(String::from_utf8_lossy(&answer).into_owned());
    });
    let limit = mesh.now() + Duration::from_secs(60);
    while outcome.lock().is_none() && mesh.now() < limit {
        mesh.run_until(mesh.now() + Duration::from_millis(1)).expect("runs");
    }
    let answer = outcome.lock().take().expect("an answer within a minute");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

#[test]
fn a_gateway_becomes_a_waypoint_that_its_services_are_behind() {
    let mut mesh = shop("");
    let gateway = mesh.cluster().gateway("shop", "waypoint").expect("a gateway");
    assert_eq!(gateway.addresses.len(), 2, "a name and an address");
    mesh.journal().take();
    assert_eq!(get(&mut mesh, "/").0, 200);
    mesh.run_until(mesh.now() + Duration::from_secs(1)).expect("runs");
    let hops: Vec<&str> = mesh
        .journal()
        .take()
        .into_iter()
        .filter_map(|observation| match observation.kind {
            ObservationKind::Proxy { event: Event::Opened { connection, .. }, .. } => match connection.reporter {
                Reporter::Source if connection.hop == Hop::Waypoint => Some("ztunnel, to a waypoint"),
                Reporter::Source => Some("ztunnel, directly"),
                Reporter::Destination => Some("ztunnel, to the application"),
                Reporter::Waypoint => None,
            },
            ObservationKind::Proxy { event: Event::Request { .. }, node } if node.starts_with("shop/waypoint-") => {
                Some("waypoint")
            }
            _ => None,
        })
        .collect();
    assert_eq!(hops, ["ztunnel, to a waypoint", "ztunnel, to the application", "waypoint"], "it tells when it is done");
}

#[test]
fn routes_decide_once_they_are_attached_and_no_longer_when_they_are_gone() {
    let mut mesh = shop("");
    assert_eq!(get(&mut mesh, "/next"), (200, "web".to_owned()));
    let route = yaml::parse("route.yaml", ROUTE).expect("YAML");
    mesh.apply(&route, &ApplyOptions::default()).expect("applies");
    mesh.settle(LIMIT).expect("settles");
    assert_eq!(get(&mut mesh, "/next"), (200, "next".to_owned()));
    assert_eq!(get(&mut mesh, "/other").0, 404, "routes are attached, and none matches");
    assert_eq!(get(&mut mesh, "/gone").0, 500, "the backend does not exist");
    mesh.delete_documents(&route, &ApplyOptions::default()).expect("deletes");
    mesh.settle(LIMIT).expect("settles");
    assert_eq!(get(&mut mesh, "/gone"), (200, "web".to_owned()));
}

#[test]
fn a_removed_gateway_takes_its_pods_with_it_and_traffic_goes_directly() {
    let mut mesh = shop(ROUTE);
    assert_eq!(get(&mut mesh, "/other").0, 404);
    let gateway = ObjectReference::new(Kind::Gateway, "shop", "waypoint");
    mesh.delete(&gateway, None).expect("exists");
    mesh.settle(LIMIT).expect("settles");
    assert!(mesh.cluster().pods().all(|pod| !pod.is_waypoint()));
    assert!(mesh.cluster().service(&name("shop", "waypoint")).is_none());
    assert_eq!(get(&mut mesh, "/other"), (200, "web".to_owned()));
}

#[test]
fn a_waypoint_scales_and_restarts() {
    let mut mesh = shop("");
    let deployment = ObjectReference::new(Kind::Deployment, "shop", "waypoint");
    mesh.scale(&deployment, 3).expect("exists");
    mesh.settle(LIMIT).expect("settles");
    let instances = |mesh: &Mesh| -> Vec<ObjectName> {
        mesh.cluster().pods().filter(|pod| pod.is_waypoint()).map(|pod| pod.meta.key.clone()).collect()
    };
    let before = instances(&mesh);
    assert_eq!(before.len(), 3);
    assert!(before.iter().all(|pod| mesh.waypoint(pod).is_some_and(MeshWaypoint::is_ready)));
    mesh.restart(&deployment).expect("exists");
    mesh.settle(LIMIT).expect("settles");
    let after = instances(&mesh);
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|pod| !before.contains(pod)));
    assert_eq!(get(&mut mesh, "/"), (200, "web".to_owned()));
}

#[test]
fn each_waypoint_is_told_its_own_services_and_node_proxies_none() {
    let other = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: other, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
";
    let mesh = shop(other);
    let routes = |gateway: &str| {
        let pod = mesh.cluster().pods().find(|pod| pod.meta.name().starts_with(gateway)).expect("an instance");
        let waypoint = mesh.waypoint(&pod.meta.key).expect("a proxy");
        waypoint.state().snapshot().routes().map(|routes| routes.service.hostname.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(routes("waypoint"), ["next.shop.svc.cluster.local", "web.shop.svc.cluster.local"]);
    assert!(routes("other").is_empty());
    assert_eq!(mesh.ztunnel("node-1").expect("a proxy").state().snapshot().routes().count(), 0);
}

#[test]
fn the_control_plane_fetches_key_sets_from_services_once_they_answer() {
    let authentication = "
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: web}]
  jwtRules: [{issuer: someone, jwksUri: 'http://next.shop/keys'}, {issuer: other, jwksUri: 'https://next.shop/keys'}]
";
    let mesh = shop(authentication);
    // The server answers everything with its own name: a document, if no key set.
    assert_eq!(mesh.cluster().fetched_keys("http://next.shop/keys").map(|text| &**text), Some("next"));
    assert_eq!(mesh.cluster().fetched_keys("https://next.shop/keys"), None, "TLS is not spoken");
}
