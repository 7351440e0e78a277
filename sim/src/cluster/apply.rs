//! `kubectl apply -f` and `kubectl delete -f`: all or nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::host::Instant;

use super::diagnostic::{Diagnostic, Problem};
use super::ipam;
use super::istio::{Resolution, ServiceEntry};
use super::object::{Kind, Meta, ObjectName, ObjectReference};
use super::pod::{Pod, PodPhase};
use super::read::{self, Written};
use super::service::{Exposure, IpFamily, Service};
use super::store::{Applied, ApplyOptions, Change, ChangeKind, Cluster, Namespace, Node, Object, Stored};
use super::workloads::{Controller, ControllerSpec};
use super::yaml::Document;

impl Cluster {
    /// `kubectl apply -f`: creates and updates, all or nothing. Controllers act at the next [`Cluster::step`].
    ///
    /// As kubectl does it: labels and annotations put there by other means stay, and so does the number of replicas if the
    /// manifest does not say it.
    ///
    /// # Errors
    /// Everything that is wrong with the documents, in order of writing. Nothing has changed then.
    pub fn apply(
        &mut self,
        documents: &[Document],
        options: &ApplyOptions,
        now: Instant,
    ) -> Result<Applied, Vec<Diagnostic>> {
        self.run(now);
        let contents = read::read(documents, &options.namespace, &self.config)?;
        let mut applied = Applied { changes: Vec::new(), notices: contents.notices };
        self.check(&contents.objects, &mut applied.notices)?;
        let mut objects = contents.objects;
        // Explicit virtual addresses first: nothing else may be given them.
        objects.sort_by_key(|written| (reference(&written.object).kind, !has_explicit_address(&written.object)));
        for written in objects {
            let object = reference(&written.object);
            let kind = self.store(written, now);
            applied.changes.push(Change { object, kind });
        }
        if applied.changes.iter().any(|change| change.kind != ChangeKind::Unchanged) {
            // At once, so that what is made for a gateway can be named by whoever applied it.
            self.reconcile_gateways(now);
            self.touch(now);
        }
        Ok(applied)
    }

    /// `kubectl delete -f`: deletes the objects the documents name. Those that do not exist are mentioned in a notice.
    ///
    /// # Errors
    /// Documents that name no object. Nothing has changed then.
    pub fn delete_documents(
        &mut self,
        documents: &[Document],
        options: &ApplyOptions,
        now: Instant,
    ) -> Result<Applied, Vec<Diagnostic>> {
        self.run(now);
        let mut applied = Applied::default();
        for (object, source) in read::read_names(documents, &options.namespace)?.into_iter().rev() {
            match self.remove(&object, None, now) {
                Ok(()) => applied.changes.push(Change { object, kind: ChangeKind::Deleted }),
                Err(problem) => applied.notices.push(problem.at(&source)),
            }
        }
        Ok(applied)
    }

