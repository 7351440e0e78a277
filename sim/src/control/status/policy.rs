//! AuthorizationPolicies: `ZtunnelAccepted`, `WaypointAccepted`.

use super::{Condition, Writer};
use crate::cluster::istio::AuthorizationPolicy;
use crate::control::translate::layer4_remark;
use crate::control::translate::traffic::targets::{Target, targets};

const ZTUNNEL_ACCEPTED: &str = "ZtunnelAccepted";
const WAYPOINT_ACCEPTED: &str = "WaypointAccepted";

impl Writer<'_, '_> {
    pub(super) fn policy(&self, policy: &AuthorizationPolicy) -> Vec<Condition> {
        if !policy.has_target_references() {
            return vec![match layer4_remark(self.context.cluster, policy) {
                None => Condition::new(ZTUNNEL_ACCEPTED, true, "Accepted", "enforced as written"),
                Some(remark) => Condition::new(ZTUNNEL_ACCEPTED, false, "UnsupportedValue", remark),
            }];
        }
        targets(policy.spec.target_ref.as_ref(), &policy.spec.target_refs)
            .map(|target| {
                let part = format!("{} {}/{}", target.kind, policy.meta.namespace(), target.name);
                match self.context.target_of(target, &policy.meta, self.waypoints) {
                    Target::Service => {
                        Condition::new(WAYPOINT_ACCEPTED, true, "Accepted", "enforced by the waypoint of this service")
                    }
                    Target::Waypoint => {
                        Condition::new(WAYPOINT_ACCEPTED, true, "Accepted", "enforced by this waypoint")
                    }
                    Target::UnboundService => {
                        let message = "this service uses no waypoint: nobody enforces the policy";
                        Condition::new(WAYPOINT_ACCEPTED, false, "AncestorNotBound", message)
                    }
                    Target::Missing => Condition::new(WAYPOINT_ACCEPTED, false, "TargetNotFound", "there is none"),
                    Target::Invalid(message) => Condition::new(WAYPOINT_ACCEPTED, false, "Invalid", message),
                }
                .of(&part)
            })
            .collect()
    }
}
