//! [`ControlPlane`]: tells every proxy what changed: in order, late, acknowledged.

mod disorder;
mod schedule;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::Instant;
use proxy_core::route::GatewayKey;
use proxy_core::state::{ConfigSource, Push, Rejected};
use tokio::sync::Notify;

pub use self::disorder::{Disorder, PushOrder};
pub use self::schedule::{Acknowledged, Revision};
use self::schedule::{Schedule, Step};
use super::Resources;

/// When pushes leave and how long they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushConfig {
    /// Changes are held back until none came for this long. Default 100 ms, as istiod's `PILOT_DEBOUNCE_AFTER`.
    pub debounce_quiet: Duration,
    /// But never for longer than this. Default 10 s, as istiod's `PILOT_DEBOUNCE_MAX`.
    pub debounce_max: Duration,
    /// Least time from control plane to proxy. Default 1 ms.
    pub delay_least: Duration,
    /// Most time from control plane to proxy; each push to each node draws its own. Default 10 ms.
    pub delay_most: Duration,
}

impl Default for PushConfig {
    fn default() -> Self {
        PushConfig {
            debounce_quiet: Duration::from_millis(100),
            debounce_max: Duration::from_secs(10),
            delay_least: Duration::from_millis(1),
            delay_most: Duration::from_millis(10),
        }
    }
}

/// Hears of every acknowledgement as it happens. Must not call back into the control plane.
pub trait PushObserver: Send + Sync + 'static {
    /// A node's proxy holds everything up to this change.
    fn acknowledged(&self, at: Instant, acknowledged: Acknowledged);
}

/// Hears nothing.
impl PushObserver for () {
    fn acknowledged(&self, _at: Instant, _acknowledged: Acknowledged) {}
}

/// The sending side of the configuration path: takes whole states, pushes differences.
///
/// Changes are debounced; what they come to is computed once, when the debounce ends, and sent to each subscribed node
/// after that node's own drawn delay. A node has at most one push on its way; what changes meanwhile is merged into the next. Nodes that hold the same version
/// are sent the same [`Arc`]. Inside a push policies come before addresses, and the proxy applies it atomically, so the
/// window in which upstream admits traffic because a referenced policy is not there yet does not exist.
///
/// Deterministic because delays come from one seed and the node's name, and nodes are served in order of name.
pub struct ControlPlane<H: Host> {
    host: H,
    shared: Arc<Shared>,
}

impl<H: Host> Clone for ControlPlane<H> {
    fn clone(&self) -> Self {
        ControlPlane { host: self.host.clone(), shared: self.shared.clone() }
    }
}

struct Shared {
    schedule: Mutex<Schedule>,
    /// Wakes subscribers; broadcast in order of registration.
    changed: Notify,
    observer: Arc<dyn PushObserver>,
}

impl<H: Host> ControlPlane<H> {
    /// A control plane whose clock and dice are those of `host`.
    pub fn new(host: H, config: PushConfig, observer: Arc<dyn PushObserver>) -> Self {
        let mut seed = [0; 32];
        host.fill_random("control/push", &mut seed);
        let shared =
            Arc::new(Shared { schedule: Mutex::new(Schedule::new(config, seed)), changed: Notify::new(), observer });
        ControlPlane { host, shared }
    }

    /// Notes that the truth changed. Returns the change's number, which [`ControlPlane::acked`] will reach once a commit
    /// covers it.
    pub fn changed(&self) -> Revision {
        self.shared.schedule.lock().changed(self.host.now())
    }

    /// When [`ControlPlane::commit`] is due, if changes were noted since the last. Moves later as more are noted.
    pub fn commit_due(&self) -> Option<Instant> {
        self.shared.schedule.lock().commit_due()
    }

    /// Takes what the truth translates to now, covering every change noted so far, and pushes the difference.
    pub fn commit(&self, resources: Resources) {
        let now = self.host.now();
        let acknowledged = self.shared.schedule.lock().commit(now, resources);
        for acknowledged in acknowledged {
            self.shared.observer.acknowledged(now, acknowledged);
        }
        self.shared.changed.notify_waiters();
    }

