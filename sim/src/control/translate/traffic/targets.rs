//! What `targetRefs` of policies, token rules and telemetry name.

use super::Context;
use super::catalogue::{Listed, ListedObject};
use crate::cluster::gateway::WAYPOINT_CLASS;
use crate::cluster::istio::PolicyTargetReference;
use crate::cluster::{Meta, ObjectName};
use crate::control::translate::binding::{Waypoint, Waypoints};

/// All target references of an object, however written.
pub(crate) fn targets<'t>(
    single: Option<&'t PolicyTargetReference>,
    several: &'t [PolicyTargetReference],
) -> impl Iterator<Item = &'t PolicyTargetReference> {
    single.into_iter().chain(several)
}

/// What one target reference comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A Service or ServiceEntry that goes through a waypoint.
    Service,
    /// A Service or ServiceEntry without a waypoint.
    UnboundService,
    /// A Gateway, or the class of waypoints.
    Waypoint,
    /// Nothing: there is no such object.
    Missing,
    /// A GatewayClass from another namespace than the root, or of another class.
    Invalid(&'static str),
}

/// Whether a reference names this service; both are in one namespace.
pub(super) fn names_service(target: &PolicyTargetReference, meta: &Meta, listed: &Listed<'_>) -> bool {
    let kind = match listed.object {
        ListedObject::Service(_) => matches!(target.group.as_str(), "" | "core") && target.kind == "Service",
        ListedObject::Entry(_) => target.group == "networking.istio.io" && target.kind == "ServiceEntry",
    };
    let ObjectName { namespace, name } = listed.name();
    kind && target.name == **name && meta.key.namespace == *namespace
}

impl Context<'_> {
    /// Whether a reference of an object names this waypoint, or, from the root namespace, its class.
    pub(super) fn names_waypoint(&self, target: &PolicyTargetReference, meta: &Meta, waypoint: &Waypoint<'_>) -> bool {
        let root = &*self.cluster.config().root_namespace;
        match (target.group.as_str(), target.kind.as_str()) {
            ("gateway.networking.k8s.io", "Gateway") => {
                target.name == *waypoint.key.name && meta.key.namespace == waypoint.key.namespace
            }
            ("gateway.networking.k8s.io", "GatewayClass") => {
                target.name == WAYPOINT_CLASS && *waypoint.gateway.class == *WAYPOINT_CLASS && meta.namespace() == root
            }
            _ => false,
        }
    }

    /// What a reference of an object comes to.
    pub(crate) fn target_of(&self, target: &PolicyTargetReference, meta: &Meta, waypoints: &Waypoints<'_>) -> Target {
        let namespace = meta.namespace();
        let bound =
            |listed: &Listed<'_>| !waypoints.intended(namespace, listed.labels(), listed.annotations()).is_empty();
        let service = |listed: Option<&Listed<'_>>| match listed {
            None => Target::Missing,
            Some(listed) if bound(listed) => Target::Service,
            Some(_) => Target::UnboundService,
        };
        match (target.group.as_str(), target.kind.as_str()) {
            ("" | "core", "Service") => service(self.catalogue.service(namespace, &target.name)),
            ("networking.istio.io", "ServiceEntry") => service(self.catalogue.entry(namespace, &target.name).next()),
            ("gateway.networking.k8s.io", "Gateway") => match self.cluster.gateway(namespace, &target.name) {
                Some(_) => Target::Waypoint,
                None => Target::Missing,
            },
            ("gateway.networking.k8s.io", "GatewayClass") if namespace != &*self.cluster.config().root_namespace => {
                Target::Invalid("only a policy of the root namespace may target a GatewayClass")
            }
            ("gateway.networking.k8s.io", "GatewayClass") if target.name == WAYPOINT_CLASS => Target::Waypoint,
            ("gateway.networking.k8s.io", "GatewayClass") => Target::Invalid("only class `istio-waypoint` is enforced"),
            _ => Target::Invalid("a policy cannot target this kind"),
        }
    }
}
