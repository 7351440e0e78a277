//! Workloads as peers describe them to each other, for telemetry only.

use std::sync::Arc;

use crate::hbone::Baggage;
use crate::state::{Locality, Workload, WorkloadType};

/// What we say of a workload.
pub(super) fn baggage_of(workload: &Workload) -> Baggage {
    Baggage::of(workload)
}

/// A record made of what a peer says of itself, when nothing better is known. Without a uid: it is nobody's key.
pub(super) fn workload_of(baggage: &Baggage) -> Option<Arc<Workload>> {
    if *baggage == Baggage::default() {
        return None;
    }
    Some(Arc::new(Workload {
        cluster_id: baggage.cluster.clone(),
        namespace: baggage.namespace.clone(),
        workload_type: baggage.workload_type.unwrap_or(WorkloadType::Deployment),
        workload_name: baggage.workload_name.clone(),
        name: baggage.workload_name.clone(),
        canonical_name: baggage.service_name.clone(),
        canonical_revision: baggage.service_version.clone(),
        locality: Locality { region: baggage.region.clone(), zone: baggage.zone.clone(), subzone: "".into() },
        ..Workload::default()
    }))
}
