//! The lives of pods: what is due when, and [`Cluster::step`].

use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;

use super::ipam;
use super::object::{Meta, ObjectName};
use super::pod::{Pod, PodEvent, PodEventKind, PodPhase, PodTimes, REDIRECTION_ANNOTATION, Redirection};
use super::store::Cluster;

impl Cluster {
    /// Runs controllers, scheduler and pod lives up to `now`, each step at its own time. Events come in order of time, then
    /// of creation, including those of operations since the last call.
    pub fn step(&mut self, now: Instant) -> Vec<PodEvent> {
        self.run(now);
        std::mem::take(&mut self.events)
    }

    /// When [`Cluster::step`] next has something to do or to tell, if ever. Right after a change that is the time of the
    /// change.
    pub fn next_deadline(&self) -> Option<Instant> {
        let event = self.events.first().map(|event| event.at);
        let timer = self.timers.first().map(|((at, _), _)| *at);
        [event, timer, self.dirty].into_iter().flatten().min()
    }

    /// Brings the cluster to this time.
    pub(super) fn run(&mut self, now: Instant) {
        loop {
            let timer = self.timers.first().map(|((at, _), name)| (*at, name.clone()));
            match (timer, self.dirty) {
                // What is due at the time of a change goes first, so that controllers see all of that moment.
                (Some((at, name)), dirty) if at <= now && dirty.is_none_or(|dirty| at <= dirty) => {
                    self.advance(&name, at)
                }
                (_, Some(dirty)) if dirty <= now => {
                    self.dirty = None;
                    self.reconcile(dirty);
                }
                _ => return,
            }
        }
    }

    /// Tells controllers to look again.
    pub(super) fn touch(&mut self, at: Instant) {
        self.revision += 1;
        self.dirty = Some(self.dirty.map_or(at, |dirty| dirty.min(at)));
    }

    pub(super) fn emit(&mut self, at: Instant, kind: PodEventKind, pod: &Arc<Pod>) {
        self.events.push(PodEvent { at, kind, pod: pod.clone() });
    }

    /// Stores a pod and when its next step is due.
    pub(super) fn put_pod(&mut self, pod: Pod) -> Arc<Pod> {
        self.forget_timer(&pod.meta.key);
        if let Some(at) = due(&pod) {
            self.timers.insert_mut((at, pod.meta.order), pod.meta.key.clone());
        }
        let pod = Arc::new(pod);
        self.pods.insert_mut(pod.meta.key.clone(), pod.clone());
        self.revision += 1;
        pod
    }

    fn forget_timer(&mut self, name: &ObjectName) {
        if let Some(pod) = self.pods.get(name)
            && let Some(at) = due(pod)
        {
            self.timers.remove_mut(&(at, pod.meta.order));
        }
    }

    /// Creates a pod; `meta` needs a key, labels, annotations, owner and source.
    pub(super) fn create_pod(&mut self, mut meta: Meta, spec: Arc<super::pod::PodSpec>, at: Instant) -> Arc<Pod> {
        self.stamp(&mut meta, at);
        self.touch(at);
        self.put_pod(Pod {
            meta,
            spec,
            phase: PodPhase::Pending,
            ready: false,
            node: None,
            addresses: Vec::new(),
            times: PodTimes::default(),
        })
    }

    /// Gives an object what makes it unique.
    pub(super) fn stamp(&mut self, meta: &mut Meta, at: Instant) {
        meta.order = self.order;
        meta.uid = ipam::uid(self.config.seed, self.order);
        meta.created = at;
        self.order += 1;
    }

    /// Takes the step of a pod that is due.
    fn advance(&mut self, name: &ObjectName, at: Instant) {
        let Some(pod) = self.pods.get(name) else { return };
        let mut pod = Pod::clone(pod);
        match pod.phase {
            PodPhase::Pending => {
                pod.phase = PodPhase::Running;
                pod.times.started = Some(at);
                let delay = self.config.readiness_delay.max(pod.spec.readiness_delay);
                pod.times.ready = (!pod.is_waypoint()).then_some(at + delay);
                let pod = self.put_pod(pod);
                self.emit(at, PodEventKind::Started, &pod);
            }
            PodPhase::Running => {
                pod.ready = true;
                let pod = self.put_pod(pod);
                self.emit(at, PodEventKind::Ready, &pod);
                self.touch(at);
            }
            PodPhase::Terminating | PodPhase::Gone => self.end_pod(name, at),
        }
    }

