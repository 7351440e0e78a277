//! [`Cluster`]: the objects and the operations on them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;
use proxy_core::state::Locality;
use rpds::RedBlackTreeMapSync as Map;

use super::config::ClusterConfig;
use super::diagnostic::{Diagnostic, Problem};
use super::istio::{AuthorizationPolicy, PeerAuthentication, ServiceEntry, WorkloadEntry};
use super::object::{Meta, ObjectName, ObjectReference};
use super::pod::{Pod, PodEvent, Redirection};
use super::service::{EndpointSlice, Service};
use super::workloads::Controller;
use super::yaml::Document;

/// A cluster at one moment: every object there is. Cloning is cheap (persistent maps of shared objects), so keeping a copy
/// per change is fine.
#[derive(Clone, Debug)]
pub struct Cluster {
    config: Arc<ClusterConfig>,
    namespaces: Map<Arc<str>, Arc<Namespace>>,
    nodes: Map<Arc<str>, Arc<Node>>,
    service_accounts: Map<ObjectName, Arc<ServiceAccount>>,
    services: Map<ObjectName, Arc<Service>>,
    endpoint_slices: Map<ObjectName, Arc<EndpointSlice>>,
    controllers: Map<ObjectReference, Arc<Controller>>,
    pods: Map<ObjectName, Arc<Pod>>,
    service_entries: Map<ObjectName, Arc<ServiceEntry>>,
    workload_entries: Map<ObjectName, Arc<WorkloadEntry>>,
    authorization_policies: Map<ObjectName, Arc<AuthorizationPolicy>>,
    peer_authentications: Map<ObjectName, Arc<PeerAuthentication>>,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its key has an empty namespace and this name.
    pub meta: Meta,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Labels carry the topology.
    pub meta: Meta,
    /// Counts from 0 in order of creation; settles addresses.
    pub index: u32,
    /// Its own addresses, primary family first.
    pub addresses: Vec<IpAddr>,
}

impl Node {
    /// Region, zone and subzone from the topology labels.
    pub fn locality(&self) -> Locality {
        let label = |key| self.meta.labels.get(key).cloned().unwrap_or_else(|| "".into());
        Locality {
            region: label("topology.kubernetes.io/region"),
            zone: label("topology.kubernetes.io/zone"),
            subzone: label("topology.istio.io/subzone"),
        }
    }
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Name, labels, annotations.
    pub meta: Meta,
}

/// How documents are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Namespace of objects that name none, as `kubectl -n`.
    pub namespace: Arc<str>,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        ApplyOptions { namespace: "default".into() }
    }
}

/// What an apply or delete did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// In order of creation.
    pub changes: Vec<Change>,
    /// Worth knowing, not wrong: kinds and fields that are not simulated (each once, with a count), named target ports no
    /// pod has, …
    pub notices: Vec<Diagnostic>,
}

/// What happened to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which object.
    pub object: ObjectReference,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "kubectl's words")]
pub enum ChangeKind {
    Created,
    Configured,
    Unchanged,
    Deleted,
}

/// One `kubectl label` argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelChange {
    /// `key=value`; replaces.
    Set(Arc<str>, Arc<str>),
    /// `key-`.
    Remove(Arc<str>),
}

impl Cluster {
    /// A cluster with namespaces `default`, `kube-system` and the root namespace, each with service account `default`, and
    /// the configured nodes.
    pub fn new(config: ClusterConfig) -> Self {
        Cluster {
            config: Arc::new(config),
            namespaces: Map::new_sync(),
            nodes: Map::new_sync(),
            service_accounts: Map::new_sync(),
            services: Map::new_sync(),
            endpoint_slices: Map::new_sync(),
            controllers: Map::new_sync(),
            pods: Map::new_sync(),
            service_entries: Map::new_sync(),
            workload_entries: Map::new_sync(),
            authorization_policies: Map::new_sync(),
            peer_authentications: Map::new_sync(),
        }
    }

    /// What it was made from.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// `kubectl apply -f`: creates and updates, all or nothing. Controllers act at the next [`Cluster::step`].
    ///
    /// # Errors
    /// Everything that is wrong with the documents, in order of writing. Nothing has changed then.
    pub fn apply(
        &mut self,
        documents: &[Document],
        options: &ApplyOptions,
        now: Instant,
    ) -> Result<Applied, Vec<Diagnostic>> {
        let _ = (documents, options, now);
        Ok(Applied::default())
    }

