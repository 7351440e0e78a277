//! [`PodRuntime`]: what exists of a pod beyond its object.

use std::sync::Arc;

use proxy_core::identity::Identity;
use proxy_core::ztunnel::WorkloadInfo;

use super::apps::App;
use super::waypoint::MeshWaypoint;
use crate::cluster::{ClusterConfig, Pod};
use crate::ground::Process;
use crate::node::KillMode;
use crate::record::AppPod;
use crate::wire::NamespaceId;

/// How far a pod is in or out of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// No rules, no proxy, no annotation.
    Outside,
    /// The agent will act.
    Entering {
        /// How often the proxy refused it.
        refused: u32,
    },
    /// Rules and proxy are there; the annotation is not yet.
    Captured,
    /// All of it.
    Inside,
    /// The agent will act.
    Leaving,
    /// Rules and proxy are gone; the annotation is still there.
    Released,
}

impl Membership {
    /// Whether rules and proxy are in place.
    pub(super) fn is_captured(self) -> bool {
        matches!(self, Membership::Captured | Membership::Inside | Membership::Leaving)
    }
}

/// What exists of a pod beyond its object: a network namespace, a process, a place in the mesh or none.
pub(super) struct PodRuntime<H: Process> {
    /// As last seen.
    pub(super) pod: Arc<Pod>,
    pub(super) app_pod: Arc<AppPod>,
    pub(super) node: Arc<str>,
    /// Its own namespace, or the node's.
    pub(super) namespace: NamespaceId,
    pub(super) host: H,
    /// Its containers have been told to start.
    pub(super) started: bool,
    /// They have.
    pub(super) running: bool,
    pub(super) app: Option<Box<dyn App>>,
    /// How its connections end when it is gone, if not as all pods' do.
    pub(super) removal: Option<KillMode>,
    pub(super) membership: Membership,
    /// The proxy it runs instead of an application, if it is a waypoint.
    pub(super) waypoint: Option<MeshWaypoint<H>>,
}

impl<H: Process> PodRuntime<H> {
    /// What the node's proxy is told of it.
    pub(super) fn workload_info(&self) -> WorkloadInfo {
        WorkloadInfo {
            uid: self.pod.meta.uid.clone(),
            name: self.pod.meta.key.name.clone(),
            namespace: self.pod.meta.key.namespace.clone(),
            service_account: self.pod.spec.service_account.clone(),
        }
    }
}

/// The identity of a pod's service account.
pub(super) fn identity(pod: &Pod, config: &ClusterConfig) -> Identity {
    Identity {
        trust_domain: config.trust_domain.clone(),
        namespace: pod.meta.key.namespace.clone(),
        service_account: pod.spec.service_account.clone(),
    }
}
