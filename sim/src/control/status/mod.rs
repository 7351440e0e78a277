//! [`conditions`]: what a control plane would write into the status of an object. Pure: a function of the cluster.
//!
//! - [`binding`]: whether services and entries are bound to the waypoint they name.
//! - [`gateway`]: gateways and their listeners.
//! - [`route`]: routes, by parent.
//! - [`policy`]: policies, at ztunnels and at waypoints.

mod binding;
mod gateway;
mod policy;
mod route;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use super::translate::binding::Waypoints;
use super::translate::service::Memberships;
use super::translate::traffic::Context;
use super::translate::traffic::catalogue::Catalogue;
use crate::cluster::{Cluster, Kind, ObjectReference, Traffic};

/// One condition of an object's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Of which part of the object: a route's parent as `Service shop/web` (with `:port` if it names one), a gateway's
    /// listener as `listener mesh`, a policy's target. `None`: of the whole.
    pub of: Option<Arc<str>>,
    /// Its type, as `Accepted` or `istio.io/WaypointBound`.
    pub kind: &'static str,
    /// `True` or `False`.
    pub status: bool,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Condition {
    fn new(kind: &'static str, status: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Condition { of: None, kind, status, reason, message: message.into() }
    }

    fn of(self, part: &str) -> Self {
        Condition { of: Some(part.into()), ..self }
    }
}

/// `Accepted=True (Accepted): the sentence`, led by the part it is of.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(part) = &self.of {
            write!(f, "{part}: ")?;
        }
        let status = if self.status { "True" } else { "False" };
        write!(f, "{}={status} ({}): {}", self.kind, self.reason, self.message)
    }
}

/// The conditions of an object, as a control plane would have written them for this cluster; empty for objects that get
/// none, and if there is no such object.
///
/// Source of the rules: Istio's ambient status writers and the Gateway API's route and gateway status.
pub fn conditions(cluster: &Cluster, object: &ObjectReference) -> Vec<Condition> {
    let memberships = Memberships::new(cluster);
    let waypoints = Waypoints::new(cluster);
    let context = Context::new(cluster, Catalogue::new(cluster, &memberships));
    let writer = Writer { waypoints: &waypoints, context: &context };
    match object.kind {
        Kind::Service => match cluster.service(&object.name) {
            Some(service) => writer.bound(&service.meta),
            None => Vec::new(),
        },
        Kind::ServiceEntry => match cluster.service_entries().find(|entry| entry.meta.key == object.name) {
            Some(entry) => writer.bound(&entry.meta),
            None => Vec::new(),
        },
        Kind::WorkloadEntry => match cluster.workload_entries().find(|entry| entry.meta.key == object.name) {
            Some(entry) => writer.bound_workload(&entry.meta),
            None => Vec::new(),
        },
        Kind::AuthorizationPolicy => {
            match cluster.authorization_policies().find(|policy| policy.meta.key == object.name) {
                Some(policy) => writer.policy(policy),
                None => Vec::new(),
            }
        }
        _ => match cluster.traffic_object(object).map(|object| &**object) {
            Some(Traffic::Gateway(gateway)) => gateway::conditions(gateway),
            Some(Traffic::GatewayClass(class)) => gateway::of_class(class),
            Some(Traffic::Route(route)) => writer.route(route),
            _ => Vec::new(),
        },
    }
}

/// What conditions are found from.
struct Writer<'w, 'a> {
    waypoints: &'w Waypoints<'a>,
    context: &'w Context<'a>,
}
