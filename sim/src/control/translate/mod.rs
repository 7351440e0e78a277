//! [`translate`]: a cluster to what proxies are told. Pure; Kubernetes and Istio words stop here.

mod authorization;
pub(crate) mod binding;
mod external;
mod labels;
mod peer_authentication;
pub(crate) mod service;
#[cfg(test)]
mod tests;
pub(crate) mod traffic;
mod virtual_service;
mod workload;

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::policy::PolicyKey;
use proxy_core::state::Resource;

use self::authorization::SelectorPolicies;
use self::binding::Waypoints;
use self::peer_authentication::PeerModes;
use self::service::Memberships;
use self::traffic::catalogue::Catalogue;
use self::traffic::{Context, Members};
pub use self::virtual_service::virtual_services;
use super::Resources;
use crate::cluster::istio::AuthorizationPolicy;
use crate::cluster::{Cluster, Labels, Source};

/// What a cluster comes to.
#[derive(Clone, Debug, Default)]
pub struct Translation {
    /// What proxies are told.
    pub resources: Resources,
    /// Policies a ztunnel enforces otherwise than written, or not at all.
    pub notices: Vec<PolicyNotice>,
}

/// A policy a ztunnel enforces otherwise than written, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyNotice {
    /// The policy.
    pub policy: PolicyKey,
    /// Where it was written.
    pub source: Source,
    /// What becomes of it, in one sentence.
    pub text: String,
}

/// Translates everything. Equal clusters give equal translations; a cluster of 2,000 pods takes a few milliseconds.
///
/// Source of the rules: Istio's ambient index. Three of its habits are knowingly not copied, all in the strict direction:
/// `trustDomains` of a policy source are enforced where a match can say them (upstream ignores them without a word), and
/// make an ALLOW never match and a DENY match regardless where it cannot; a `portLevelMtls` entry of mode DISABLE under an
/// inherited STRICT is the exception it is written as, like PERMISSIVE; a value that cannot be read never makes an ALLOW
/// wider.
pub fn translate(cluster: &Cluster) -> Translation {
    let mut translation = Translation::default();
    let mut selectors = SelectorPolicies::new(cluster.config());
    for policy in cluster.authorization_policies() {
        let conversion = authorization::convert(policy, &cluster.config().root_namespace);
        translation.notices.extend(conversion.notice(policy));
        if let Some(authorization) = conversion.authorization {
            selectors.add(policy, &authorization);
            translation.resources.insert(Resource::Authorization(Arc::new(authorization)));
        }
    }
    let peers = PeerModes::new(&cluster.config().root_namespace, cluster.peer_authentications());
    for authorization in peers.authorizations() {
        translation.resources.insert(Resource::Authorization(Arc::new(authorization)));
    }
    let memberships = Memberships::new(cluster);
    let waypoints = Waypoints::new(cluster);
    for service in memberships.records(&waypoints) {
        translation.resources.insert(Resource::Service(service));
    }
    let attachments = Attachments { selectors, peers, waypoints: &waypoints };
    let mut members = Members::new();
    let nodes: BTreeMap<&str, _> = cluster.nodes().map(|node| (node.meta.name(), node.locality())).collect();
    for pod in cluster.pods() {
        if let Some(workload) = workload::of_pod(pod, cluster.config(), &nodes, &memberships, &attachments) {
            for service in workload.services.keys() {
                members.entry(service.clone()).or_default().push((workload.uid.clone(), &pod.meta.labels));
            }
            translation.resources.insert(Resource::Workload(Arc::new(workload)));
        }
    }
    for (workload, labels) in external::workloads(cluster, &memberships, &attachments) {
        for service in workload.services.keys() {
            members.entry(service.clone()).or_default().push((workload.uid.clone(), labels));
        }
        translation.resources.insert_if_absent(Resource::Workload(Arc::new(workload)));
    }
    if waypoints.ours().next().is_some() {
        let context = Context::new(cluster, Catalogue::new(cluster, &memberships));
        context.tell(&waypoints, &members, &mut translation.resources);
    }
    translation
}

/// What ztunnels enforce otherwise than a policy says; `None` if it is enforced as written.
pub(super) fn layer4_remark(cluster: &Cluster, policy: &AuthorizationPolicy) -> Option<String> {
    authorization::convert(policy, &cluster.config().root_namespace).notice(policy).map(|notice| notice.text)
}

/// Which policies a workload must name, and which waypoint it is behind.
struct Attachments<'a> {
    selectors: SelectorPolicies<'a>,
    peers: PeerModes<'a>,
    waypoints: &'a Waypoints<'a>,
}

impl Attachments<'_> {
    /// Sorted.
    fn of(&self, namespace: &str, labels: &Labels) -> Vec<PolicyKey> {
        let mut keys = self.selectors.matching(namespace, labels);
        keys.extend(self.peers.attached(namespace, labels));
        keys.sort();
        keys.dedup();
        keys
    }
}
