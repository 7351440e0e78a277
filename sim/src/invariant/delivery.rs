//! I6: right delivery.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::host::Instant;

use super::reference::{Action, Endpoint, HttpRequest, Routed, Target, endpoints, mirrors, of_service, route};
use super::{Checker, Finding, World};
use crate::cluster::{Cluster, Service};
use crate::record::{AppEvent, AppPod, FlowId, Observation, ObservationKind};

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
        let ObservationKind::App(AppEvent::Accepted { flow, connection: id, server, local, peer, request }) =
            &observation.kind
        else {
            return;
        };
        let at = observation.at;
        if let (Some(_), Some(waypoint)) = (request, world.truth.waypoint_at(peer.ip(), at)) {
            let taken = Endpoint { pod: server.uid.clone(), port: local.port() };
            relayed(world, at, *flow, waypoint.meta.namespace(), server, &taken, findings);
            return;
        }
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
        let states = world.truth.believed(connection.dialled, world.deltas.endpoint);
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

/// A request that came through a waypoint: some state of the last Δ_ep must send it, or a copy of it, there.
fn relayed(
    world: &World,
    at: Instant,
    flow: FlowId,
    waypoint: &str,
    server: &AppPod,
    taken: &Endpoint,
    findings: &mut Vec<Finding>,
) {
    // Copies and late tries of what is answered already are nobody's any more.
    let Some((request, connection)) = world.flows.request(flow) else { return };
    let head = HttpRequest::made(&request.head);
    let client = connection.client.namespace.as_ref();
    let mut why = "";
    for (_, cluster) in world.truth.believed(request.since, world.deltas.endpoint).iter().rev() {
        match serving_request(cluster, waypoint, client, connection.to, &head) {
            Serving::Anyone => return,
            Serving::Only(endpoints) if endpoints.contains(taken) => return,
            Serving::Only(_) => why = "no route and no selector leads there",
            Serving::Nobody(reason) => why = reason,
        }
    }
    findings.push(
        Finding::new(format!("{server} answers what was meant for {}.", connection.intended))
            .because(
                request.since,
                format!("{} asked {} {} of {}", connection.client, head.method, head.target, connection.intended),
            )
            .because(at, format!("{server} took it at port {} through a waypoint; {why}", taken.port)),
    );
}

/// Who may serve a request.
enum Serving {
    /// The reference has no opinion.
    Anyone,
    /// These.
    Only(Vec<Endpoint>),
    /// Nobody, and why.
    Nobody(&'static str),
}

fn serving_request(cluster: &Cluster, waypoint: &str, client: &str, to: SocketAddr, head: &HttpRequest) -> Serving {
    let Some(service) = cluster.services().find(|service| service.cluster_ips().contains(&to.ip())) else {
        let entry = cluster.pods().all(|pod| !pod.addresses.contains(&to.ip()));
        return if entry { Serving::Anyone } else { Serving::Only(endpoints(cluster, to).unwrap_or_default()) };
    };
    if cluster.virtual_routes().next().is_some() {
        return Serving::Anyone;
    }
    let of = |target: &Target| -> Vec<Endpoint> {
        let Target::Service { service, port } = target else { return Vec::new() };
        cluster.service(service).map(|service: &Arc<Service>| of_service(cluster, service, *port)).unwrap_or_default()
    };
    match route(cluster, waypoint, Some(client), &service.meta.key, to.port(), head) {
        Routed::Unclear(_) => Serving::Anyone,
        Routed::Unrouted => Serving::Only(of_service(cluster, service, to.port())),
        Routed::NotFound => Serving::Nobody("routes are attached and none matches it"),
        Routed::Rule(chosen) => match &chosen.action {
            Action::Redirect { .. } => Serving::Nobody("its route redirects"),
            Action::Forward { backends, .. } => {
                let copies = mirrors(cluster, &chosen);
                Serving::Only(backends.iter().map(|(_, target)| target).chain(&copies).flat_map(of).collect())
            }
        },
    }
}
