use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::{Dial, Instant, Listener};
use proxy_core::telemetry::{ConnectionSecurity, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::cluster::{ApplyOptions, ClusterConfig, Kind, LabelChange, ObjectName, ObjectReference, Redirection, yaml};
use crate::control::translate;
use crate::node::{KillMode, SimHost};
use crate::record::ObservationKind;

mod annotation;
mod istiod;
mod names;
mod waypoints;

const LIMIT: Duration = Duration::from_secs(120);
const PORT: u16 = 8080;

/// Namespace `shop` in the mesh with `client` and `server`, and `plain` out of it with `outsider`; a Service before
/// `server`.
const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Namespace
metadata: {name: plain}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop}
spec: {clusterIP: 10.96.7.7, selector: {app: server}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {nodeName: node-1, containers: [{name: c, image: client}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: shop, labels: {app: server}}
spec: {nodeName: node-2, containers: [{name: c, image: server, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: outsider, namespace: plain, labels: {app: outsider}}
spec: {nodeName: node-1, containers: [{name: c, image: client}]}
";

/// Pods of image `server` echo on port 8080, those of image `squatter` on a port the proxy needs.
fn echo_servers(start: AppStart<'_>) -> Option<Box<dyn App>> {
    let runs = |image: &str| start.pod.spec.containers.iter().any(|container| &*container.image == image);
    if runs("server") || runs("squatter") {
        let host = start.host.clone();
        let port = if runs("server") { PORT } else { 15008 };
        let listener = host.listen(SocketAddr::new("::".parse().ok()?, port)).ok()?;
        start.host.spawn("echo", async move {
            while let Ok(accepted) = listener.accept().await {
                let mut stream = accepted.stream;
                host.spawn("echo connection", async move {
                    let mut buffer = [0; 256];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                    }
                    let _ = stream.shutdown().await;
                });
            }
        });
    }
    None
}

fn mesh_of(config: MeshConfig, manifests: &str) -> Mesh {
    let documents = yaml::parse("test.yaml", manifests).expect("YAML");
    let (mut mesh, _) = Mesh::new(config, &documents, echo_servers).expect("a mesh");
    mesh.settle(LIMIT).expect("settles");
    mesh
}

fn config() -> MeshConfig {
    MeshConfig { cluster: ClusterConfig::with_nodes(2), ..MeshConfig::default() }
}

fn shop() -> Mesh {
    mesh_of(config(), SHOP)
}

fn name(namespace: &str, pod: &str) -> ObjectName {
    ObjectName::new(namespace, pod)
}

fn address(mesh: &Mesh, namespace: &str, pod: &str) -> SocketAddr {
    SocketAddr::new(mesh.cluster().pod(&name(namespace, pod)).expect("a pod").addresses[0], PORT)
}

/// Sends `hello` from a pod and reads what comes back until the other side is done.
fn hello(mesh: &mut Mesh, from: &ObjectName, to: SocketAddr) -> std::io::Result<String> {
    let host: SimHost = mesh.pod(from).expect("a pod").2.clone();
    let outcome = Arc::new(Mutex::new(None));
    let place = outcome.clone();
    let task = host.clone();
    host.spawn("hello", async move {
        let exchange = async {
            let mut stream = task.dial(Dial::to(to)).await?;
            stream.write_all(b"hello").await?;
            stream.shutdown().await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        };
        let result = exchange.await;
        *place.lock() = Some(result);
    });
    let limit = mesh.now() + Duration::from_secs(60);
    while outcome.lock().is_none() && mesh.now() < limit {
        mesh.run_until(mesh.now() + Duration::from_millis(1)).expect("runs");
    }
    outcome.lock().take().expect("an answer within a minute")
}

/// How the proxies carried what they have told since the last call.
fn securities(mesh: &Mesh) -> Vec<ConnectionSecurity> {
    let observations = mesh.journal().take();
    observations
        .into_iter()
        .filter_map(|observation| match observation.kind {
            ObservationKind::Proxy { event: Event::Closed { connection, .. }, .. } => Some(connection.security),
            _ => None,
        })
        .collect()
}

#[test]
fn two_pods_echo_over_hbone_and_equal_runs_give_equal_digests() {
    let run = |seed| {
        let mut config = config();
        config.sim.seed = seed;
        let mut mesh = mesh_of(config, SHOP);
        mesh.journal().take();
        let answer = hello(&mut mesh, &name("shop", "client"), "10.96.7.7:80".parse().unwrap());
        assert_eq!(answer.expect("an answer"), "hello");
        mesh.run_until(mesh.now() + Duration::from_secs(1)).expect("runs");
        assert_eq!(securities(&mesh), [ConnectionSecurity::MutualTls; 2], "both ends");
        mesh.sim().digest().to_string()
    };
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
}

#[test]
fn a_pod_outside_the_mesh_reaches_one_inside_in_plaintext() {
    let mut mesh = shop();
    let outsider = name("plain", "outsider");
    for target in ["10.96.7.7:80".parse().unwrap(), address(&mesh, "shop", "server")] {
        mesh.journal().take();
        assert_eq!(hello(&mut mesh, &outsider, target).expect("an answer"), "hello");
        mesh.run_until(mesh.now() + Duration::from_secs(1)).expect("runs");
        assert_eq!(securities(&mesh), [ConnectionSecurity::Unknown], "only the server has a proxy");
    }
}

#[test]
fn every_proxy_holds_exactly_what_the_cluster_translates_to_once_settled() {
    let mesh = shop();
    let resources = translate(mesh.cluster()).resources;
    for node in ["node-1", "node-2"] {
        assert_eq!(mesh.control_plane().acked(node), Some(mesh.revision()));
        let snapshot = mesh.ztunnel(node).expect("a proxy").state().snapshot();
        for workload in resources.workloads() {
            let known = snapshot.workload(&workload.uid).expect("known");
            assert_eq!(**known, **workload);
        }
    }
}

#[test]
fn namespace_labels_enroll_and_release_running_pods() {
    let mut mesh = shop();
    let outsider = name("plain", "outsider");
    let namespace = ObjectReference::new(Kind::Namespace, "", "plain");
    let before = mesh.cluster().pod(&outsider).expect("a pod").meta.uid.clone();
    assert!(!mesh.is_captured(&outsider));
    let label = LabelChange::Set("istio.io/dataplane-mode".into(), "ambient".into());
    mesh.label(&namespace, &[label]).expect("exists");
    mesh.settle(LIMIT).expect("settles");
    assert!(mesh.is_captured(&outsider));
    let pod = mesh.cluster().pod(&outsider).expect("a pod");
    assert_eq!((pod.redirection(), &pod.meta.uid), (Some(Redirection::Enabled), &before));
    assert_eq!(hello(&mut mesh, &outsider, "10.96.7.7:80".parse().unwrap()).expect("an answer"), "hello");
    mesh.run_until(mesh.now() + Duration::from_secs(1)).expect("runs");
    assert_eq!(securities(&mesh), [ConnectionSecurity::MutualTls; 2]);
    mesh.label(&namespace, &[LabelChange::Remove("istio.io/dataplane-mode".into())]).expect("exists");
    mesh.settle(LIMIT).expect("settles");
    assert!(!mesh.is_captured(&outsider));
    assert_eq!(mesh.cluster().pod(&outsider).expect("a pod").redirection(), None);
    let served = mesh.ztunnel("node-1").expect("a proxy").workloads();
    assert!(served.iter().all(|info| &*info.name != "outsider"));
}

#[test]
fn pod_labels_win_both_ways_and_host_network_pods_stay_out() {
    let manifests = format!(
        "{SHOP}
---
apiVersion: v1
kind: Pod
metadata: {{name: in, namespace: plain, labels: {{istio.io/dataplane-mode: ambient}}}}
spec: {{containers: [{{name: c, image: server}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: out, namespace: shop, labels: {{istio.io/dataplane-mode: none}}}}
spec: {{containers: [{{name: c, image: server}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: host, namespace: shop}}
spec: {{hostNetwork: true, containers: [{{name: c, image: client}}]}}
"
    );
    let mesh = mesh_of(config(), &manifests);
    let captured = |namespace, pod| mesh.is_captured(&name(namespace, pod));
    assert!(captured("plain", "in") && captured("shop", "client"));
    assert!(!captured("shop", "out") && !captured("shop", "host"));
}

#[test]
fn applications_start_after_their_pod_is_captured() {
    let mut config = config();
    // Slower than the containers would be.
    config.agent.act_least = Duration::from_secs(2);
    config.agent.act_most = Duration::from_secs(2);
    let started = Arc::new(Mutex::new(Vec::new()));
    let noted = started.clone();
    let documents = yaml::parse("test.yaml", SHOP).expect("YAML");
    let apps = move |start: AppStart<'_>| -> Option<Box<dyn App>> {
        noted.lock().push((start.pod.meta.uid.clone(), start.host.now()));
        None
    };
    let (mut mesh, _) = Mesh::new(config, &documents, apps).expect("a mesh");
    mesh.settle(LIMIT).expect("settles");
    let enrolled: Vec<(Arc<str>, Instant)> = mesh
        .journal()
        .take()
        .into_iter()
        .filter_map(|observation| match observation.kind {
            ObservationKind::Enrollment { pod, enrolled: true } => Some((pod, observation.at)),
            _ => None,
        })
        .collect();
    assert_eq!(enrolled.len(), 2);
    let started = started.lock();
    assert_eq!(started.len(), 3);
    for (pod, at) in enrolled {
        let (_, start) = started.iter().find(|(uid, _)| *uid == pod).expect("started");
        assert!(*start >= at);
    }
}

#[test]
fn a_policy_reaches_the_proxies_and_is_enforced() {
    let mut mesh = shop();
    let client = name("shop", "client");
    let to = "10.96.7.7:80".parse().unwrap();
    assert_eq!(hello(&mut mesh, &client, to).expect("an answer"), "hello");
    let deny = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/default]}}]}]}
