//! Workloads as peers describe them to each other, for telemetry only.

use std::sync::Arc;

use crate::hbone::Baggage;
use crate::state::{Locality, Workload, WorkloadType};

/// What we say of a workload.
pub(super) fn baggage_of(workload: &Workload) -> Baggage {
    Baggage {
        cluster: workload.cluster_id.clone(),
        namespace: workload.namespace.clone(),
        workload_type: Some(workload.workload_type),
        workload_name: workload.workload_name.clone(),
        service_name: workload.canonical_name.clone(),
        service_version: workload.canonical_revision.clone(),
        region: workload.locality.region.clone(),
        zone: workload.locality.zone.clone(),
    }
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
