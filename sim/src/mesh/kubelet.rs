//! Pods' lives: a namespace when scheduled, an application when started, a word before the end.

use std::sync::Arc;

use proxy_core::host::Instant;

use super::pod::{Membership, PodRuntime, identity};
use super::waypoint::waypoint_gone;
use super::{AppStart, Mesh};
use crate::cluster::{Pod, PodEvent, PodEventKind};
use crate::exec::StallReport;
use crate::fabric::NamespaceSpec;
use crate::ground::{Ground, Process};
use crate::node::KillMode;
use crate::record::{AppPod, ObservationKind};

impl<G: Ground> Mesh<G> {
    /// Acts on one step of a pod's life.
    pub(super) fn pod_event(&mut self, event: PodEvent) -> Result<(), StallReport> {
        let uid = event.pod.meta.uid.clone();
        if let Some(runtime) = self.pods.get_mut(&uid) {
            runtime.pod = event.pod.clone();
        }
        match event.kind {
            PodEventKind::Scheduled => self.pod_scheduled(event.pod),
            PodEventKind::Started => {
                if let Some(runtime) = self.pods.get_mut(&uid) {
                    runtime.started = true;
                }
                self.start_app_if_due(&uid);
            }
            PodEventKind::Ready | PodEventKind::Unready => {}
            PodEventKind::Terminating => {
                if let Some(runtime) = self.pods.get_mut(&uid)
                    && let Some(app) = &mut runtime.app
                {
                    app.stop(event.pod.times.gone.unwrap_or(Instant::FAR_FUTURE));
                }
                self.end_drained_waypoint(&uid);
            }
            PodEventKind::Gone => self.pod_gone(&uid)?,
        }
        Ok(())
    }

    /// Gives a pod its network.
    fn pod_scheduled(&mut self, pod: Arc<Pod>) {
        let Some(node_name) = pod.node.clone() else { return };
        let Some(node) = self.nodes.get(&node_name) else { return };
        let namespace = if pod.spec.host_network {
            node.namespace
        } else {
            self.ground.add_namespace(NamespaceSpec {
                node: node.id,
                name: format!("pod/{}", pod.meta.key),
                addresses: pod.addresses.clone(),
            })
        };
        let uid = pod.meta.uid.clone();
        let app_pod = Arc::new(AppPod {
            uid: uid.clone(),
            namespace: pod.meta.key.namespace.clone(),
            name: pod.meta.key.name.clone(),
            node: node_name.clone(),
            addresses: pod.addresses.clone(),
        });
        self.authority.schedule(&node_name, &uid, identity(&pod, self.cluster.config()));
        let runtime = PodRuntime {
            host: self.ground.process(namespace, "app"),
            pod,
            app_pod,
            node: node_name,
            namespace,
            started: false,
            running: false,
            app: None,
            removal: None,
            membership: Membership::Outside,
            waypoint: None,
        };
        self.pods.insert(uid.clone(), runtime);
        self.reconcile(&uid);
        self.faults_follow_pods();
    }

    /// Starts the containers once they may: never before a pod that is to be captured is.
    pub(super) fn start_app_if_due(&mut self, uid: &Arc<str>) {
        let Some(runtime) = self.pods.get_mut(uid) else { return };
        if !runtime.started || runtime.running || matches!(runtime.membership, Membership::Entering { .. }) {
            return;
        }
        runtime.running = true;
        if self.start_waypoint(uid) {
            return;
        }
        let Some(runtime) = self.pods.get_mut(uid) else { return };
        runtime.app = self.apps.start(AppStart {
            pod: &runtime.pod,
            app_pod: &runtime.app_pod,
            host: &runtime.host,
            journal: &self.journal,
        });
    }

    /// Ends a pod: its processes, its place in the mesh, its network.
    fn pod_gone(&mut self, uid: &Arc<str>) -> Result<(), StallReport> {
        let Some(mut runtime) = self.pods.remove(uid) else { return Ok(()) };
        let own_namespace = !runtime.pod.spec.host_network;
        let captured = runtime.membership.is_captured();
        let removal = runtime.removal.unwrap_or(self.config.removal);
        if removal == KillMode::Silent && own_namespace {
            self.ground.remove_namespace(runtime.namespace);
        }
        drop(runtime.app.take());
        runtime.host.kill(removal);
        if let Some(node) = self.nodes.get(&runtime.node) {
            node.remove_workload(uid);
        }
        if removal != KillMode::Silent && own_namespace {
            // Let the proxy's tasks see it, and their last packets leave while there is still a network to leave by.
            self.ground.run_until(self.ground.now())?;
            self.ground.remove_namespace(runtime.namespace);
        }
        waypoint_gone(&mut runtime, self.ground.now(), &self.journal);
        self.authority.unschedule(&runtime.node, uid);
        if captured {
            self.journal.record(self.ground.now(), ObservationKind::Enrollment { pod: uid.clone(), enrolled: false });
        }
        Ok(())
    }
}