    /// Deletes a pod: it gets its grace period, or `grace` if given. A pod that has not started needs none.
    pub(super) fn terminate(&mut self, name: &ObjectName, grace: Option<Duration>, at: Instant) {
        let Some(pod) = self.pods.get(name) else { return };
        let mut pod = Pod::clone(pod);
        self.touch(at);
        match pod.phase {
            PodPhase::Pending if pod.node.is_none() => self.end_pod(name, at),
            PodPhase::Pending | PodPhase::Running => {
                let allowed = grace.unwrap_or(pod.spec.termination_grace_period);
                let needed = match pod.phase {
                    PodPhase::Pending => Duration::ZERO,
                    _ => self.config.stop_delay.map_or(allowed, |needed| needed.min(allowed)),
                };
                pod.phase = PodPhase::Terminating;
                pod.times.terminating = Some(at);
                pod.times.gone = Some(at + needed);
                let pod = self.put_pod(pod);
                self.emit(at, PodEventKind::Terminating, &pod);
            }
            PodPhase::Terminating => {
                if let Some(grace) = grace {
                    let sooner = at + grace;
                    pod.times.gone = Some(pod.times.gone.map_or(sooner, |gone| gone.min(sooner)));
                    self.put_pod(pod);
                }
            }
            PodPhase::Gone => {}
        }
    }

    /// The containers of a pod that is being deleted have ended before their time: the pod goes. Nothing happens if there is
    /// no such pod, or it is not being deleted.
    pub fn containers_ended(&mut self, name: &ObjectName, uid: &str, now: Instant) {
        self.run(now);
        if self.pods.get(name).is_some_and(|pod| pod.phase == PodPhase::Terminating && *pod.meta.uid == *uid) {
            self.end_pod(name, now);
        }
    }

    /// Takes a pod out of the store and frees its addresses.
    pub(super) fn end_pod(&mut self, name: &ObjectName, at: Instant) {
        let Some(pod) = self.pods.get(name) else { return };
        let mut pod = Pod::clone(pod);
        self.forget_timer(name);
        self.pods.remove_mut(name);
        self.touch(at);
        pod.phase = PodPhase::Gone;
        pod.times.gone = Some(at);
        if let Some(node) = pod.node.clone() {
            if let Some(pool) = self.pools.get_mut(&node) {
                let pool = Arc::make_mut(pool);
                pool.pods = pool.pods.saturating_sub(1);
                if !pod.spec.host_network {
                    pool.give_back(&pod.addresses);
                }
            }
            self.emit(at, PodEventKind::Gone, &Arc::new(pod));
        }
    }

    /// The enrollment agent's word on a pod: sets or removes its redirection annotation. False if there is no such pod (any
    /// more): compare uids if a pod of that name may have been replaced.
    pub fn set_redirection(&mut self, name: &ObjectName, redirection: Option<Redirection>) -> bool {
        let Some(pod) = self.pods.get(name) else { return false };
        let mut pod = Pod::clone(pod);
        match redirection {
            Some(redirection) => {
                pod.meta.annotations.insert(REDIRECTION_ANNOTATION.into(), redirection.value().into());
            }
            None => {
                pod.meta.annotations.remove(REDIRECTION_ANNOTATION);
            }
        }
        self.put_pod(pod);
        true
    }

    /// Makes a running pod unready until further notice, or ready again, as its readiness probe would. False if there is no
    /// such pod or it is not running.
    pub fn set_ready(&mut self, name: &ObjectName, ready: bool, now: Instant) -> bool {
        self.run(now);
        let Some(pod) = self.pods.get(name).filter(|pod| pod.phase == PodPhase::Running) else { return false };
        let mut pod = Pod::clone(pod);
        let changed = pod.ready != ready;
        pod.ready = ready;
        pod.times.ready = ready.then_some(now);
        let pod = self.put_pod(pod);
        if changed {
            self.emit(now, if ready { PodEventKind::Ready } else { PodEventKind::Unready }, &pod);
            self.touch(now);
        }
        true
    }
}

/// When a pod's next step is due by itself.
fn due(pod: &Pod) -> Option<Instant> {
    match pod.phase {
        PodPhase::Pending => pod.times.started,
        PodPhase::Running if pod.ready => None,
        PodPhase::Running => pod.times.ready,
        PodPhase::Terminating => pod.times.gone,
        PodPhase::Gone => None,
    }
}
