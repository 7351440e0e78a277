//! What the agent's annotation says, and when it is taken back.

use super::*;

/// The shop and a pod outside the mesh that holds a port its proxy would need.
fn squatted() -> (Mesh, ObjectName, ObjectReference) {
    let manifests = format!(
        "{SHOP}
---
apiVersion: v1
kind: Pod
metadata: {{name: squatter, namespace: plain}}
spec: {{nodeName: node-1, containers: [{{name: c, image: squatter}}]}}
"
    );
    let mesh = mesh_of(config(), &manifests);
    (mesh, name("plain", "squatter"), ObjectReference::new(Kind::Pod, "plain", "squatter"))
}

#[test]
fn a_pod_whose_proxy_cannot_start_is_pending_and_fails_closed_until_it_can() {
    let (mut mesh, squatter, pod) = squatted();
    let label = LabelChange::Set("istio.io/dataplane-mode".into(), "ambient".into());
    mesh.label(&pod, &[label]).expect("exists");
    mesh.run_until(mesh.now() + Duration::from_secs(2)).expect("runs");
    assert!(!mesh.is_captured(&squatter));
    assert_eq!(mesh.cluster().pod(&squatter).expect("a pod").redirection(), Some(Redirection::Pending));
    let host = mesh.pod(&squatter).expect("a pod").2.clone();
    assert!(mesh.sim().capture(host.namespace_id()).is_some(), "rules without a proxy");
    assert!(hello(&mut mesh, &squatter, "10.96.7.7:80".parse().unwrap()).is_err());
    host.kill(KillMode::Close);
    mesh.settle(LIMIT).expect("settles");
    assert!(mesh.is_captured(&squatter));
    assert_eq!(mesh.cluster().pod(&squatter).expect("a pod").redirection(), Some(Redirection::Enabled));
}

#[test]
fn a_pending_pod_that_is_no_longer_wanted_is_left_as_if_it_never_was() {
    let (mut mesh, squatter, pod) = squatted();
    mesh.label(&pod, &[LabelChange::Set("istio.io/dataplane-mode".into(), "ambient".into())]).expect("exists");
    mesh.run_until(mesh.now() + Duration::from_secs(2)).expect("runs");
    assert_eq!(mesh.cluster().pod(&squatter).expect("a pod").redirection(), Some(Redirection::Pending));
    mesh.label(&pod, &[LabelChange::Set("istio.io/dataplane-mode".into(), "none".into())]).expect("exists");
    mesh.settle(LIMIT).expect("settles");
    assert_eq!(mesh.cluster().pod(&squatter).expect("a pod").redirection(), None);
    let host = mesh.pod(&squatter).expect("a pod").2.clone();
    assert!(mesh.sim().capture(host.namespace_id()).is_none());
}

#[test]
fn an_exported_manifest_does_not_say_that_its_pod_is_in_the_mesh() {
    let manifests = format!(
        "{SHOP}
---
apiVersion: v1
kind: Pod
metadata: {{name: exported, namespace: plain, annotations: {{ambient.istio.io/redirection: enabled}}}}
spec: {{containers: [{{name: c, image: echo}}]}}
"
    );
    let mesh = mesh_of(config(), &manifests);
    assert_eq!(mesh.cluster().pod(&name("plain", "exported")).expect("a pod").redirection(), None);
}
