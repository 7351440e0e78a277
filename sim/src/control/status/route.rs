//! Routes, by parent: `Accepted`, `ResolvedRefs`, `ResolvedWaypoints`.

use super::{Condition, Writer};
use crate::cluster::Exposure;
use crate::cluster::gateway::{ParentReference, Route};
use crate::control::translate::binding::{Attachment, Binding};
use crate::control::translate::traffic::catalogue::{Listed, ListedObject};
use crate::control::translate::traffic::filters::invalid_filter;

const ACCEPTED: &str = "Accepted";
const RESOLVED_REFERENCES: &str = "ResolvedRefs";
const RESOLVED_WAYPOINTS: &str = "ResolvedWaypoints";

impl Writer<'_, '_> {
    pub(super) fn route(&self, route: &Route) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for parent in &route.parents {
            let part = name_of(parent);
            let parent_found = self.parent(parent);
            let waypoints = parent_found.as_ref().ok().map(|listed| self.waypoints_of(listed));
            let accepted = match &parent_found {
                Ok(_) => Condition::new(ACCEPTED, true, "Accepted", "the route is attached"),
                Err(message) => Condition::new(ACCEPTED, false, "NoMatchingParent", message.clone()),
            };
            let all = [Some(accepted), Some(self.references(route)), waypoints];
            conditions.extend(all.into_iter().flatten().map(|condition| condition.of(&part)));
        }
        conditions
    }

    /// The service a route is attached to, or why it is not.
    fn parent(&self, parent: &ParentReference) -> Result<&Listed<'_>, String> {
        let ParentReference { namespace, name, .. } = parent;
        let listed = if parent.is_service() {
            self.context.catalogue.service(namespace, name)
        } else if parent.is_service_entry() {
            self.context.catalogue.entry(namespace, name).next()
        } else {
            return Err(format!("a {} takes no routes here: attach it to a Service", parent.kind));
        };
        let listed = listed.ok_or_else(|| format!("there is no {} {namespace}/{name}", parent.kind))?;
        match (parent.port, listed.object) {
            (Some(port), _) if !listed.ports.contains_key(&port) => {
                Err(format!("{} {namespace}/{name} has no TCP port {port}", parent.kind))
            }
            (_, ListedObject::Service(service)) if matches!(service.exposure, Exposure::Headless) => {
                Err(format!("Service {namespace}/{name} is headless: it has no address a waypoint could stand before"))
            }
            _ => Ok(listed),
        }
    }

    fn references(&self, route: &Route) -> Condition {
        if let Some(message) = invalid_filter(route) {
            let message = format!("{message}; the route is not programmed");
            return Condition::new(RESOLVED_REFERENCES, false, "InvalidFilter", message);
        }
        match self.context.bad_reference(route) {
            None => Condition::new(RESOLVED_REFERENCES, true, RESOLVED_REFERENCES, "all references lead somewhere"),
            Some(bad) => Condition::new(RESOLVED_REFERENCES, false, bad.reason(), bad.to_string()),
        }
    }

    /// True in any case; the message says whether the route has an effect.
    fn waypoints_of(&self, listed: &Listed<'_>) -> Condition {
        let namespace = &listed.name().namespace;
        let message = match self.waypoints.binding(namespace, listed.labels(), Attachment::Service) {
            Binding::Bound(waypoint) => format!("applied by waypoint {}", waypoint.key),
            Binding::Unasked => "the parent uses no waypoint: the route has no effect".to_owned(),
            Binding::Refused { named, reason, .. } => {
                format!("waypoint {named} is not used: {reason}; the route has no effect")
            }
        };
        Condition::new(RESOLVED_WAYPOINTS, true, RESOLVED_WAYPOINTS, message)
    }
}

/// `Service shop/web:80`.
fn name_of(parent: &ParentReference) -> String {
    let port = parent.port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{} {}/{}{port}", parent.kind, parent.namespace, parent.name)
}
