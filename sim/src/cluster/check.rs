//! What can be wrong with objects together: dangling references, addresses used twice, changes that are not possible.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::apply::{is_leaving, reference};
use super::diagnostic::{Diagnostic, Problem, Source, did_you_mean, in_order_of_writing};
use super::ipam::NODES_MAX;
use super::istio::AuthorizationPolicy;
use super::object::{Kind, ObjectName, ObjectReference};
use super::pod::{PodSpec, Protocol};
use super::read::{Written, meta_of};
use super::service::{Service, TargetPort};
use super::store::{Cluster, Object};

/// Objects about to be stored, and the cluster they come into.
struct Check<'a> {
    cluster: &'a Cluster,
    namespaces: BTreeSet<&'a str>,
    accounts: BTreeSet<&'a ObjectName>,
    errors: Vec<Diagnostic>,
}

impl Cluster {
    /// Checks objects against each other and against what is there.
    ///
    /// # Errors
    /// Everything that is wrong, in order of writing.
    pub(super) fn check(&self, objects: &[Written], notices: &mut Vec<Diagnostic>) -> Result<(), Vec<Diagnostic>> {
        let mut check = Check {
            cluster: self,
            namespaces: self
                .namespaces()
                .filter(|namespace| !namespace.deleting)
                .map(|namespace| namespace.meta.name())
                .collect(),
            accounts: self.service_accounts.keys().collect(),
            errors: Vec::new(),
        };
        for written in objects {
            match &written.object {
                Object::Namespace(namespace) => {
                    check.namespaces.insert(namespace.meta.name());
                }
                Object::ServiceAccount(account) => {
                    check.accounts.insert(&account.meta.key);
                }
                _ => {}
            }
        }
        let mut seen: BTreeMap<ObjectReference, &Source> = BTreeMap::new();
        for written in objects {
            let object = reference(&written.object);
            let source = &meta_of(&written.object).source;
            if let Some(first) = seen.insert(object.clone(), source) {
                let problem = Problem::new(format!("{object} is written twice; the last one counts"));
                notices.push(problem.hint(format!("the first is at {first}")).at(source));
            }
            check.namespace(written, &object);
            check.account(written);
            check.immutable(written, &object);
        }
        check.addresses(objects);
        check.nodes(objects);
        for written in objects {
            if let Object::Service(service) = &written.object {
                notices.extend(self.check_target_names(service, &written.target_sources, objects));
            }
            if let Object::AuthorizationPolicy(policy) = &written.object {
                notices.extend(self.missing_targets(policy, objects));
            }
        }
        if check.errors.is_empty() { Ok(()) } else { Err(in_order_of_writing(check.errors)) }
    }

    /// Services a policy is for that are not there: it has no effect until they are.
    fn missing_targets(&self, policy: &AuthorizationPolicy, objects: &[Written]) -> Vec<Diagnostic> {
        let namespace = policy.meta.namespace();
        let targets = policy.spec.target_refs.iter().chain(&policy.spec.target_ref);
        let services = targets.filter(|target| target.kind == "Service" && !target.name.is_empty());
        let here = |name: &str| {
            let written = objects.iter().any(|written| {
                matches!(&written.object, Object::Service(service)
                    if service.meta.namespace() == namespace && service.meta.name() == name)
            });
            written || self.services.contains_key(&ObjectName::new(namespace, name))
        };
        let missing = services.filter(|target| !here(&target.name));
        let known = self.services.keys().filter(|key| &*key.namespace == namespace).map(|key| &*key.name);
        let written = objects.iter().filter_map(|written| match &written.object {
            Object::Service(service) if service.meta.namespace() == namespace => Some(service.meta.name()),
            _ => None,
        });
        let known: Vec<&str> = known.chain(written).collect();
        missing
            .map(|target| {
                let what = format!(
                    "the policy's target, service `{}` in namespace `{namespace}`, does not exist",
                    target.name
                );
                let hint = did_you_mean(&target.name, known.iter().copied());
                let hint = hint.unwrap_or_else(|| "it has no effect until there is one".to_owned());
                Problem::new(what).hint(hint).at(&policy.meta.source)
            })
            .collect()
    }

    /// Named target ports no selected pod has. Services that select nothing say nothing.
    fn check_target_names(&self, service: &Service, sources: &[Source], objects: &[Written]) -> Vec<Diagnostic> {
        let mut specs: Vec<&PodSpec> = Vec::new();
        let mut consider = |object: &ObjectName, labels, spec| {
            if service.selects(&object.namespace, labels) {
                specs.push(spec);
            }
        };
        for written in objects {
            match &written.object {
                Object::Controller(made) => consider(&made.meta.key, &made.template.labels, &made.template.spec),
                Object::Pod(pod) => consider(&pod.meta.key, &pod.meta.labels, &pod.spec),
                _ => {}
            }
        }
        for made in self.controllers.values() {
            consider(&made.meta.key, &made.template.labels, &made.template.spec);
        }
        for pod in self.pods.values().filter(|pod| pod.meta.owner.is_none()) {
            consider(&pod.meta.key, &pod.meta.labels, &pod.spec);
        }
        let names = |protocol: Protocol| {
            let ports = specs.iter().flat_map(|spec| &spec.containers).flat_map(|container| &container.ports);
            ports.filter(move |port| port.protocol == protocol).filter_map(|port| port.name.as_deref())
        };
        let mut notices = Vec::new();
        for (index, port) in service.ports.iter().enumerate() {
            let TargetPort::Name(name) = &port.target else { continue };
            if specs.is_empty() || names(port.protocol).any(|other| *other == **name) {
                continue;
            }
            let hint = did_you_mean(name, names(port.protocol)).unwrap_or_else(|| {
                "name a container port like this; until then the service port leads nowhere".to_owned()
            });
            let problem = Problem::new(format!("no pod this Service selects has a port named `{name}`"));
            notices.push(problem.hint(hint).at(sources.get(index).unwrap_or(&service.meta.source)));
        }
        notices
    }
}

