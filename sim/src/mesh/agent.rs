//! Enrollment: labels say what should be; redirect rules, proxy and annotation follow, in that order.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proxy_core::ztunnel::{Entry, SOCKS5_PORT};

use super::Mesh;
use super::config::DnsCapture;
use super::pod::Membership;
use super::work::Work;
use crate::cluster::{Redirection, enrollment};
use crate::ground::{Ground, Process};
use crate::node::Capture;
use crate::record::ObservationKind;

impl<G: Ground> Mesh<G> {
    /// Compares what labels ask for with what is, for every pod.
    pub(super) fn reconcile_all(&mut self) {
        let pods: Vec<Arc<str>> = self.pods.keys().cloned().collect();
        for uid in &pods {
            self.reconcile(uid);
        }
    }

    /// Compares what labels ask for with what is, for one pod, and plans what is missing.
    pub(super) fn reconcile(&mut self, uid: &Arc<str>) {
        let wanted = self.is_wanted(uid);
        let Some(runtime) = self.pods.get_mut(uid) else { return };
        let work = match (runtime.membership, wanted) {
            (Membership::Outside, true) => {
                runtime.membership = Membership::Entering { refused: 0 };
                Work::Enroll(uid.clone())
            }
            (Membership::Inside, false) => {
                runtime.membership = Membership::Leaving;
                Work::Release(uid.clone())
            }
            // Anything under way looks again when it is done.
            _ => return,
        };
        let delay = self.draw(uid, "act", self.config.agent.act_least, self.config.agent.act_most);
        self.agenda.add(self.ground.now() + delay, work);
    }

    /// Whether the pod should be in the mesh, by the labels of now.
    pub(super) fn is_wanted(&self, uid: &str) -> bool {
        let Some(runtime) = self.pods.get(uid) else { return false };
        let Some(pod) = self.cluster.pod(&runtime.pod.meta.key).filter(|pod| pod.meta.uid == runtime.pod.meta.uid)
        else {
            return false;
        };
        let Some(namespace) = self.cluster.namespace(pod.meta.namespace()) else { return false };
        let config = self.cluster.config();
        enrollment::intent(pod, namespace, &config.excluded_namespaces, &config.root_namespace).is_enrolled()
    }

    /// Puts rules and proxy in place.
    pub(super) fn enroll(&mut self, uid: &Arc<str>) {
        let wanted = self.is_wanted(uid);
        let Some(runtime) = self.pods.get_mut(uid) else { return };
        let Membership::Entering { refused } = runtime.membership else { return };
        if !wanted {
            runtime.membership = Membership::Outside;
            self.ground.set_capture(runtime.namespace, None);
            let key = runtime.pod.meta.key.clone();
            if refused > 0 && self.cluster.set_redirection(&key, None) {
                self.note_change();
            }
            self.start_app_if_due(uid);
            return;
        }
        let Some(node) = self.nodes.get(&runtime.node) else { return };
        let bypass_inbound = runtime.pod.bypasses_inbound_capture();
        let dns = self.config.dns == DnsCapture::On && runtime.pod.captures_dns();
        self.ground.set_capture(runtime.namespace, Some(Capture { bypass_inbound, dns }));
        let in_pod = node.host.in_namespace(runtime.namespace).marked(crate::node::PROXY_MARK);
        let key = runtime.pod.meta.key.clone();
        match node.ztunnel.add_workload(runtime.workload_info(), in_pod) {
            Ok(()) => {
                runtime.membership = Membership::Captured;
                if self.config.socks5 {
                    // A pod that has the port itself keeps it.
                    let at = SocketAddr::from((Ipv4Addr::UNSPECIFIED, SOCKS5_PORT));
                    let _ = node.ztunnel.open_entry(uid, at, Entry::Socks5);
                }
                self.journal
                    .record(self.ground.now(), ObservationKind::Enrollment { pod: uid.clone(), enrolled: true });
                let agent = self.config.agent;
                let delay = self.draw(uid, "annotate", agent.annotate_least, agent.annotate_most);
                self.agenda.add(self.ground.now() + delay, Work::Announce(uid.clone()));
                self.start_app_if_due(uid);
            }
            Err(_) => {
                // Rules without a proxy: the pod fails closed until a retry succeeds.
                runtime.membership = Membership::Entering { refused: refused.saturating_add(1) };
                if self.cluster.set_redirection(&key, Some(Redirection::Pending)) {
                    self.note_change();
                }
                let agent = self.config.agent;
                let wait = backoff(agent.retry_least, agent.retry_most, refused);
                self.agenda.add(self.ground.now() + wait, Work::Enroll(uid.clone()));
            }
        }
    }

    /// Says in the annotation that the pod is in the mesh: from now on the control plane tells others so.
    pub(super) fn announce(&mut self, uid: &Arc<str>) {
        let Some(runtime) = self.pods.get_mut(uid) else { return };
        if runtime.membership != Membership::Captured {
            return;
        }
        runtime.membership = Membership::Inside;
        let key = runtime.pod.meta.key.clone();
        if self.cluster.set_redirection(&key, Some(Redirection::Enabled)) {
            self.note_change();
        }
        self.reconcile(uid);
    }

    /// Takes rules and proxy away. What the proxy carried for the pod is cut.
    pub(super) fn release(&mut self, uid: &Arc<str>) {
        let wanted = self.is_wanted(uid);
        let Some(runtime) = self.pods.get_mut(uid) else { return };
        if runtime.membership != Membership::Leaving {
            return;
        }
        if wanted {
            runtime.membership = Membership::Inside;
            return;
        }
        self.ground.set_capture(runtime.namespace, None);
        if let Some(node) = self.nodes.get(&runtime.node) {
            node.remove_workload(uid);
        }
        runtime.membership = Membership::Released;
        self.journal.record(self.ground.now(), ObservationKind::Enrollment { pod: uid.clone(), enrolled: false });
        let agent = self.config.agent;
        let delay = self.draw(uid, "withdraw", agent.annotate_least, agent.annotate_most);
        self.agenda.add(self.ground.now() + delay, Work::Withdraw(uid.clone()));
    }

    /// Takes the annotation away.
    pub(super) fn withdraw(&mut self, uid: &Arc<str>) {
        let Some(runtime) = self.pods.get_mut(uid) else { return };
        if runtime.membership != Membership::Released {
            return;
        }
        runtime.membership = Membership::Outside;
        let key = runtime.pod.meta.key.clone();
        if self.cluster.set_redirection(&key, None) {
            self.note_change();
        }
        self.reconcile(uid);
    }

    /// A uniform draw from the pod's own stream of that name: one pod more never shifts another's delays.
    fn draw(&self, uid: &str, what: &str, least: Duration, most: Duration) -> Duration {
        let spread = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX);
        let mut dice = self.seed.stream(&format!("agent/{what}/{uid}/{}", self.ground.now().as_nanos()));
        least + Duration::from_nanos(dice.below(spread.saturating_add(1).max(1)))
    }
}

/// Doubles with each refusal.
fn backoff(least: Duration, most: Duration, refused: u32) -> Duration {
    least.saturating_mul(1u32.checked_shl(refused).unwrap_or(u32::MAX)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_back_off_up_to_their_limit() {
        let wait = |refused| backoff(Duration::from_millis(5), Duration::from_secs(5), refused);
        assert_eq!(wait(0), Duration::from_millis(5));
        assert_eq!(wait(3), Duration::from_millis(40));
        assert_eq!(wait(10), Duration::from_secs(5));
        assert_eq!(wait(4_000), Duration::from_secs(5));
    }
}
