//! Waypoint pods: they run the layer-7 proxy instead of an application, and are ready when it says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::Host;
use proxy_core::host::Instant;
use proxy_core::route::GatewayKey;
use proxy_core::state::LocalWorkload;
use proxy_core::waypoint::{Waypoint, WaypointConfig};

use super::observer::ProxySink;
use super::pod::{PodRuntime, identity};
use super::work::Work;
use super::{App, Mesh};
use crate::cluster::{ObjectName, Pod, gateway_of};
use crate::control::NodeAuthority;
use crate::ground::{Ground, Process};
use crate::node::SimHost;
use crate::record::{Journal, ObservationKind};

/// A waypoint's proxy in a simulated mesh.
pub type MeshWaypoint<H = SimHost> = Waypoint<H, NodeAuthority<H>>;

/// How often a waypoint that is not ready is asked again.
const PROBE_PERIOD: Duration = Duration::from_millis(100);

/// From the signal to stop to the drain: new connections are still served, since clients' proxies learn only a little
/// later that the pod goes. As long as upstream's drain lets listeners live, but never more than half the time given.
const LINGER: Duration = Duration::from_secs(5);

impl<G: Ground> Mesh<G> {
    /// Starts the proxy of a waypoint pod. False if the pod is none, or its ports are taken: then it never is ready.
    pub(super) fn start_waypoint(&mut self, uid: &Arc<str>) -> bool {
        let Some(runtime) = self.pods.get_mut(uid) else { return false };
        let pod = &runtime.pod;
        let gateway = gateway_of(&pod.meta.key.namespace, &pod.meta.labels).filter(|_| pod.is_waypoint());
        let Some(gateway) = gateway else { return false };
        let gateway = GatewayKey { namespace: gateway.namespace, name: gateway.name };
        let name = instance_name(pod);
        let cluster = self.cluster.config();
        let mut config = WaypointConfig::new(
            gateway.clone(),
            LocalWorkload {
                name: pod.meta.key.name.clone(),
                namespace: pod.meta.key.namespace.clone(),
                service_account: pod.spec.service_account.clone(),
                node: runtime.node.clone(),
            },
            identity(pod, cluster),
        );
        config.pool.tls.crypto = G::CRYPTO;
        config.acceptor.tls.crypto = G::CRYPTO;
        config.certificates.validity = self.config.ztunnel.certificates.validity;
        config.network = cluster.network.clone();
        config.resolvers = cluster.dns_addresses().into_iter().map(|address| SocketAddr::new(address, 53)).collect();
        let host = runtime.host.clone();
        let sink = Arc::new(ProxySink { node: name.clone(), host: host.clone(), journal: self.journal.clone() });
        let (node, source) = (runtime.node.clone(), self.control.subscribe_waypoint(&name, gateway));
        self.control.set_connected(&name, !self.is_cut_off(&node));
        let authority = self.authority.for_node(&node);
        if let Ok(waypoint) = Waypoint::start(host.clone(), config, source, authority, sink) {
            let Some(runtime) = self.pods.get_mut(uid) else { return true };
            runtime.app = Some(Box::new(Stopping { host, waypoint: waypoint.clone() }));
            runtime.waypoint = Some(waypoint);
            // From now on a change has arrived everywhere only once it has arrived here.
            self.journal.record(self.ground.now(), ObservationKind::ProxyLife { node, proxy: name, running: true });
            self.agenda.add(self.ground.now() + PROBE_PERIOD, Work::Probe(uid.clone()));
        }
        true
    }

    /// The kubelet's readiness probe, until it succeeds once.
    pub(super) fn probe_waypoint(&mut self, uid: &Arc<str>) {
        let Some(runtime) = self.pods.get(uid) else { return };
        let Some(waypoint) = &runtime.waypoint else { return };
        let key = runtime.pod.meta.key.clone();
        // Whoever is being deleted is asked no more.
        let running = self.cluster.pod(&key).is_some_and(|pod| pod.meta.uid == *uid && pod.times.terminating.is_none());
        if !running {
            return;
        }
        if waypoint.is_ready() {
            self.cluster.set_ready(&key, true, self.ground.now());
            self.note_change();
        } else {
            self.agenda.add(self.ground.now() + PROBE_PERIOD, Work::Probe(uid.clone()));
        }
    }

    /// A waypoint pod that is being deleted ends when its proxy has nothing to do any more, not when its time is up. Asked
    /// again until then.
    pub(super) fn end_drained_waypoint(&mut self, uid: &Arc<str>) {
        let Some(waypoint) = self.pods.get(uid).and_then(|runtime| runtime.waypoint.as_ref()) else { return };
        if waypoint.is_over() {
            let key = self.pods[uid].pod.meta.key.clone();
            self.cluster.containers_ended(&key, uid, self.now());
            self.note_change();
        } else {
            self.agenda.add(self.now() + PROBE_PERIOD, Work::Drained(uid.clone()));
        }
    }

    /// The proxy of a waypoint pod that runs.
    pub fn waypoint(&self, pod: &ObjectName) -> Option<&MeshWaypoint<G::Host>> {
        let uid = &self.cluster.pod(pod)?.meta.uid;
        self.pods.get(uid)?.waypoint.as_ref()
    }
}

/// The proxy of a waypoint pod is gone with its process, if it is one: has that told.
pub(super) fn waypoint_gone<H: Process>(runtime: &mut PodRuntime<H>, now: Instant, journal: &Journal) {
    if runtime.waypoint.take().is_some() {
        let (node, proxy) = (runtime.node.clone(), instance_name(&runtime.pod));
        journal.record(now, ObservationKind::ProxyLife { node, proxy, running: false });
    }
}

/// What one instance is called where node proxies are called by their node: `namespace/pod`.
pub(super) fn instance_name(pod: &Pod) -> Arc<str> {
    pod.meta.key.to_string().into()
}

/// Drains the proxy when its pod is deleted.
struct Stopping<H: Host> {
    host: H,
    waypoint: MeshWaypoint<H>,
}

impl<H: Host> App for Stopping<H> {
    fn stop(&mut self, kill_at: Instant) {
        let (host, waypoint) = (self.host.clone(), self.waypoint.clone());
        self.host.spawn("drain", async move {
            let linger = LINGER.min(kill_at.saturating_since(host.now()) / 2);
            host.sleep(linger).await;
            waypoint.drain(kill_at).await;
        });
    }
}