impl Check<'_> {
    fn namespace(&mut self, written: &Written, object: &ObjectReference) {
        let name = &*object.name.namespace;
        if !object.kind.namespaced() || self.namespaces.contains(name) {
            return;
        }
        let hint = did_you_mean(name, self.namespaces.iter().copied())
            .unwrap_or_else(|| format!("apply a Namespace `{name}` before, or in the same file"));
        self.errors.push(Problem::new(format!("no namespace `{name}`")).hint(hint).at(&written.namespace_source));
    }

    fn account(&mut self, written: &Written) {
        let (namespace, account) = match &written.object {
            Object::Controller(made) => (made.meta.namespace(), &made.template.spec.service_account),
            Object::Pod(pod) => (pod.meta.namespace(), &pod.spec.service_account),
            _ => return,
        };
        let wanted = ObjectName { namespace: namespace.into(), name: account.clone() };
        // A missing namespace is reported already.
        if &**account == "default" || self.accounts.contains(&wanted) || !self.namespaces.contains(namespace) {
            return;
        }
        let known = self.accounts.iter().filter(|known| &*known.namespace == namespace).map(|known| &*known.name);
        let hint = did_you_mean(account, known).unwrap_or_else(|| {
            format!("apply a ServiceAccount `{account}` in namespace `{namespace}` before, or in the same file")
        });
        let problem = Problem::new(format!("no service account `{account}` in namespace `{namespace}`")).hint(hint);
        self.errors.push(problem.at(written.account_source.as_ref().unwrap_or(&meta_of(&written.object).source)));
    }

    fn immutable(&mut self, written: &Written, object: &ObjectReference) {
        let source = &meta_of(&written.object).source;
        match &written.object {
            Object::Controller(new) => {
                if let Some(old) = self.cluster.controllers.get(object)
                    && old.selector != new.selector
                    && object.kind != Kind::Job
                {
                    let problem = Problem::new(format!("the selector of {object} cannot be changed"));
                    self.errors.push(problem.hint("delete it first").at(source));
                }
            }
            Object::Pod(new) => {
                let Some(old) = self.cluster.pods.get(&object.name) else { return };
                if is_leaving(old) {
                    let problem = Problem::new(format!("{object} is being deleted"));
                    self.errors.push(problem.hint("apply it again when it is gone").at(source));
                } else if old.spec != new.spec {
                    let problem = Problem::new(format!("the spec of {object} cannot be changed"));
                    self.errors.push(problem.hint("delete it first").at(source));
                }
            }
            Object::Service(new) => {
                let Some(old) = self.cluster.services.get(&object.name) else { return };
                let (was, is) = (old.cluster_ips(), new.cluster_ips());
                if !was.is_empty() && !is.is_empty() && !is.iter().all(|address| was.contains(address)) {
                    let problem = Problem::new(format!("the virtual address of {object} cannot be changed"));
                    self.errors.push(problem.hint("delete it first").at(&written.address_source));
                }
            }
            _ => {}
        }
    }

    fn addresses(&mut self, objects: &[Written]) {
        let mut used: BTreeMap<IpAddr, Arc<str>> = BTreeMap::new();
        for written in objects {
            let Object::Service(service) = &written.object else { continue };
            let object = reference(&written.object);
            for address in service.cluster_ips() {
                let other = self.cluster.virtual_addresses.get(address).filter(|other| **other != object);
                let other = other.map(|other| other.to_string().into()).or_else(|| used.get(address).cloned());
                let name: Arc<str> = object.to_string().into();
                if let Some(other) = other.filter(|other| *other != name) {
                    let problem = Problem::new(format!("virtual address `{address}` belongs to {other} already"));
                    let problem = problem.hint("leave `clusterIP` out to be given a free one");
                    self.errors.push(problem.at(&written.address_source));
                }
                used.insert(*address, name);
            }
        }
    }

    fn nodes(&mut self, objects: &[Written]) {
        let mut count = self.cluster.node_index;
        for written in objects {
            let Object::Node(node) = &written.object else { continue };
            if self.cluster.nodes.contains_key(&node.meta.key.name) {
                continue;
            }
            count += 1;
            if count > NODES_MAX {
                let problem = Problem::new(format!("more than {NODES_MAX} nodes are not simulated"));
                self.errors.push(problem.at(&node.meta.source));
            }
        }
    }
}