    fn store(&mut self, written: Written, now: Instant) -> ChangeKind {
        let says_replicas = written.says_replicas;
        match written.object {
            Object::Namespace(mut object) => {
                let name = object.meta.key.name.clone();
                object.meta.labels.insert("kubernetes.io/metadata.name".into(), name.clone());
                let old = self.namespaces.get(&name).cloned();
                self.merge(object, old, now, Cluster::put_namespace)
            }
            Object::Node(mut object) => {
                let old = self.nodes.get(&object.meta.key.name).cloned();
                if let Some(old) = &old {
                    object.index = old.index;
                    object.addresses.clone_from(&old.addresses);
                }
                self.merge(object, old, now, Cluster::put_node)
            }
            Object::ServiceAccount(object) => {
                let old = self.service_accounts.get(&object.meta.key).cloned();
                self.merge(object, old, now, |cluster, object| {
                    cluster.service_accounts.insert_mut(object.meta.key.clone(), Arc::new(object));
                })
            }
            Object::Service(mut object) => {
                let old = self.services.get(&object.meta.key).cloned();
                self.give_addresses(&mut object, old.as_deref());
                self.merge(object, old, now, |cluster, object| {
                    cluster.services.insert_mut(object.meta.key.clone(), Arc::new(object));
                })
            }
            Object::EndpointSlice(object) => {
                let old = self.endpoint_slices.get(&object.meta.key).cloned();
                self.merge(object, old, now, |cluster, object| {
                    cluster.endpoint_slices.insert_mut(object.meta.key.clone(), Arc::new(object));
                })
            }
            Object::Controller(mut object) => {
                let key = ObjectReference { kind: object.kind(), name: object.meta.key.clone() };
                let old = self.controllers.get(&key).cloned();
                if let Some(old) = &old {
                    object.restart(old.restarted);
                    if !says_replicas {
                        keep_replicas(&mut object, old);
                    }
                }
                self.merge(object, old, now, |cluster, object| {
                    cluster.controllers.insert_mut(key, Arc::new(object));
                })
            }
            Object::Pod(mut object) => {
                let old = self.pods.get(&object.meta.key).cloned();
                if let Some(old) = &old {
                    object = Pod { meta: object.meta, ..Pod::clone(old) };
                }
                self.merge(object, old, now, |cluster, object| {
                    cluster.put_pod(object);
                })
            }
            Object::ServiceEntry(mut object) => {
                let old = self.service_entries.get(&object.meta.key).cloned();
                self.give_entry_addresses(&mut object, old.as_deref());
                self.merge(object, old, now, |cluster, object| {
                    cluster.service_entries.insert_mut(object.meta.key.clone(), Arc::new(object));
                })
            }
            Object::WorkloadEntry(object) => {
                let old = self.workload_entries.get(&object.meta.key).cloned();
                self.merge(object, old, now, |cluster, object| {
                    cluster.workload_entries.insert_mut(object.meta.key.clone(), Arc::new(object));
                })
            }
            Object::AuthorizationPolicy(object) => {
                let old = self.authorization_policies.get(&object.meta.key).cloned();
                self.merge(object, old, now, |cluster, object| {
                    cluster.authorization_policies.insert_mut(object.meta.key.clone(), Arc::new(object));
                })
            }
            Object::PeerAuthentication(object) => {
                let old = self.peer_authentications.get(&object.meta.key).cloned();
                self.merge(object, old, now, |cluster, object| {
                    cluster.peer_authentications.insert_mut(object.meta.key.clone(), Arc::new(object));
                })
            }
            Object::Traffic(mut object) => {
                let key = object.reference();
                let old = self.traffic.get(&key).cloned();
                if let Some(old) = &old {
                    object.keep_status(old);
                }
                self.merge(*object, old, now, |cluster, object| {
                    cluster.traffic.insert_mut(key, Arc::new(object));
                })
            }
        }
    }

    /// Creates, or updates what is there already.
    fn merge<T: Stored>(
        &mut self,
        mut object: T,
        old: Option<Arc<T>>,
        now: Instant,
        put: impl FnOnce(&mut Cluster, T),
    ) -> ChangeKind {
        let Some(old) = old else {
            self.stamp(object.meta_mut(), now);
            put(self, object);
            return ChangeKind::Created;
        };
        keep_meta(object.meta_mut(), old.meta());
        // Where a thing is written, and what of it an apply has put there, is no change by itself.
        let mut same = object.clone();
        same.meta_mut().source = old.meta().source.clone();
        same.meta_mut().applied.clone_from(&old.meta().applied);
        let unchanged = same == *old;
        put(self, object);
        if unchanged { ChangeKind::Unchanged } else { ChangeKind::Configured }
    }

    /// Stores a namespace, with its service account `default`.
    pub(super) fn put_namespace(&mut self, namespace: Namespace) {
        let name = namespace.meta.key.name.clone();
        let key = ObjectName { namespace: name.clone(), name: "default".into() };
        if !self.service_accounts.contains_key(&key) {
            let mut meta = super::store::builtin(key.clone(), super::object::Labels::new());
            self.stamp(&mut meta, namespace.meta.created);
            self.service_accounts.insert_mut(key, Arc::new(super::store::ServiceAccount { meta }));
        }
        self.namespaces.insert_mut(name, Arc::new(namespace));
    }

    /// Stores a node; a new one gets addresses.
    pub(super) fn put_node(&mut self, mut node: Node) {
        let name = node.meta.key.name.clone();
        node.meta.labels.entry("kubernetes.io/hostname".into()).or_insert_with(|| name.clone());
        if !self.pools.contains_key(&name) {
            node.index = self.node_index;
            node.addresses = self.config.node_addresses(node.index);
            self.node_index += 1;
            self.pools.insert_mut(name.clone(), Arc::default());
        }
        self.nodes.insert_mut(name, Arc::new(node));
    }

    /// Completes the virtual addresses of a service: those it has, those written, new ones.
    pub(super) fn give_addresses(&mut self, service: &mut Service, old: Option<&Service>) {
        let key = ObjectReference { kind: Kind::Service, name: service.meta.key.clone() };
        if let Some(old) = old {
            self.free_addresses(old.cluster_ips());
        }
        let Exposure::ClusterIp(addresses) = &mut service.exposure else { return };
        for address in addresses.iter() {
            self.virtual_addresses.insert_mut(*address, key.clone());
        }
        for family in &service.ip_families {
            if addresses.iter().any(|address| IpFamily::of(*address) == *family) {
                continue;
            }
            let before =
                old.and_then(|old| old.cluster_ips().iter().find(|address| IpFamily::of(**address) == *family));
            let taken = |address: IpAddr| self.virtual_addresses.contains_key(&address);
            let address = before
                .copied()
                .filter(|address| !taken(*address))
                .or_else(|| ipam::service_address(&self.config, *family, &key.name.namespace, &key.name.name, taken));
            if let Some(address) = address {
                addresses.push(address);
                self.virtual_addresses.insert_mut(address, key.clone());
            }
        }
        let families = &service.ip_families;
        addresses.sort_by_key(|address| families.iter().position(|family| *family == IpFamily::of(*address)));
    }

