//! I6: right delivery.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::reference::{Endpoint, endpoints};
use super::{Checker, Finding, World};
use crate::cluster::Cluster;
use crate::record::{AppEvent, Observation, ObservationKind};

#[derive(Default)]
pub(super) struct RightDelivery {
    /// The state asked about last, and who serves what in it: it is asked for each connection and changes seldom.
    latest: Option<Arc<Cluster>>,
    serving: BTreeMap<SocketAddr, Option<Vec<Endpoint>>>,
}

impl RightDelivery {
    fn serving(&mut self, cluster: &Arc<Cluster>, destination: SocketAddr) -> Option<&Vec<Endpoint>> {
        if !self.latest.as_ref().is_some_and(|latest| Arc::ptr_eq(latest, cluster)) {
            self.latest = Some(cluster.clone());
            self.serving.clear();
        }
        self.serving.entry(destination).or_insert_with(|| endpoints(cluster, destination)).as_ref()
    }
}

impl Checker for RightDelivery {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        let ObservationKind::App(AppEvent::Accepted { flow, connection: id, server, local, .. }) = &observation.kind
        else {
            return;
        };
        let at = observation.at;
        let Some(connection) = world.flows.connection(*id) else { return };
        if flow != id {
            // A later request of the same connection: it must reach whom the first reached.
            if let Some(first) = connection.server.as_ref().filter(|first| first.pod.uid != server.uid) {
                findings.push(
                    Finding::new("Requests of one connection reach different pods.".to_owned())
                        .because(first.accepted, format!("the first of connection {id} reached {}", first.pod))
                        .because(at, format!("flow {flow} of the same connection reached {server}")),
                );
            }
            return;
        }
        // The loopback address is whose dials it.
        if connection.to.ip().is_loopback()
            && server.uid == connection.client.uid
            && local.port() == connection.to.port()
        {
            return;
        }
        let since = connection.dialled.as_nanos().saturating_sub(world.deltas.endpoint.as_nanos() as u64);
        let states = world.truth.during(proxy_core::host::Instant::from_nanos(since));
        let mut known = false;
        // The newest first: mostly it has the answer.
        for (_, cluster) in states.iter().rev() {
            let Some(valid) = self.serving(cluster, connection.to) else { continue };
            known = true;
            if valid.contains(&Endpoint { pod: server.uid.clone(), port: local.port() }) {
                return;
            }
        }
        let what = if known { "is no endpoint of it" } else { "nothing in the cluster has that address" };
        findings.push(
            Finding::new(format!("{server} answers what was meant for {}.", connection.intended))
                .because(
                    connection.dialled,
                    format!("{} dialled {} ({})", connection.client, connection.to, connection.intended),
                )
                .because(at, format!("{server} took it at port {}; {what}", local.port())),
        );
    }
}
