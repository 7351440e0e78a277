use super::*;
use crate::cluster::object::ObjectName;
use crate::cluster::testing::cluster_of;

/// The intent for a pod with these labels, annotations and spec in a namespace with these labels.
fn intent_of(namespace_labels: &str, pod_metadata: &str, pod_spec: &str) -> Intent {
    let (cluster, _) = cluster_of(&format!(
        "{{ apiVersion: v1, kind: Namespace, metadata: {{ name: shop, labels: {{ {namespace_labels} }} }} }}
---
apiVersion: v1
kind: Pod
metadata: {{ name: p, namespace: shop, {pod_metadata} }}
spec: {{ containers: [ {{ name: a }} ], {pod_spec} }}
"
    ));
    let pod = cluster.pod(&ObjectName::new("shop", "p")).unwrap();
    intent(pod, cluster.namespace("shop").unwrap(), &["excluded".into()], "istio-system")
}

const AMBIENT: &str = "istio.io/dataplane-mode: ambient";

#[test]
fn the_namespace_enrolls_unless_the_pod_opts_out() {
    assert_eq!(intent_of(AMBIENT, "", ""), Intent::EnrolledByNamespace);
    assert_eq!(
        intent_of(AMBIENT, "labels: { istio.io/dataplane-mode: none }", ""),
        Intent::Excluded(Exclusion::OptedOut)
    );
    assert_eq!(intent_of(AMBIENT, "labels: { istio.io/dataplane-mode: other }", ""), Intent::EnrolledByNamespace);
    assert_eq!(intent_of("istio.io/dataplane-mode: none", "", ""), Intent::Excluded(Exclusion::NotAsked));
    assert_eq!(intent_of("", "", ""), Intent::Excluded(Exclusion::NotAsked));
}

#[test]
fn the_pod_enrolls_itself_in_an_unlabelled_namespace() {
    assert_eq!(intent_of("", "labels: { istio.io/dataplane-mode: ambient }", ""), Intent::EnrolledByPod);
    assert!(
        intent_of("istio.io/dataplane-mode: none", "labels: { istio.io/dataplane-mode: ambient }", "").is_enrolled()
    );
}

#[test]
fn host_network_pods_are_never_enrolled() {
    let labels = "labels: { istio.io/dataplane-mode: ambient }";
    assert_eq!(intent_of(AMBIENT, labels, "hostNetwork: true"), Intent::Excluded(Exclusion::HostNetwork));
}

#[test]
fn sidecars_win_over_ambient() {
    let sidecar = Intent::Excluded(Exclusion::Sidecar);
    assert_eq!(intent_of(AMBIENT, "annotations: { sidecar.istio.io/status: '{}' }", ""), sidecar);
    let both = format!("{AMBIENT}, istio-injection: enabled");
    assert_eq!(intent_of(&both, "", ""), sidecar);
    assert_eq!(intent_of(&format!("{AMBIENT}, istio.io/rev: canary"), "", ""), sidecar);
    assert_eq!(intent_of(&both, "labels: { sidecar.istio.io/inject: 'false' }", ""), Intent::EnrolledByNamespace);
    assert_eq!(intent_of(AMBIENT, "labels: { sidecar.istio.io/inject: 'true' }", ""), sidecar);
    let label_beats_annotation =
        "labels: { sidecar.istio.io/inject: 'false' }, annotations: { sidecar.istio.io/inject: 'true' }";
    assert_eq!(intent_of(AMBIENT, label_beats_annotation, ""), Intent::EnrolledByNamespace);
}

#[test]
fn excluded_namespaces_and_the_mesh_itself_are_left_alone() {
    let (cluster, _) = cluster_of(
        "{ apiVersion: v1, kind: Namespace, metadata: { name: excluded, labels: { istio.io/dataplane-mode: ambient } } }
---
{ apiVersion: v1, kind: Pod, metadata: { name: p, namespace: excluded }, spec: { containers: [ { name: a } ] } }
---
apiVersion: v1
kind: Pod
metadata: { name: z, namespace: istio-system, labels: { app: ztunnel, istio.io/dataplane-mode: ambient } }
spec: { containers: [ { name: a } ] }
",
    );
    let of = |namespace: &str, name: &str| {
        let pod = cluster.pod(&ObjectName::new(namespace, name)).unwrap();
        intent(pod, cluster.namespace(namespace).unwrap(), &["excluded".into()], "istio-system")
    };
    assert_eq!(of("excluded", "p"), Intent::Excluded(Exclusion::ExcludedNamespace));
    assert_eq!(of("istio-system", "z"), Intent::Excluded(Exclusion::MeshComponent));
}