    /// Gives each host of a service entry addresses if it is to have automatic ones.
    fn give_entry_addresses(&mut self, entry: &mut ServiceEntry, old: Option<&ServiceEntry>) {
        let key = ObjectReference { kind: Kind::ServiceEntry, name: entry.meta.key.clone() };
        for addresses in old.into_iter().flat_map(|old| old.automatic_addresses.values()) {
            self.free_addresses(addresses);
        }
        let wanted = entry.addresses.is_empty()
            && entry.resolution != Resolution::None
            && entry.meta.label("networking.istio.io/enable-autoallocate-ip") != Some("false");
        if !wanted {
            return;
        }
        let mut automatic: BTreeMap<Arc<str>, Vec<IpAddr>> = BTreeMap::new();
        for host in &entry.hosts {
            if host.starts_with('*') && entry.resolution != Resolution::DynamicDns {
                continue;
            }
            let mut addresses = Vec::new();
            for family in &self.config.ip_families {
                let taken = |address: IpAddr| self.virtual_addresses.contains_key(&address);
                let address = ipam::entry_address(&self.config, *family, &key.name.namespace, host, taken);
                if let Some(address) = address {
                    self.virtual_addresses.insert_mut(address, key.clone());
                    addresses.push(address);
                }
            }
            automatic.insert(host.clone(), addresses);
        }
        entry.automatic_addresses = automatic;
    }

    pub(super) fn free_addresses(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            self.virtual_addresses.remove_mut(address);
        }
    }
}

/// What an object is called.
pub(super) fn reference(object: &Object) -> ObjectReference {
    let kind = match object {
        Object::Namespace(_) => Kind::Namespace,
        Object::Node(_) => Kind::Node,
        Object::ServiceAccount(_) => Kind::ServiceAccount,
        Object::Service(_) => Kind::Service,
        Object::EndpointSlice(_) => Kind::EndpointSlice,
        Object::Controller(controller) => controller.kind(),
        Object::Pod(_) => Kind::Pod,
        Object::ServiceEntry(_) => Kind::ServiceEntry,
        Object::WorkloadEntry(_) => Kind::WorkloadEntry,
        Object::AuthorizationPolicy(_) => Kind::AuthorizationPolicy,
        Object::PeerAuthentication(_) => Kind::PeerAuthentication,
        Object::Traffic(object) => object.kind(),
    };
    ObjectReference { kind, name: read::meta_of(object).key.clone() }
}

fn has_explicit_address(object: &Object) -> bool {
    matches!(object, Object::Service(service) if !service.cluster_ips().is_empty())
}

/// What an update leaves as it was: identity, and labels and annotations no apply has put there.
fn keep_meta(new: &mut Meta, old: &Meta) {
    new.uid = old.uid.clone();
    new.created = old.created;
    new.order = old.order;
    new.owner = new.owner.take().or_else(|| old.owner.clone());
    for (new, old_labels) in [(&mut new.labels, &old.labels), (&mut new.annotations, &old.annotations)] {
        for (key, value) in old_labels.iter().filter(|(key, _)| !old.applied.contains(*key)) {
            new.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

fn keep_replicas(new: &mut Controller, old: &Controller) {
    if let (
        ControllerSpec::Deployment { replicas, .. }
        | ControllerSpec::ReplicaSet { replicas }
        | ControllerSpec::StatefulSet { replicas, .. },
        Some(kept),
    ) = (&mut new.spec, old.replicas())
    {
        *replicas = kept;
    }
}

/// Whether a pod is on its way out.
pub(super) fn is_leaving(pod: &Pod) -> bool {
    matches!(pod.phase, PodPhase::Terminating | PodPhase::Gone)
}

/// What to say of an object that is not there.
pub(super) fn no_such(object: &ObjectReference, hint: Option<String>) -> Problem {
    let kind = object.kind.name();
    let problem = if object.kind.namespaced() {
        Problem::new(format!("no {kind} `{}` in namespace `{}`", object.name.name, object.name.namespace))
    } else {
        Problem::new(format!("no {kind} `{}`", object.name.name))
    };
    problem.maybe_hint(hint)
}
