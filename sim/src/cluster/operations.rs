//! What kubectl does to single objects: delete, label, scale, rollout restart.

use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;

use super::apply::no_such;
use super::diagnostic::{Problem, did_you_mean};
use super::names;
use super::object::{Kind, Labels, ObjectName, ObjectReference};
use super::pod::Pod;
use super::store::{Cluster, LabelChange, Stored};
use super::workloads::{ControllerSpec, REPLICAS_MAX};

impl Cluster {
    /// Deletes one object and what it owns. Pods get their grace period, or `grace` if given (zero: gone at the next step).
    /// A namespace takes all its objects with it; a node takes its pods, at once.
    ///
    /// # Errors
    /// There is no such object, or it is namespace `default` or `kube-system`.
    pub fn delete(&mut self, object: &ObjectReference, grace: Option<Duration>, now: Instant) -> Result<(), Problem> {
        self.run(now);
        self.remove(object, grace, now)
    }

    pub(super) fn remove(
        &mut self,
        object: &ObjectReference,
        grace: Option<Duration>,
        now: Instant,
    ) -> Result<(), Problem> {
        if !self.contains(object) {
            return Err(self.no_such(object));
        }
        let name = &object.name;
        match object.kind {
            Kind::Namespace if matches!(&*name.name, "default" | "kube-system") => {
                let problem = Problem::new(format!("namespace `{}` cannot be deleted", name.name));
                return Err(problem.hint("delete what is in it"));
            }
            Kind::Namespace => self.delete_namespace(&name.name, grace, now),
            Kind::Node => {
                for pod in self.pods_where(|pod| pod.node.as_ref() == Some(&name.name)) {
                    self.end_pod(&pod, now);
                }
                self.nodes.remove_mut(&name.name);
                self.pools.remove_mut(&name.name);
            }
            Kind::ServiceAccount => {
                self.service_accounts.remove_mut(name);
            }
            Kind::Service => {
                if let Some(service) = self.services.get(name).cloned() {
                    self.free_addresses(service.cluster_ips());
                }
                self.services.remove_mut(name);
            }
            Kind::EndpointSlice => {
                self.endpoint_slices.remove_mut(name);
            }
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job => {
                self.delete_controller(object, grace, now);
            }
            Kind::Pod => self.terminate(name, grace, now),
            Kind::ServiceEntry => {
                if let Some(entry) = self.service_entries.get(name).cloned() {
                    entry.automatic_addresses.values().for_each(|addresses| self.free_addresses(addresses));
                }
                self.service_entries.remove_mut(name);
            }
            Kind::WorkloadEntry => {
                self.workload_entries.remove_mut(name);
            }
            Kind::AuthorizationPolicy => {
                self.authorization_policies.remove_mut(name);
            }
            Kind::PeerAuthentication => {
                self.peer_authentications.remove_mut(name);
            }
            _ => self.delete_traffic(object, grace, now),
        }
        self.touch(now);
        Ok(())
    }

    pub(super) fn delete_controller(&mut self, object: &ObjectReference, grace: Option<Duration>, now: Instant) {
        let Some(controller) = self.controllers.get(object).cloned() else { return };
        self.controllers.remove_mut(object);
        let uid = &controller.meta.uid;
        let owned: Vec<ObjectReference> = self
            .controllers
            .iter()
            .filter(|(_, made)| made.meta.owner.as_ref().is_some_and(|owner| owner.uid == *uid))
            .map(|(key, _)| key.clone())
            .collect();
        for made in owned {
            self.delete_controller(&made, grace, now);
        }
        for pod in self.pods_where(|pod| pod.meta.owner.as_ref().is_some_and(|owner| owner.uid == *uid)) {
            self.terminate(&pod, grace, now);
        }
    }

    fn delete_namespace(&mut self, name: &Arc<str>, grace: Option<Duration>, now: Instant) {
        for object in self.objects_in(name) {
            // Only what is there is listed.
            let _ = self.remove(&object, grace, now);
        }
        if let Some(namespace) = self.namespaces.get_mut(name) {
            Arc::make_mut(namespace).deleting = true;
        }
    }