    /// Starts the stream of `node`. An earlier stream of the same node ends.
    pub fn subscribe(&self, node: &str) -> Subscription<H> {
        self.start(node, None)
    }

    /// Starts the stream of one instance of a waypoint, which is told what is for that waypoint alone too. `name` is the
    /// instance's, different from any node's.
    pub fn subscribe_waypoint(&self, name: &str, waypoint: GatewayKey) -> Subscription<H> {
        self.start(name, Some(waypoint))
    }

    fn start(&self, node: &str, scope: Option<GatewayKey>) -> Subscription<H> {
        let node: Arc<str> = node.into();
        let generation = self.shared.schedule.lock().subscribe(self.host.now(), &node, scope);
        if generation > 1 {
            self.shared.changed.notify_waiters();
        }
        Subscription { host: self.host.clone(), shared: self.shared.clone(), node, generation }
    }

    /// Breaks or restores the stream of `node`. What was on its way is lost; on return the node is sent the
    /// difference between what it last acknowledged and what is current, removals included.
    pub fn set_connected(&self, node: &str, connected: bool) {
        let now = self.host.now();
        let acknowledged = self.shared.schedule.lock().set_connected(now, node, connected);
        if let Some(acknowledged) = acknowledged {
            self.shared.observer.acknowledged(now, acknowledged);
        }
        self.shared.changed.notify_waiters();
    }

    /// Makes something wrong with the path to a node's proxy, or right again; without a node, to all that have nothing of
    /// their own. Concerns what is sent from now on.
    pub fn set_disorder(&self, node: Option<&str>, disorder: Option<Disorder>) {
        self.shared.schedule.lock().set_disorder(&node.unwrap_or_default().into(), disorder);
    }

    /// The newest change noted.
    pub fn newest(&self) -> Revision {
        self.shared.schedule.lock().newest()
    }

    /// Up to which change `node` is known to be; `None` before its first answer.
    pub fn acked(&self, node: &str) -> Option<Revision> {
        self.shared.schedule.lock().acked(node)
    }

    /// Resources that proxies refused and have not been sent anew, by node. Not empty means that control plane and proxy
    /// disagree on what is valid; the proxy keeps what it had under that name.
    pub fn rejected(&self) -> Vec<(Arc<str>, Rejected)> {
        self.shared.schedule.lock().rejected()
    }

    /// Whether nothing waits to be pushed and every subscriber has acknowledged the newest change.
    pub fn settled(&self) -> bool {
        self.shared.schedule.lock().settled()
    }
}

/// One node's stream of pushes.
pub struct Subscription<H: Host> {
    host: H,
    shared: Arc<Shared>,
    node: Arc<str>,
    generation: u64,
}

impl<H: Host> Subscription<H> {
    /// What the subscriber has been told, whether it has answered or not. `None` before the first push.
    pub(in crate::control) fn told(&self) -> Option<Arc<Resources>> {
        self.shared.schedule.lock().told(&self.node, self.generation)
    }
}

impl<H: Host> ConfigSource for Subscription<H> {
    async fn next(&mut self) -> Option<Push> {
        loop {
            // Registered before looking, so that nothing that happens in between is missed.
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let step = self.shared.schedule.lock().poll(self.host.now(), &self.node, self.generation);
            match step {
                Step::Deliver(push) => return Some(push),
                Step::Over => return None,
                Step::Wait => changed.await,
                Step::At(due) => {
                    let mut sleep = pin!(self.host.sleep_until(due));
                    std::future::poll_fn(|context| {
                        if changed.as_mut().poll(context).is_ready() {
                            return Poll::Ready(());
                        }
                        sleep.as_mut().poll(context)
                    })
                    .await;
                }
            }
        }
    }

    fn answer(&mut self, nonce: u64, rejected: &[Rejected]) {
        let now = self.host.now();
        let acknowledged = self.shared.schedule.lock().answer(now, &self.node, self.generation, nonce, rejected);
        if let Some(acknowledged) = acknowledged {
            self.shared.observer.acknowledged(now, acknowledged);
        }
    }
}

impl<H: Host> Drop for Subscription<H> {
    fn drop(&mut self) {
        self.shared.schedule.lock().unsubscribe(&self.node, self.generation);
    }
}
