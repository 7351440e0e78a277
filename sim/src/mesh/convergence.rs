//! What does not follow from the truth.

use std::collections::BTreeSet;
use std::sync::Arc;

use proxy_core::state::{Resource, ResourceName};

use super::Mesh;
use super::node::NodeRuntime;
use super::pod::Membership;
use crate::control::{Resources, translate};
use crate::ground::{Ground, Process};

impl<G: Ground> Mesh<G> {
    /// What differs from what a mesh started now on the same cluster would have, in words; empty when all has followed.
    /// Resources a proxy refused and pods it will not serve are reported elsewhere.
    pub fn divergences(&self) -> Vec<String> {
        let truth = translate(&self.cluster).resources;
        let refused: BTreeSet<ResourceName> =
            self.control.rejected().into_iter().map(|(_, rejected)| rejected.name).collect();
        let mut differences = Vec::new();
        for (name, node) in &self.nodes {
            if !node.host.is_alive() {
                differences.push(format!("node {name} has no proxy"));
                continue;
            }
            compare(name, node, &truth, &refused, &mut differences);
        }
        for (uid, runtime) in &self.pods {
            let (pod, wanted) = (&runtime.pod, self.is_wanted(uid));
            let captured = runtime.membership.is_captured();
            let cannot = matches!(runtime.membership, Membership::Entering { refused: 1.. });
            if wanted != captured && !cannot {
                let (is, should) = if captured { ("in", "out of") } else { ("out of", "in") };
                differences.push(format!("pod {} is {is} the mesh and should be {should} it", pod.meta.key));
            }
            let served = self
                .nodes
                .get(&runtime.node)
                .is_some_and(|node| node.ztunnel.workloads().iter().any(|info| info.uid == pod.meta.uid));
            if captured && !served {
                differences.push(format!(
                    "pod {} is captured and the proxy of {} does not serve it",
                    pod.meta.key, runtime.node
                ));
            }
        }
        differences
    }
}

fn compare<H: Process>(
    name: &str,
    node: &NodeRuntime<H>,
    truth: &Resources,
    refused: &BTreeSet<ResourceName>,
    differences: &mut Vec<String>,
) {
    let snapshot = node.ztunnel.state().snapshot();
    let workloads = snapshot.workloads().map(|it| Resource::Workload(it.clone()));
    let services = snapshot.services().map(|it| Resource::Service(it.clone()));
    let policies = snapshot.policies().map(|it| Resource::Authorization(it.clone()));
    let held: Vec<Resource> = workloads.chain(services).chain(policies).collect();
    let mut known = BTreeSet::new();
    for resource in &held {
        let resource_name = resource.name();
        match truth.get(&resource_name) {
            Some(due) if due == resource || refused.contains(&resource_name) => {}
            Some(_) => differences.push(format!("the proxy of {name} has an old version of {resource_name}")),
            None => differences.push(format!("the proxy of {name} still has {resource_name}, which is gone")),
        }
        known.insert(resource_name);
    }
    let workloads = truth.workloads().map(|it: &Arc<_>| Resource::Workload(it.clone()).name());
    let services = truth.services().map(|it| Resource::Service(it.clone()).name());
    let policies = truth.authorizations().map(|it| Resource::Authorization(it.clone()).name());
    for due in workloads.chain(services).chain(policies) {
        if !known.contains(&due) && !refused.contains(&due) {
            differences.push(format!("the proxy of {name} has never heard of {due}"));
        }
    }
}
