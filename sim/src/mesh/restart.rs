//! Processes and nodes that go down, and come back.

use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Host;

use super::Mesh;
use super::node::DrainingProxy;
use super::waypoint::waypoint_gone;
use super::work::Work;
use crate::cluster::{Kind, ObjectReference};
use crate::ground::{Ground, Process};
use crate::node::KillMode;
use crate::record::ObservationKind;

/// How often a new proxy is looked at until it is ready to take over.
const LOOK: Duration = Duration::from_millis(10);
/// From the end of a drain to the end of the process.
const LAST_WORDS: Duration = Duration::from_millis(10);

impl<G: Ground> Mesh<G> {
    /// Ends a pod's process. The pod is unready until it is restarted.
    pub(super) fn crash_app(&mut self, uid: &Arc<str>, how: KillMode) {
        let Some(runtime) = self.pods.get_mut(uid) else { return };
        drop(runtime.app.take());
        runtime.running = false;
        runtime.started = false;
        runtime.host.kill(how);
        let name = runtime.pod.meta.key.clone();
        self.tell_waypoint_gone(uid);
        self.set_ready(&name, false);
    }

    fn tell_waypoint_gone(&mut self, uid: &Arc<str>) {
        if let Some(runtime) = self.pods.get_mut(uid) {
            waypoint_gone(runtime, self.ground.now(), &self.journal);
        }
    }

    /// Starts a pod's containers anew, in the network they had.
    pub(super) fn restart_app(&mut self, uid: &Arc<str>) {
        let Some(runtime) = self.pods.get_mut(uid) else { return };
        if runtime.running {
            return;
        }
        runtime.host = self.ground.process(runtime.namespace, "app");
        runtime.started = true;
        self.start_app_if_due(uid);
        // A waypoint says itself when it is ready.
        if self.pods.get(uid).is_none_or(|runtime| runtime.waypoint.is_none()) {
            self.agenda.add(self.now() + self.cluster.config().readiness_delay, Work::Ready(uid.clone()));
        }
    }

    /// A restarted pod passes its probe, if it runs.
    pub(super) fn pass_probe(&mut self, uid: &Arc<str>) {
        let Some(runtime) = self.pods.get(uid).filter(|runtime| runtime.running) else { return };
        let name = runtime.pod.meta.key.clone();
        self.set_ready(&name, true);
    }

    /// Pods vanish with their namespaces, and are deleted.
    pub(super) fn lose(&mut self, pods: &[Arc<str>], whose: &ObjectReference) -> Result<(), String> {
        for uid in pods {
            let Some(runtime) = self.pods.get_mut(uid) else { continue };
            if runtime.pod.spec.host_network {
                return Err(format!("{whose} runs in its node's network, which cannot be lost alone"));
            }
            runtime.removal = Some(KillMode::Silent);
        }
        self.delete_pods(pods, Some(Duration::ZERO))
    }

    pub(super) fn delete_pods(&mut self, pods: &[Arc<str>], grace: Option<Duration>) -> Result<(), String> {
        let names = pods.iter().filter_map(|uid| self.pods.get(uid)).map(|runtime| runtime.pod.meta.key.clone());
        let names: Vec<_> = names.collect();
        for name in names {
            let pod = ObjectReference::new(Kind::Pod, &name.namespace, &name.name);
            self.delete(&pod, grace).map_err(|problem| problem.to_string())?;
        }
        Ok(())
    }

    /// Everything on a node is gone without a word.
    pub(super) fn crash_node(&mut self, node: &Arc<str>, pods: &[Arc<str>]) {
        self.end_proxies(node, KillMode::Silent);
        let Some(runtime) = self.nodes.get(node) else { return };
        let mut places = vec![runtime.namespace, runtime.proxies];
        self.ground.cut_power(runtime.id);
        for uid in pods {
            let Some(pod) = self.pods.get_mut(uid) else { continue };
            drop(pod.app.take());
            pod.running = false;
            pod.started = false;
            pod.host.kill(KillMode::Silent);
            places.push(pod.namespace);
        }
        pods.iter().for_each(|uid| self.tell_waypoint_gone(uid));
        places.into_iter().for_each(|place| self.ground.wipe(place));
    }

    /// Nobody has heard of a node for long enough.
    pub(super) fn node_missing(&mut self, node: &Arc<str>) {
        let missing = self.pods.values().filter(|runtime| runtime.node == *node && !runtime.running);
        let names: Vec<_> = missing.map(|runtime| runtime.pod.meta.key.clone()).collect();
        names.iter().for_each(|name| {
            self.set_ready(name, false);
        });
    }

    /// A node starts again: its proxy, then its pods.
    pub(super) fn boot_node(&mut self, node: &Arc<str>, pods: &[Arc<str>]) {
        let Some(id) = self.nodes.get(node).map(|runtime| runtime.id) else { return };
        self.ground.resume(id, &[]);
        self.replace_proxy(node);
        pods.iter().for_each(|uid| self.restart_app(uid));
    }