    /// `kubectl delete -f`: deletes the objects the documents name; those that do not exist are left out.
    ///
    /// # Errors
    /// Documents that name no object.
    pub fn delete_documents(
        &mut self,
        documents: &[Document],
        options: &ApplyOptions,
        now: Instant,
    ) -> Result<Applied, Vec<Diagnostic>> {
        let _ = (documents, options, now);
        Ok(Applied::default())
    }

    /// Deletes one object and what it owns. Pods get their grace period, or `grace` if given (zero: gone at the next step).
    ///
    /// # Errors
    /// There is no such object.
    pub fn delete(&mut self, object: &ObjectReference, grace: Option<Duration>, now: Instant) -> Result<(), Problem> {
        let _ = (object, grace, now);
        Ok(())
    }

    /// `kubectl label --overwrite`.
    ///
    /// # Errors
    /// There is no such object; not a valid label.
    pub fn label(&mut self, object: &ObjectReference, changes: &[LabelChange], now: Instant) -> Result<(), Problem> {
        let _ = (object, changes, now);
        Ok(())
    }

    /// `kubectl scale`: Deployments, ReplicaSets and StatefulSets.
    ///
    /// # Errors
    /// There is no such object, or it has no replicas.
    pub fn scale(&mut self, object: &ObjectReference, replicas: u32, now: Instant) -> Result<(), Problem> {
        let _ = (object, replicas, now);
        Ok(())
    }

    /// `kubectl rollout restart`: Deployments, StatefulSets and DaemonSets.
    ///
    /// # Errors
    /// There is no such object, or it cannot be restarted.
    pub fn restart(&mut self, object: &ObjectReference, now: Instant) -> Result<(), Problem> {
        let _ = (object, now);
        Ok(())
    }

    /// Runs controllers, scheduler and pod lives up to `now`. Events come in order of time, then of creation.
    pub fn step(&mut self, now: Instant) -> Vec<PodEvent> {
        let _ = now;
        Vec::new()
    }

    /// When [`Cluster::step`] next has something to do, if ever. In the past right after a change.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// The enrollment agent's word on a pod: sets or removes its redirection annotation. False if there is no such pod (any
    /// more): compare uids if a pod of that name may have been replaced.
    pub fn set_redirection(&mut self, pod: &ObjectName, redirection: Option<Redirection>) -> bool {
        let _ = (pod, redirection);
        false
    }

    /// Makes a running pod unready until further notice, or ready again, as its readiness probe would. False if there is no
    /// such pod.
    pub fn set_ready(&mut self, pod: &ObjectName, ready: bool, now: Instant) -> bool {
        let _ = (pod, ready, now);
        false
    }

    /// Namespaces by name.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<Namespace>> {
        self.namespaces.values()
    }

    /// A namespace.
    pub fn namespace(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.namespaces.get(name)
    }

    /// Nodes by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// A node.
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.get(name)
    }

    /// Service accounts by namespace and name.
    pub fn service_accounts(&self) -> impl Iterator<Item = &Arc<ServiceAccount>> {
        self.service_accounts.values()
    }

    /// Services by namespace and name.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// A service.
    pub fn service(&self, name: &ObjectName) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    /// Written endpoint slices by namespace and name.
    pub fn endpoint_slices(&self) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.endpoint_slices.values()
    }

    /// Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<Controller>> {
        self.controllers.values()
    }

    /// A controller.
    pub fn controller(&self, object: &ObjectReference) -> Option<&Arc<Controller>> {
        self.controllers.get(object)
    }

    /// Pods by namespace and name, terminating ones too, gone ones not.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values()
    }

    /// A pod.
    pub fn pod(&self, name: &ObjectName) -> Option<&Arc<Pod>> {
        self.pods.get(name)
    }

    /// Service entries by namespace and name.
    pub fn service_entries(&self) -> impl Iterator<Item = &Arc<ServiceEntry>> {
        self.service_entries.values()
    }

    /// Workload entries by namespace and name.
    pub fn workload_entries(&self) -> impl Iterator<Item = &Arc<WorkloadEntry>> {
        self.workload_entries.values()
    }

    /// Authorization policies by namespace and name.
    pub fn authorization_policies(&self) -> impl Iterator<Item = &Arc<AuthorizationPolicy>> {
        self.authorization_policies.values()
    }

    /// Peer authentications by namespace and name.
    pub fn peer_authentications(&self) -> impl Iterator<Item = &Arc<PeerAuthentication>> {
        self.peer_authentications.values()
    }
}