    fn objects_in(&self, namespace: &str) -> Vec<ObjectReference> {
        let objects_of = |kind: Kind| {
            let names = self.names(kind, namespace).into_iter();
            names.map(move |name| ObjectReference { kind, name: ObjectName { namespace: namespace.into(), name } })
        };
        Kind::ALL.into_iter().filter(|kind| kind.namespaced()).flat_map(objects_of).collect()
    }

    fn pods_where(&self, wanted: impl Fn(&Pod) -> bool) -> Vec<ObjectName> {
        let mut pods: Vec<&Arc<Pod>> = self.pods.values().filter(|pod| wanted(pod)).collect();
        pods.sort_by_key(|pod| pod.meta.order);
        pods.into_iter().map(|pod| pod.meta.key.clone()).collect()
    }

    /// `kubectl label --overwrite`. A label of a controller is its own, not its pods'.
    ///
    /// # Errors
    /// There is no such object; not a valid label. Nothing has changed then.
    pub fn label(&mut self, object: &ObjectReference, changes: &[LabelChange], now: Instant) -> Result<(), Problem> {
        self.run(now);
        for change in changes {
            match change {
                LabelChange::Set(key, value) => {
                    names::label_key(key)?;
                    names::label_value(value)?;
                }
                LabelChange::Remove(key) => names::label_key(key)?,
            }
        }
        if !self.contains(object) {
            return Err(self.no_such(object));
        }
        let name = &object.name;
        match object.kind {
            Kind::Namespace => relabel(self.namespaces.get_mut(&name.name), changes),
            Kind::Node => relabel(self.nodes.get_mut(&name.name), changes),
            Kind::ServiceAccount => relabel(self.service_accounts.get_mut(name), changes),
            Kind::Service => relabel(self.services.get_mut(name), changes),
            Kind::EndpointSlice => relabel(self.endpoint_slices.get_mut(name), changes),
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job => {
                relabel(self.controllers.get_mut(object), changes);
            }
            Kind::Pod => relabel(self.pods.get_mut(name), changes),
            Kind::ServiceEntry => relabel(self.service_entries.get_mut(name), changes),
            Kind::WorkloadEntry => relabel(self.workload_entries.get_mut(name), changes),
            Kind::AuthorizationPolicy => relabel(self.authorization_policies.get_mut(name), changes),
            Kind::PeerAuthentication => relabel(self.peer_authentications.get_mut(name), changes),
            _ => relabel(self.traffic.get_mut(object), changes),
        }
        self.touch(now);
        Ok(())
    }

    /// `kubectl scale`: Deployments, ReplicaSets and StatefulSets.
    ///
    /// # Errors
    /// There is no such object, or it has no replicas, or more are wanted than [`REPLICAS_MAX`].
    pub fn scale(&mut self, object: &ObjectReference, wanted: u32, now: Instant) -> Result<(), Problem> {
        self.run(now);
        if wanted > REPLICAS_MAX {
            return Err(Problem::new(format!(
                "{wanted} replicas are more than {REPLICAS_MAX}, the most that is simulated"
            )));
        }
        if !self.contains(object) {
            return Err(self.no_such(object));
        }
        let spec = self.controllers.get_mut(object).map(|controller| &mut Arc::make_mut(controller).spec);
        match spec {
            Some(
                ControllerSpec::Deployment { replicas, .. }
                | ControllerSpec::ReplicaSet { replicas }
                | ControllerSpec::StatefulSet { replicas, .. },
            ) => *replicas = wanted,
            _ => {
                let problem = Problem::new(format!("{object} cannot be scaled"));
                return Err(problem.hint("scale a Deployment, a ReplicaSet or a StatefulSet"));
            }
        }
        self.touch(now);
        Ok(())
    }

