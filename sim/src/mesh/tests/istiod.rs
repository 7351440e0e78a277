//! Configuration and certificates over the simulated network.

use super::*;

fn on_the_wire() -> Mesh {
    mesh_of(wire_config(), SHOP)
}

fn wire_config() -> MeshConfig {
    let control_plane = ControlPlaneConfig { delivery: Delivery::Wire, ..ControlPlaneConfig::default() };
    MeshConfig { control_plane, ..config() }
}

/// What each proxy holds is what the cluster translates to.
fn assert_in_step(mesh: &Mesh) {
    let wanted = translate(mesh.cluster()).resources;
    for node in ["node-1", "node-2"] {
        let snapshot = mesh.ztunnel(node).expect("a proxy").state().snapshot();
        for workload in wanted.workloads() {
            assert_eq!(snapshot.workload(&workload.uid), Some(workload), "{node}");
        }
        for policy in wanted.authorizations() {
            assert_eq!(snapshot.policy(&policy.key), Some(policy), "{node}");
        }
        assert_eq!(snapshot.workloads().count(), wanted.workloads().count(), "{node}");
        assert_eq!(snapshot.policies().count(), wanted.authorizations().count(), "{node}");
    }
}

fn run(mesh: &mut Mesh, seconds: u64) {
    let until = mesh.now() + Duration::from_secs(seconds);
    mesh.run_until(until).expect("runs");
}

const DENY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec: {action: DENY, rules: [{}]}
";

fn apply(mesh: &mut Mesh, manifests: &str) {
    let documents = yaml::parse("more.yaml", manifests).expect("YAML");
    mesh.apply(&documents, &ApplyOptions::default()).expect("applies");
}

#[test]
fn proxies_learn_the_cluster_and_get_their_certificates_over_the_network() {
    let mut mesh = on_the_wire();
    assert_in_step(&mesh);
    assert!(mesh.authority().signed() >= 1);
    let to = address(&mesh, "shop", "server");
    assert_eq!(hello(&mut mesh, &name("shop", "client"), to).expect("an answer"), "hello");
    apply(&mut mesh, DENY);
    mesh.settle(LIMIT).expect("settles");
    assert_in_step(&mesh);
    assert_ne!(hello(&mut mesh, &name("shop", "client"), to).unwrap_or_default(), "hello");
}

#[test]
fn a_control_plane_that_is_gone_leaves_traffic_alone_and_resumes_where_it_was() {
    for mode in [KillMode::Close, KillMode::Reset, KillMode::Silent] {
        let mut mesh = on_the_wire();
        let (client, to) = (name("shop", "client"), address(&mesh, "shop", "server"));
        assert!(mesh.stop_control_plane(mode));
        assert!(!mesh.stop_control_plane(mode), "it is stopped already");
        apply(&mut mesh, DENY);
        let pod = ObjectReference::new(Kind::Pod, "plain", "outsider");
        mesh.delete(&pod, Some(Duration::ZERO)).expect("exists");
        run(&mut mesh, 40);
        assert_eq!(hello(&mut mesh, &client, to).expect("an answer"), "hello", "{mode:?}: nobody told them otherwise");
        mesh.start_control_plane().expect("starts");
        run(&mut mesh, 20);
        mesh.settle(LIMIT).expect("settles");
        assert_in_step(&mesh);
        assert_ne!(hello(&mut mesh, &client, to).unwrap_or_default(), "hello", "{mode:?}");
    }
}

#[test]
fn a_proxy_that_comes_back_is_not_sent_what_it_holds() {
    let many = format!(
        "{SHOP}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: 100
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: c, image: client}}]}}
"
    );
    let mut mesh = mesh_of(wire_config(), &many);
    let records = translate(mesh.cluster()).resources;
    let records: usize = records.iter().map(|(_, record)| proxy_core::proto::encode_body(record).1.len()).sum();
    let sent = |mesh: &Mesh| mesh.sim().counters()["wire_bytes"] as usize;
    let before = sent(&mesh);
    mesh.stop_control_plane(KillMode::Reset);
    mesh.start_control_plane().expect("starts");
    run(&mut mesh, 5);
    mesh.settle(LIMIT).expect("settles");
    let resumed = sent(&mesh) - before;
    assert!(resumed < 2 * records, "lists of versions, and no record: {resumed} bytes, records are {records}");
    assert_in_step(&mesh);
}

#[test]
fn a_control_plane_behind_a_cut_link_is_heard_again_when_the_link_is_back() {
    use crate::fabric::{Link, LinkEnd};
    let mut mesh = on_the_wire();
    let node = mesh.nodes["node-2"].id;
    let cut = |mesh: &Mesh, cut: bool| {
        let istiod = mesh.istiod.as_ref().expect("on the wire").namespace;
        let link = cut.then(|| Link { cut: true, ..Link::with_latency(Duration::from_millis(1)) });
        mesh.sim().set_link(LinkEnd::Node(node), LinkEnd::Namespace(istiod), link);
        mesh.sim().set_link(LinkEnd::Namespace(istiod), LinkEnd::Node(node), link);
    };
    cut(&mesh, true);
    apply(&mut mesh, DENY);
    run(&mut mesh, 100);
    assert!(!mesh.is_settled(), "node-2 cannot have heard of it");
    cut(&mesh, false);
    run(&mut mesh, 60);
    mesh.settle(LIMIT).expect("settles");
    assert_in_step(&mesh);
}

#[test]
fn the_same_seed_gives_the_same_run_over_the_wire() {
    let digest = || {
        let mut mesh = on_the_wire();
        mesh.stop_control_plane(KillMode::Reset);
        mesh.start_control_plane().expect("starts");
        run(&mut mesh, 10);
        mesh.sim().digest()
    };
    assert_eq!(digest(), digest());
}