";
    let documents = yaml::parse("deny.yaml", deny).expect("YAML");
    mesh.apply(&documents, &ApplyOptions::default()).expect("applies");
    assert!(!mesh.is_settled());
    mesh.settle(LIMIT).expect("settles");
    assert_ne!(hello(&mut mesh, &client, to).unwrap_or_default(), "hello");
    mesh.delete_documents(&documents, &ApplyOptions::default()).expect("deletes");
    mesh.settle(LIMIT).expect("settles");
    assert_eq!(hello(&mut mesh, &client, to).expect("an answer"), "hello");
}

#[test]
fn a_proxy_that_is_cut_off_keeps_the_mesh_unsettled_until_it_returns() {
    let mut mesh = shop();
    mesh.control_plane().set_connected("node-2", false);
    let pod = ObjectReference::new(Kind::Pod, "plain", "outsider");
    mesh.delete(&pod, Some(Duration::ZERO)).expect("exists");
    let error = mesh.settle(Duration::from_secs(40)).expect_err("node-2 does not answer").to_string();
    assert!(error.contains("node-2"), "{error}");
    mesh.control_plane().set_connected("node-2", true);
    mesh.settle(LIMIT).expect("settles");
    let snapshot = mesh.ztunnel("node-2").expect("a proxy").state().snapshot();
    assert!(snapshot.workload("Kubernetes//Pod/plain/outsider").is_none());
}

