//! I10: endpoint freshness.
//!
//! A proxy that picks an endpoint of a service picks one that is valid in some state of the cluster that may still be in
//! force anywhere: those since the state all proxies had acknowledged Δ_stale before. Judged by where the proxy dialled,
//! whether or not anybody answered there.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::host::Instant;
use proxy_core::telemetry::{ConnectionId, ConnectionInfo, Event, Hop, Reporter};

use super::reference::{are_named, endpoints};
use super::{Checker, Finding, World};
use crate::record::{Observation, ObservationKind};

#[derive(Default)]
pub(super) struct FreshEndpoints {
    opened: BTreeMap<(Arc<str>, ConnectionId), Instant>,
}

impl Checker for FreshEndpoints {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        match &observation.kind {
            ObservationKind::Proxy { node, event: Event::Opened { at, connection } }
                if connection.reporter == Reporter::Source =>
            {
                self.opened.insert((node.clone(), connection.id), *at);
            }
            // Where it went is known at the latest now.
            ObservationKind::Proxy { node, event: Event::Closed { connection, .. } } => {
                if let Some(opened) = self.opened.remove(&(node.clone(), connection.id)) {
                    findings.extend(judge(world, node, opened, connection));
                }
            }
            ObservationKind::ProxyLife { proxy, running: false, .. } => {
                self.opened.retain(|(of, _), _| of != proxy);
            }
            _ => {}
        }
    }
}

fn judge(world: &World, node: &str, opened: Instant, connection: &ConnectionInfo) -> Option<Finding> {
    let direct = matches!(connection.hop, Hop::Plain | Hop::Hbone);
    let dialled = connection.destination.filter(|_| direct)?;
    connection.destination_service.as_ref()?;
    let mut known = false;
    for (_, cluster) in world.truth.in_force(opened, world.deltas.stale).iter().rev() {
        let Some(valid) = endpoints(cluster, connection.original_destination) else { continue };
        if are_named(cluster, connection.original_destination.ip()) {
            return None;
        }
        known = true;
        let has = |uid: &str| world.truth.pod(uid).is_some_and(|pod| pod.addresses.contains(&dialled.ip()));
        if valid.iter().any(|endpoint| has(&endpoint.pod)) {
            return None;
        }
        // Beyond the cluster's pods the objects themselves give addresses, which are not followed here.
        if valid.is_empty() && cluster.pods().all(|pod| !pod.addresses.contains(&dialled.ip())) {
            return None;
        }
    }
    if !known {
        return None;
    }
    let owner = world.truth.owners(dialled.ip(), Instant::START).last()?;
    let finding = Finding::new(format!("Connections go to {}, which serves no more.", owner.meta.key))
        .because(opened, format!("the ztunnel of {node} took a connection to {}", connection.original_destination))
        .because(opened, format!("it sent it to {dialled}, no endpoint in any state that may be in force"));
    Some(Finding { at: Some(opened), ..finding })
}
