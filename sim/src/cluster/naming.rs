//! What a pod is called in telemetry: names derived from labels and owners.

use std::sync::Arc;

use proxy_core::state::Locality;

use super::pod::Pod;
use super::store::Cluster;

/// A pod's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadNames {
    /// Of the Deployment, StatefulSet, …, or the pod itself.
    pub workload: Arc<str>,
    /// Canonical service.
    pub canonical_name: Arc<str>,
    /// Canonical revision.
    pub canonical_revision: Arc<str>,
}

/// A pod's names: labels first, then what its owner is called.
pub fn workload_names(pod: &Pod) -> WorkloadNames {
    let label = |keys: &[&str]| keys.iter().find_map(|key| pod.meta.labels.get(*key).cloned());
    let workload = label(&["service.istio.io/workload-name"]).unwrap_or_else(|| owner_name(pod));
    WorkloadNames {
        canonical_name: label(&["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"])
            .unwrap_or_else(|| workload.clone()),
        canonical_revision: label(&["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"])
            .unwrap_or_else(|| "latest".into()),
        workload,
    }
}

/// The name of what a person wrote: a ReplicaSet's less its hash, a Job's less its time if a CronJob made it.
fn owner_name(pod: &Pod) -> Arc<str> {
    let Some(owner) = &pod.meta.owner else { return pod.meta.key.name.clone() };
    match &*owner.kind {
        "ReplicaSet" => {
            let hash = pod.meta.label("pod-template-hash").or_else(|| pod.meta.label("rollouts-pod-template-hash"));
            let deployment = hash.and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
            deployment.map_or_else(|| owner.name.clone(), Into::into)
        }
        "ReplicationController" => {
            let config = pod.meta.label("deploymentconfig");
            let of_config =
                config.filter(|config| owner.name.strip_prefix(config).is_some_and(|rest| rest.starts_with('-')));
            of_config.map_or_else(|| owner.name.clone(), Into::into)
        }
        "Job" => match owner.name.rsplit_once('-') {
            Some((name, time)) if (8..=10).contains(&time.len()) && time.bytes().all(|byte| byte.is_ascii_digit()) => {
                name.into()
            }
            _ => owner.name.clone(),
        },
        _ => owner.name.clone(),
    }
}

impl Cluster {
    /// Where a pod runs, from its node's labels; empty until it is scheduled.
    pub fn locality(&self, pod: &Pod) -> Locality {
        pod.node.as_ref().and_then(|node| self.nodes.get(node)).map(|node| node.locality()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::cluster_of;

    fn names_of(yaml: &str, prefix: &str) -> (String, String, String) {
        let (cluster, _) = cluster_of(yaml);
        let pod = cluster.pods().find(|pod| pod.meta.name().starts_with(prefix)).unwrap();
        let names = workload_names(pod);
        (names.workload.to_string(), names.canonical_name.to_string(), names.canonical_revision.to_string())
    }

    #[test]
    fn pods_are_named_after_what_a_person_wrote() {
        let deployment = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: reviews-v1 }
spec:
  selector: { matchLabels: { app: reviews } }
  template:
    metadata: { labels: { app: reviews, version: v1 } }
    spec: { containers: [ { name: a } ] }
";
        assert_eq!(names_of(deployment, "reviews-v1-"), ("reviews-v1".into(), "reviews".into(), "v1".into()));
        let pod = |metadata: &str| {
            format!(
                "{{ apiVersion: v1, kind: Pod, metadata: {{ name: p, {metadata} }}, spec: {{ containers: [ {{ name: a }} ] }} }}"
            )
        };
        assert_eq!(names_of(&pod(""), "p"), ("p".into(), "p".into(), "latest".into()));
        let owned = |kind: &str, name: &str| {
            pod(&format!(
                "ownerReferences: [ {{ apiVersion: v1, kind: {kind}, name: {name}, uid: u, controller: true }} ]"
            ))
        };
        assert_eq!(names_of(&owned("Job", "backup-28391820"), "p").0, "backup");
        assert_eq!(names_of(&owned("Job", "backup-1"), "p").0, "backup-1");
        assert_eq!(names_of(&owned("Widget", "w"), "p").0, "w");
        let labelled = pod(
            "labels: { service.istio.io/workload-name: x, app.kubernetes.io/name: n, app: a, app.kubernetes.io/version: v }",
        );
        assert_eq!(names_of(&labelled, "p"), ("x".into(), "n".into(), "v".into()));
    }
}