#[test]
fn a_deleted_pod_takes_its_place_in_the_mesh_with_it() {
    for removal in [KillMode::Close, KillMode::Reset, KillMode::Silent] {
        let mut mesh = mesh_of(MeshConfig { removal, ..config() }, SHOP);
        let server = address(&mesh, "shop", "server");
        let pod = ObjectReference::new(Kind::Pod, "shop", "server");
        mesh.delete(&pod, None).expect("exists");
        mesh.settle(LIMIT).expect("settles");
        assert!(mesh.ztunnel("node-2").expect("a proxy").workloads().is_empty());
        assert!(mesh.pod(&name("shop", "server")).is_none());
        assert!(hello(&mut mesh, &name("shop", "client"), server).is_err() || removal == KillMode::Silent);
    }
}

#[test]
fn deployments_scale_and_restart_until_settled() {
    let manifests = format!(
        "{SHOP}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{terminationGracePeriodSeconds: 1, containers: [{{name: c, image: server, ports: [{{containerPort: 8080}}]}}]}}
"
    );
    let mut mesh = mesh_of(config(), &manifests);
    let pods = |mesh: &Mesh| -> Vec<ObjectName> {
        let web = mesh.cluster().pods().filter(|pod| pod.meta.label("app") == Some("web"));
        web.map(|pod| pod.meta.key.clone()).collect()
    };
    let first = pods(&mesh);
    assert_eq!(first.len(), 2);
    assert!(first.iter().all(|pod| mesh.is_captured(pod)));
    let deployment = ObjectReference::new(Kind::Deployment, "shop", "web");
    mesh.scale(&deployment, 5).expect("exists");
    mesh.settle(LIMIT).expect("settles");
    assert_eq!(pods(&mesh).len(), 5);
    mesh.restart(&deployment).expect("exists");
    mesh.settle(LIMIT).expect("settles");
    let last = pods(&mesh);
    assert_eq!(last.len(), 5);
    assert!(last.iter().all(|pod| mesh.is_captured(pod) && !first.contains(pod)));
}
