//! [`Cluster`]: the objects and the operations on them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::host::Instant;
use proxy_core::state::Locality;
use rpds::RedBlackTreeMapSync as Map;

use super::config::ClusterConfig;
use super::diagnostic::{Diagnostic, Source};
use super::ipam::PodPool;
use super::istio::{AuthorizationPolicy, PeerAuthentication, ServiceEntry, WorkloadEntry};
use super::object::{Labels, Meta, ObjectName, ObjectReference};
use super::pod::{Pod, PodEvent};
use super::service::{EndpointSlice, Service};
use super::traffic::Traffic;
use super::workloads::Controller;

/// A cluster at one moment: every object there is, and what is due next. Cloning is cheap (persistent maps of shared
/// objects), so keeping a copy per change is fine. Every operation that takes a time first brings the cluster to that time;
/// times never go back.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(super) config: Arc<ClusterConfig>,
    pub(super) namespaces: Map<Arc<str>, Arc<Namespace>>,
    pub(super) nodes: Map<Arc<str>, Arc<Node>>,
    pub(super) service_accounts: Map<ObjectName, Arc<ServiceAccount>>,
    pub(super) services: Map<ObjectName, Arc<Service>>,
    pub(super) endpoint_slices: Map<ObjectName, Arc<EndpointSlice>>,
    pub(super) controllers: Map<ObjectReference, Arc<Controller>>,
    pub(super) pods: Map<ObjectName, Arc<Pod>>,
    pub(super) service_entries: Map<ObjectName, Arc<ServiceEntry>>,
    pub(super) workload_entries: Map<ObjectName, Arc<WorkloadEntry>>,
    pub(super) authorization_policies: Map<ObjectName, Arc<AuthorizationPolicy>>,
    pub(super) peer_authentications: Map<ObjectName, Arc<PeerAuthentication>>,
    /// Everything that says what waypoints do.
    pub(super) traffic: Map<ObjectReference, Arc<Traffic>>,
    /// Key sets the control plane fetched, by where from: a `jwksUri`, or an issuer.
    pub(super) fetched_keys: Map<Arc<str>, Arc<str>>,
    /// Virtual addresses in use, and by whom.
    pub(super) virtual_addresses: Map<IpAddr, ObjectReference>,
    /// Pod addresses by node.
    pub(super) pools: Map<Arc<str>, Arc<PodPool>>,
    /// The next step of each pod that has one due, by time and order of creation.
    pub(super) timers: Map<(Instant, u64), ObjectName>,
    /// How many pods were ever made for a controller: names never come back.
    pub(super) serials: Map<ObjectName, u64>,
    /// Not yet handed out.
    pub(super) events: Vec<PodEvent>,
    /// Since when controllers have not looked.
    pub(super) dirty: Option<Instant>,
    /// Of the next object.
    pub(super) order: u64,
    /// Of the next node.
    pub(super) node_index: u32,
    /// Rises with every change.
    pub(super) revision: u64,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its key has an empty namespace and this name.
    pub meta: Meta,
    /// Deleted; vanishes with its last pod. Nothing can be created in it.
    pub deleting: bool,
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

/// The meta of an object no file mentions.
pub(super) fn builtin(key: ObjectName, labels: Labels) -> Meta {
    Meta {
        key,
        uid: "".into(),
        labels,
        annotations: Labels::new(),
        created: Instant::START,
        order: 0,
        source: Source::builtin(),
        owner: None,
        applied: BTreeSet::new(),
    }
}

/// Any object.
#[derive(Clone, Debug)]
pub(super) enum Object {
    Namespace(Namespace),
    Node(Node),
    ServiceAccount(ServiceAccount),
    Service(Service),
    EndpointSlice(EndpointSlice),
    Controller(Controller),
    Pod(Pod),
    ServiceEntry(ServiceEntry),
    WorkloadEntry(WorkloadEntry),
    AuthorizationPolicy(AuthorizationPolicy),
    PeerAuthentication(PeerAuthentication),
    Traffic(Box<Traffic>),
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Name, labels, annotations.
    pub meta: Meta,
}

/// What all objects in the store are alike in.
pub(super) trait Stored: Clone + PartialEq {
    fn meta(&self) -> &Meta;
    fn meta_mut(&mut self) -> &mut Meta;
}

macro_rules! stored {
    ($($object:ty)*) => {
        $(impl Stored for $object {
            fn meta(&self) -> &Meta {
                &self.meta
            }
            fn meta_mut(&mut self) -> &mut Meta {
                &mut self.meta
            }
        })*
    };
}

stored! { Namespace Node ServiceAccount Service EndpointSlice Controller Pod ServiceEntry WorkloadEntry
AuthorizationPolicy PeerAuthentication }

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
        let config = Arc::new(config);
        let mut cluster = Cluster {
            config: config.clone(),
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
            traffic: Map::new_sync(),
            fetched_keys: Map::new_sync(),
            virtual_addresses: Map::new_sync(),
            pools: Map::new_sync(),
            timers: Map::new_sync(),
            serials: Map::new_sync(),
            events: Vec::new(),
            dirty: None,
            order: 0,
            node_index: 0,
            revision: 0,
        };
        for name in ["default", "kube-system", &config.root_namespace] {
            let labels = [("kubernetes.io/metadata.name".into(), name.into())].into();
            cluster
                .put_namespace(Namespace { meta: builtin(ObjectName::cluster_scoped(name), labels), deleting: false });
        }
        cluster.put_gateway_classes();
        for node in &config.nodes {
            let mut labels = node.labels.clone();
            for (key, value) in [("region", &node.region), ("zone", &node.zone)] {
                if !value.is_empty() {
                    labels.insert(format!("topology.kubernetes.io/{key}").into(), value.clone());
                }
            }
            let meta = builtin(ObjectName::cluster_scoped(&node.name), labels);
            cluster.put_node(Node { meta, index: 0, addresses: Vec::new() });
        }
        cluster
    }

    /// What it was made from.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// Rises with every change, and only then: equal revisions of one cluster's history are equal clusters.
    pub fn revision(&self) -> u64 {
        self.revision
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
