//! `istio.io/WaypointBound`.

use super::{Condition, Writer};
use crate::cluster::Meta;
use crate::control::translate::binding::{Attachment, Binding, Canary};

const WAYPOINT_BOUND: &str = "istio.io/WaypointBound";

impl Writer<'_, '_> {
    /// Of a Service or ServiceEntry.
    pub(super) fn bound(&self, meta: &Meta) -> Vec<Condition> {
        let mut conditions = self.binding(meta, Attachment::Service);
        let binding = self.waypoints.binding(meta.namespace(), &meta.labels, Attachment::Service);
        if let (Some(condition), Some(primary)) = (conditions.first_mut(), binding.waypoint()) {
            match self.waypoints.canary(meta.namespace(), &meta.labels, &meta.annotations, &primary.key) {
                Canary::Unasked => {}
                Canary::Share { to, weight } => {
                    condition.message.push_str(&format!("; {weight} % of connections go to canary {to}"));
                }
                Canary::Refused(reason) => condition.message.push_str(&format!("; no canary: {reason}")),
            }
        }
        conditions
    }

    /// Of a WorkloadEntry.
    pub(super) fn bound_workload(&self, meta: &Meta) -> Vec<Condition> {
        self.binding(meta, Attachment::Workload)
    }

    fn binding(&self, meta: &Meta, attachment: Attachment) -> Vec<Condition> {
        let condition = match self.waypoints.binding(meta.namespace(), &meta.labels, attachment) {
            Binding::Unasked => return Vec::new(),
            Binding::Bound(waypoint) => {
                let message = format!("attached to waypoint {}", waypoint.key);
                Condition::new(WAYPOINT_BOUND, true, "WaypointAccepted", message)
            }
            // A workload that merely inherits what is for services is not told.
            Binding::Refused { inherited: true, reason, .. }
                if attachment == Attachment::Workload && reason.name() == "UnsupportedTrafficType" =>
            {
                return Vec::new();
            }
            Binding::Refused { named, reason, .. } => {
                let message = format!("not attached to waypoint {named}: {reason}; traffic goes directly");
                Condition::new(WAYPOINT_BOUND, false, reason.name(), message)
            }
        };
        vec![condition]
    }
}
