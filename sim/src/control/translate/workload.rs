//! Workloads from pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::state::{HealthStatus, Locality, NetworkMode, TunnelProtocol, Workload, WorkloadType};

use super::Attachments;
use super::labels::{canonical_name, canonical_revision, has_native_tunnel, workload_name};
use super::service::Memberships;
use crate::cluster::{ClusterConfig, Pod, PodPhase, Redirection};

/// The uid proxies know a pod by.
pub(super) fn pod_uid(config: &ClusterConfig, pod: &Pod) -> Arc<str> {
    format!("{}//Pod/{}/{}", config.cluster_id, pod.meta.namespace(), pod.meta.name()).into()
}

/// The record of a pod; `None` while it has no address and once it is over.
pub(super) fn of_pod(
    pod: &Pod,
    config: &ClusterConfig,
    nodes: &BTreeMap<&str, Locality>,
    memberships: &Memberships<'_>,
    attachments: &Attachments<'_>,
) -> Option<Workload> {
    if pod.phase == PodPhase::Gone || pod.addresses.is_empty() {
        return None;
    }
    let (namespace, labels) = (pod.meta.namespace(), &pod.meta.labels);
    let native_tunnel = has_native_tunnel(labels);
    // The fact, not the label: whoever is told HBONE may rely on a proxy listening there.
    let enrolled = pod.redirection() == Some(Redirection::Enabled);
    let name = owner_name(pod);
    Some(Workload {
        uid: pod_uid(config, pod),
        name: pod.meta.key.name.clone(),
        namespace: pod.meta.key.namespace.clone(),
        addresses: pod.addresses.clone(),
        network: config.network.clone(),
        tunnel_protocol: if enrolled || native_tunnel { TunnelProtocol::Hbone } else { TunnelProtocol::None },
        trust_domain: config.trust_domain.clone(),
        service_account: pod.spec.service_account.clone(),
        waypoint: attachments.waypoints.of_workload(namespace, labels),
        node: pod.node.clone().unwrap_or_else(|| "".into()),
        canonical_name: canonical_name(labels, &name),
        canonical_revision: canonical_revision(labels),
        workload_type: WorkloadType::Pod,
        workload_name: name,
        native_tunnel,
        authorization_policies: attachments.of(namespace, labels),
        status: if pod.is_healthy() { HealthStatus::Healthy } else { HealthStatus::Unhealthy },
        cluster_id: config.cluster_id.clone(),
        network_gateway: None,
        hostname: None,
        services: memberships.of_pod(pod),
        application_tunnel: None,
        locality: pod.node.as_deref().and_then(|node| nodes.get(node)).cloned().unwrap_or_default(),
        network_mode: if pod.spec.host_network { NetworkMode::HostNetwork } else { NetworkMode::Standard },
        capacity: 1,
    })
}

/// What a person would call the pod's owner: the Deployment behind its ReplicaSet, the CronJob behind its Job.
fn owner_name(pod: &Pod) -> Arc<str> {
    if let Some(name) = workload_name(&pod.meta.labels) {
        return name;
    }
    let Some(owner) = &pod.meta.owner else { return pod.meta.key.name.clone() };
    match &*owner.kind {
        "ReplicaSet" => {
            let hash = pod.meta.label("pod-template-hash").unwrap_or_default();
            let deployment = owner.name.strip_suffix(hash).and_then(|name| name.strip_suffix('-'));
            deployment
                .filter(|name| !hash.is_empty() && !name.is_empty())
                .map_or_else(|| owner.name.clone(), Into::into)
        }
        "Job" => cron_job(&owner.name).map_or_else(|| owner.name.clone(), Into::into),
        _ => owner.name.clone(),
    }
}

/// The CronJob of a Job named `<cronjob>-<8 to 10 digits>`.
fn cron_job(job: &str) -> Option<&str> {
    let (name, digits) = job.rsplit_once('-')?;
    let is_schedule = (8..=10).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_schedule && !name.is_empty()).then_some(name)
}
