//! The two ends of one exchange, as tests of sinks use them.

use std::sync::Arc;

use super::{ConnectionId, ConnectionInfo, ConnectionSecurity, Hop, Reporter, TraceId};
use crate::identity::Identity;
use crate::state::{Locality, NamespacedHostname, Workload};

fn client() -> Arc<Workload> {
    Arc::new(Workload {
        uid: "Kubernetes//Pod/a/client".into(),
        name: "client-1".into(),
        namespace: "a".into(),
        service_account: "client".into(),
        workload_name: "client".into(),
        canonical_name: "client".into(),
        canonical_revision: "v1".into(),
        locality: Locality { region: "r1".into(), zone: "z1".into(), subzone: "".into() },
        ..Workload::default()
    })
}

fn server() -> Arc<Workload> {
    Arc::new(Workload {
        uid: "Kubernetes//Pod/b/server".into(),
        name: "server-1".into(),
        namespace: "b".into(),
        service_account: "x".into(),
        workload_name: "server".into(),
        canonical_name: "server".into(),
        ..Workload::default()
    })
}

pub(super) fn outbound() -> Arc<ConnectionInfo> {
    Arc::new(ConnectionInfo {
        id: ConnectionId(1),
        trace: TraceId::default(),
        reporter: Reporter::Source,
        local_workload: Some(client()),
        source: "10.0.0.1:41000".parse().unwrap(),
        source_workload: Some(client()),
        source_identity: Some(Identity::new("cluster.local", "a", "client")),
        original_destination: "10.10.0.1:80".parse().unwrap(),
        destination: Some("10.0.0.2:15008".parse().unwrap()),
        authority: Some("10.0.0.2:8080".into()),
        destination_workload: Some(server()),
        destination_service: Some(NamespacedHostname::new("b", "svc.b.svc.cluster.local")),
        destination_service_name: Some("svc".into()),
        hop: Hop::Hbone,
        security: ConnectionSecurity::MutualTls,
    })
}

pub(super) fn inbound() -> Arc<ConnectionInfo> {
    Arc::new(ConnectionInfo {
        id: ConnectionId(2),
        reporter: Reporter::Destination,
        local_workload: Some(server()),
        source: "10.0.0.1:41001".parse().unwrap(),
        original_destination: "10.0.0.2:15008".parse().unwrap(),
        destination: Some("10.0.0.2:8080".parse().unwrap()),
        ..(*outbound()).clone()
    })
}