    /// `kubectl rollout restart`: Deployments, StatefulSets and DaemonSets.
    ///
    /// # Errors
    /// There is no such object, or it cannot be restarted.
    pub fn restart(&mut self, object: &ObjectReference, now: Instant) -> Result<(), Problem> {
        self.run(now);
        if !self.contains(object) {
            return Err(self.no_such(object));
        }
        match object.kind {
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => {
                if let Some(controller) = self.controllers.get_mut(object) {
                    Arc::make_mut(controller).restart(Some(now));
                }
            }
            _ => {
                let problem = Problem::new(format!("{object} cannot be restarted"));
                return Err(problem.hint("restart a Deployment, a StatefulSet or a DaemonSet; or delete the pod"));
            }
        }
        self.touch(now);
        Ok(())
    }

    /// Whether there is such an object.
    pub fn contains(&self, object: &ObjectReference) -> bool {
        let name = &object.name;
        match object.kind {
            Kind::Namespace => self.namespaces.contains_key(&name.name),
            Kind::Node => self.nodes.contains_key(&name.name),
            Kind::ServiceAccount => self.service_accounts.contains_key(name),
            Kind::Service => self.services.contains_key(name),
            Kind::EndpointSlice => self.endpoint_slices.contains_key(name),
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job => {
                self.controllers.contains_key(object)
            }
            Kind::Pod => self.pods.contains_key(name),
            Kind::ServiceEntry => self.service_entries.contains_key(name),
            Kind::WorkloadEntry => self.workload_entries.contains_key(name),
            Kind::AuthorizationPolicy => self.authorization_policies.contains_key(name),
            Kind::PeerAuthentication => self.peer_authentications.contains_key(name),
            _ => self.traffic.contains_key(object),
        }
    }

    /// Names of a kind: in a namespace, or all of a kind of cluster scope.
    pub fn names(&self, kind: Kind, namespace: &str) -> Vec<Arc<str>> {
        fn of<'a>(names: impl Iterator<Item = &'a ObjectName>, namespace: &str) -> Vec<Arc<str>> {
            names.filter(|name| &*name.namespace == namespace).map(|name| name.name.clone()).collect()
        }
        match kind {
            Kind::Namespace => self.namespaces.keys().cloned().collect(),
            Kind::Node => self.nodes.keys().cloned().collect(),
            Kind::ServiceAccount => of(self.service_accounts.keys(), namespace),
            Kind::Service => of(self.services.keys(), namespace),
            Kind::EndpointSlice => of(self.endpoint_slices.keys(), namespace),
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job => {
                of(self.controllers.keys().filter(|object| object.kind == kind).map(|object| &object.name), namespace)
            }
            Kind::Pod => of(self.pods.keys(), namespace),
            Kind::ServiceEntry => of(self.service_entries.keys(), namespace),
            Kind::WorkloadEntry => of(self.workload_entries.keys(), namespace),
            Kind::AuthorizationPolicy => of(self.authorization_policies.keys(), namespace),
            Kind::PeerAuthentication => of(self.peer_authentications.keys(), namespace),
            _ => of(self.traffic.keys().filter(|object| object.kind == kind).map(|object| &object.name), namespace),
        }
    }

    /// What to say of an object that is not there: the nearest name of its kind, or the namespace that does not exist.
    pub fn no_such(&self, object: &ObjectReference) -> Problem {
        let namespace = &*object.name.namespace;
        if object.kind.namespaced() && !self.namespaces.contains_key(namespace) {
            let known = self.namespaces.keys().map(|name| &**name);
            return Problem::new(format!("no namespace `{namespace}`")).maybe_hint(did_you_mean(namespace, known));
        }
        let known = self.names(object.kind, namespace);
        let hint = did_you_mean(&object.name.name, known.iter().map(|name| &**name)).or_else(|| {
            let listed = known.iter().take(8).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            (!known.is_empty() && known.len() <= 8).then(|| format!("there is {listed}"))
        });
        no_such(object, hint)
    }
}

fn relabel<T: Stored>(object: Option<&mut Arc<T>>, changes: &[LabelChange]) {
    let Some(object) = object else { return };
    let labels: &mut Labels = &mut Arc::make_mut(object).meta_mut().labels;
    for change in changes {
        match change {
            LabelChange::Set(key, value) => {
                labels.insert(key.clone(), value.clone());
            }
            LabelChange::Remove(key) => {
                labels.remove(key);
            }
        }
    }
}