    /// The node's proxies die.
    pub(super) fn crash_proxy(&mut self, node: &Arc<str>, how: KillMode) {
        self.end_proxies(node, how);
    }

    fn end_proxies(&mut self, node: &Arc<str>, how: KillMode) {
        let Some(runtime) = self.nodes.get_mut(node) else { return };
        let drained = std::mem::take(&mut runtime.draining);
        let mut gone: Vec<Arc<str>> = drained.iter().map(|old| old.proxy.clone()).collect();
        drained.iter().for_each(|old| old.host.kill(how));
        if runtime.host.is_alive() {
            runtime.host.kill(how);
            gone.push(runtime.proxy.clone());
        }
        gone.into_iter().for_each(|proxy| self.tell_proxy(node, proxy, false));
        // An upgrade whose proxies are both dead is over.
        drained.iter().for_each(|_| self.end_upgrade(node));
    }

    fn tell_proxy(&self, node: &Arc<str>, proxy: Arc<str>, running: bool) {
        self.journal.record(self.now(), ObservationKind::ProxyLife { node: node.clone(), proxy, running });
    }

    /// Starts another proxy in the place of one that is gone. It learns everything anew.
    pub(super) fn replace_proxy(&mut self, node: &Arc<str>) {
        let alive = self.nodes.get(node).is_some_and(|runtime| runtime.host.is_alive());
        if !alive {
            self.start_another(node);
        }
    }

    /// Starts another proxy beside the one there is, and has it take over once it is ready.
    pub(super) fn upgrade_proxy(&mut self, node: &Arc<str>, drain: Duration) {
        let Some(old) = self.start_another(node) else { return };
        if let Some(runtime) = self.nodes.get_mut(node) {
            runtime.draining.push(old);
        }
        self.agenda.add(self.now() + LOOK, Work::HandOver(node.clone(), drain));
    }

    /// Starts a proxy for a node and has it serve the node's pods. Returns the one that was there.
    fn start_another(&mut self, node: &Arc<str>) -> Option<DrainingProxy<G::Host>> {
        let runtime = self.nodes.get(node)?;
        let incarnation = runtime.incarnation + 1;
        let proxy: Arc<str> = format!("{node}#{incarnation}").into();
        let (host, ztunnel) = self.launch(node, &proxy, runtime.proxies);
        if self.is_cut_off(node) {
            self.control.set_connected(&proxy, false);
        }
        self.tell_proxy(node, proxy.clone(), true);
        let runtime = self.nodes.get_mut(node)?;
        runtime.incarnation = incarnation;
        let old = DrainingProxy {
            host: std::mem::replace(&mut runtime.host, host),
            ztunnel: std::mem::replace(&mut runtime.ztunnel, ztunnel),
            proxy: std::mem::replace(&mut runtime.proxy, proxy),
        };
        let served = self.pods.iter().filter(|(_, pod)| pod.node == *node && pod.membership.is_captured());
        let served: Vec<Arc<str>> = served.map(|(uid, _)| uid.clone()).collect();
        served.iter().for_each(|uid| self.serve(uid));
        Some(old)
    }

    /// Has the node's proxy serve a pod that is in the mesh already; tries again until it does.
    pub(super) fn serve(&mut self, uid: &Arc<str>) {
        let Some(runtime) = self.pods.get(uid).filter(|runtime| runtime.membership.is_captured()) else { return };
        let Some(node) = self.nodes.get(&runtime.node).filter(|node| node.host.is_alive()) else { return };
        let in_pod = node.host.in_namespace(runtime.namespace).marked(crate::node::PROXY_MARK);
        if node.ztunnel.add_workload(runtime.workload_info(), in_pod).is_err() {
            self.agenda.add(self.now() + self.config.agent.retry_least, Work::Serve(uid.clone()));
        }
    }

    /// Once the new proxy is ready, the old ones drain.
    pub(super) fn hand_over(&mut self, node: &Arc<str>, drain: Duration) {
        let now = self.now();
        let Some(runtime) = self.nodes.get(node) else { return };
        if !runtime.ztunnel.is_ready() {
            if runtime.host.is_alive() {
                self.agenda.add(now + LOOK, Work::HandOver(node.clone(), drain));
            }
            return;
        }
        let deadline = now + drain;
        for old in &runtime.draining {
            let ztunnel = old.ztunnel.clone();
            old.host.spawn("drain", async move {
                ztunnel.drain(deadline).await;
            });
            self.agenda.add(deadline + LAST_WORDS, Work::Retire(node.clone(), old.proxy.clone()));
        }
    }

    /// Ends a proxy that has drained.
    pub(super) fn retire(&mut self, node: &Arc<str>, proxy: &Arc<str>) {
        let Some(runtime) = self.nodes.get_mut(node) else { return };
        let Some(index) = runtime.draining.iter().position(|old| old.proxy == *proxy) else { return };
        let old = runtime.draining.remove(index);
        old.host.kill(KillMode::Close);
        self.tell_proxy(node, old.proxy, false);
        self.end_upgrade(node);
    }
}
