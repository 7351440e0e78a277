//! Who should be in the mesh: intent, from labels. What has been done about it is the redirection annotation.

use std::sync::Arc;

use super::pod::{Pod, PodPhase};
use super::store::Namespace;

/// The label that enrolls, on pods and namespaces.
pub const DATAPLANE_MODE_LABEL: &str = "istio.io/dataplane-mode";

/// The annotation that says a sidecar was injected.
pub const SIDECAR_STATUS_ANNOTATION: &str = "sidecar.istio.io/status";

/// The label (or, weaker, annotation) by which a pod asks for a sidecar or refuses it.
pub const INJECT_LABEL: &str = "sidecar.istio.io/inject";

/// Only outbound connections of such a pod are redirected.
pub const BYPASS_INBOUND_ANNOTATION: &str = "ambient.istio.io/bypass-inbound-capture";

/// Whether DNS of such a pod is redirected; overrides the default, which is yes.
pub const DNS_CAPTURE_ANNOTATION: &str = "ambient.istio.io/dns-capture";

/// What labels intend for a pod, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Intent {
    /// In the mesh: the pod says so.
    EnrolledByPod,
    /// In the mesh: its namespace says so.
    EnrolledByNamespace,
    /// Not in the mesh.
    Excluded(Exclusion),
}

/// Why a pod is not in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exclusion {
    /// Neither it nor its namespace asks for it.
    NotAsked,
    /// The pod opts out of what its namespace asks.
    OptedOut,
    /// It shares the node's addresses.
    HostNetwork,
    /// It has a sidecar, or would be given one: sidecars win.
    Sidecar,
    /// Its namespace is left alone by configuration.
    ExcludedNamespace,
    /// It is over.
    Ended,
    /// It is a node proxy or an enrollment agent itself.
    MeshComponent,
}

impl Intent {
    /// Whether it is to be in the mesh.
    pub fn is_enrolled(self) -> bool {
        matches!(self, Intent::EnrolledByPod | Intent::EnrolledByNamespace)
    }
}

/// What labels intend for a pod. The pod's label wins over its namespace's, both ways.
///
/// Sidecars are not simulated, but they take precedence as if they were: a pod that injection would give one is not
/// enrolled (see [`would_be_injected`]).
pub fn intent(pod: &Pod, namespace: &Namespace, excluded: &[Arc<str>], system_namespace: &str) -> Intent {
    if let Some(exclusion) = never(pod, namespace, excluded, system_namespace) {
        return Intent::Excluded(exclusion);
    }
    let namespace_mode = namespace.meta.label(DATAPLANE_MODE_LABEL);
    match (pod.meta.label(DATAPLANE_MODE_LABEL), namespace_mode) {
        (Some("ambient"), _) => Intent::EnrolledByPod,
        (Some("none"), Some("ambient")) => Intent::Excluded(Exclusion::OptedOut),
        // Any other value of the pod's label is no opt-out.
        (_, Some("ambient")) => Intent::EnrolledByNamespace,
        _ => Intent::Excluded(Exclusion::NotAsked),
    }
}

fn never(pod: &Pod, namespace: &Namespace, excluded: &[Arc<str>], system_namespace: &str) -> Option<Exclusion> {
    if pod.phase == PodPhase::Gone {
        return Some(Exclusion::Ended);
    }
    if pod.spec.host_network {
        return Some(Exclusion::HostNetwork);
    }
    if excluded.iter().any(|name| **name == *pod.meta.namespace()) {
        return Some(Exclusion::ExcludedNamespace);
    }
    let component =
        matches!(pod.meta.label("app"), Some("ztunnel")) || pod.meta.label("k8s-app") == Some("istio-cni-node");
    if pod.meta.namespace() == system_namespace && component {
        return Some(Exclusion::MeshComponent);
    }
    if pod.meta.annotation(SIDECAR_STATUS_ANNOTATION).is_some() || would_be_injected(pod, namespace) {
        return Some(Exclusion::Sidecar);
    }
    None
}

/// Whether injection would give the pod a sidecar: its namespace (or itself) asks, and it does not refuse.
pub fn would_be_injected(pod: &Pod, namespace: &Namespace) -> bool {
    const NEVER: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];
    if pod.spec.host_network || NEVER.contains(&pod.meta.namespace()) {
        return false;
    }
    match pod.meta.label(INJECT_LABEL).or_else(|| pod.meta.annotation(INJECT_LABEL)) {
        Some("true") => true,
        Some("false") => false,
        _ => match namespace.meta.label("istio-injection") {
            Some("enabled") => true,
            Some("disabled") => false,
            _ => namespace.meta.label("istio.io/rev").is_some(),
        },
    }
}

#[cfg(test)]
mod tests;
