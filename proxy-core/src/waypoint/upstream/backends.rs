//! [`Backends`]: what is remembered of each backend between requests: turns, failures, what is under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::pick::{KnownBackend, NoTarget, Pickable, pickable};
use super::target::Target;
use crate::host::{Instant, Rng};
use crate::route::balance::{Balancer, Endpoint, Wish};
use crate::route::{Backend, Bounded, Circuit, EjectionCause, EndpointResult, LoadBalancer, Outliers, UnderWay};
use crate::state::{Snapshot, Workload};

/// What is remembered of each backend. Cheap to clone; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Backends {
    known: Arc<Mutex<BTreeMap<Backend, Arc<Memory>>>>,
}

/// Of one backend.
#[derive(Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
    /// A connection is free again.
    freed: Notify,
}

#[derive(Default)]
struct State {
    balancer: Balancer,
    outliers: Outliers,
    circuit: Circuit,
    active: BTreeMap<Arc<str>, u32>,
    /// Since when each endpoint may be picked. Kept only where new ones are to be warmed up.
    since: BTreeMap<Arc<str>, Instant>,
    next_sweep: Option<Instant>,
}

/// Backends remembered; beyond it those with nothing under way are forgotten.
const BACKENDS_MAX: usize = 4096;

/// Something counted as under way, until it is dropped.
pub(crate) struct Held {
    memory: Arc<Memory>,
    what: What,
}

enum What {
    Bounded(Bounded),
    Endpoint(Arc<str>),
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.memory.state.lock();
        match &self.what {
            What::Bounded(what) => {
                state.circuit.leave(*what);
                let connection = matches!(what, Bounded::Connection);
                drop(state);
                if connection {
                    self.memory.freed.notify_one();
                }
            }
            What::Endpoint(uid) => {
                if let Some(active) = state.active.get_mut(uid) {
                    *active -= 1;
                    if *active == 0 {
                        state.active.remove(uid);
                    }
                }
            }
        }
    }
}

/// What one pick asks for.
pub(crate) struct Asking<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) own: &'a Workload,
    pub(crate) destination: std::net::SocketAddr,
    /// The name the client gives, for backends that stand for many.
    pub(crate) host: Option<&'a str>,
    pub(crate) hash: Option<u64>,
    /// Endpoints tried before.
    pub(crate) avoid: &'a [Arc<str>],
    pub(crate) selections_max: u32,
    pub(crate) now: Instant,
}

impl Backends {
    /// What is remembered of a backend.
    pub(crate) fn of(&self, backend: &Backend) -> Arc<Memory> {
        let mut known = self.known.lock();
        if let Some(memory) = known.get(backend) {
            return memory.clone();
        }
        if known.len() >= BACKENDS_MAX {
            known.retain(|_, memory| Arc::strong_count(memory) > 1);
        }
        known.entry(backend.clone()).or_default().clone()
    }

    /// Picks an endpoint, and counts it as in use until what comes with it is dropped.
    ///
    /// # Errors
    /// [`NoTarget::NoEndpoint`].
    pub(crate) fn pick(
        &self,
        known: &KnownBackend,
        asking: &Asking<'_>,
        rng: &mut Rng,
    ) -> Result<(Target, Held), NoTarget> {
        let memory = self.of(&known.backend);
        let found = pickable(asking.snapshot, asking.own, known, asking.destination, asking.host)?;
        let candidates = match found {
            Pickable::Fixed(target) => {
                let held = memory.hold_endpoint(&target.workload.uid);
                return Ok((*target, held));
            }
            Pickable::Any(candidates) => candidates,
        };
        let place = {
            let mut state = memory.state.lock();
            let State { balancer, outliers, active, since, next_sweep, .. } = &mut *state;
            let detection = known.policy.outlier_detection.as_ref();
            if let Some(detection) = detection {
                let mut next = next_sweep.unwrap_or(asking.now + detection.interval);
                while next <= asking.now {
                    outliers.sweep(detection, next);
                    if detection.interval.is_zero() {
                        break;
                    }
                    next += detection.interval;
                }
                *next_sweep = Some(next);
                outliers.retain(|uid| candidates.iter().any(|one| &*one.workload.uid == uid));
            }
            let warmup = known.policy.warmup.filter(|_| warms_up(&known.policy.load_balancer));
            since.retain(|uid, _| warmup.is_some() && candidates.iter().any(|one| one.workload.uid == *uid));
            let mut share = |uid: &Arc<str>| match warmup {
                None => 1,
                Some(warmup) => {
                    let from = *since.entry(uid.clone()).or_insert(asking.now);
                    warmup.percent(asking.now.saturating_since(from))
                }
            };
            let endpoints: Vec<Endpoint<'_>> = candidates
                .iter()
                .map(|one| {
                    let key = &one.workload.uid;
                    Endpoint {
                        key,
                        weight: one.weight.saturating_mul(share(key)),
                        active: active.get(key).copied().unwrap_or(0),
                        priority: one.priority,
                        ejected: detection.is_some() && outliers.is_ejected(key),
                    }
                })
                .collect();
            let wish = Wish {
                hash: asking.hash,
                avoid: asking.avoid,
                selections_max: asking.selections_max,
                panic_percent: detection.map_or(0, |detection| detection.min_health_percent),
            };
            balancer.pick(&known.policy.load_balancer, &endpoints, wish, rng)
        };
        let chosen = place.and_then(|place| candidates.into_iter().nth(place));
        match chosen {
            Some(chosen) => {
                let held = memory.hold_endpoint(&chosen.workload.uid);
                Ok((chosen.into_target(known), held))
            }
            None => Err(NoTarget::NoEndpoint(format!("{}: no healthy endpoint", known.backend))),
        }
    }

    /// Counts how a try ended; why the endpoint is left out from now on, if it is.
    pub(crate) fn report(
        &self,
        known: &KnownBackend,
        asking: &Asking<'_>,
        uid: &Arc<str>,
        result: EndpointResult,
    ) -> Option<EjectionCause> {
        let detection = known.policy.outlier_detection.as_ref()?;
        let all = match pickable(asking.snapshot, asking.own, known, asking.destination, asking.host) {
            Ok(Pickable::Any(candidates)) => candidates.len(),
            _ => 1,
        };
        let memory = self.of(&known.backend);
        let mut state = memory.state.lock();
        if state.next_sweep.is_none() {
            state.next_sweep = Some(asking.now + detection.interval);
        }
        state.outliers.record(detection, uid, result, all, asking.now)
    }
}

/// Whether new endpoints get less at first: where shares are what a balancer goes by.
fn warms_up(balancer: &LoadBalancer) -> bool {
    matches!(balancer, LoadBalancer::LeastRequest | LoadBalancer::RoundRobin)
}

impl Memory {
    fn hold_endpoint(self: &Arc<Self>, uid: &Arc<str>) -> Held {
        *self.state.lock().active.entry(uid.clone()).or_insert(0) += 1;
        Held { memory: self.clone(), what: What::Endpoint(uid.clone()) }
    }

    /// Counts something as under way; `None` if its bound is reached.
    pub(crate) fn enter(self: &Arc<Self>, known: &KnownBackend, what: Bounded) -> Option<Held> {
        let entered = self.state.lock().circuit.enter(&known.policy.pool, what);
        entered.then(|| Held { memory: self.clone(), what: What::Bounded(what) })
    }

    /// Waits for a place among the connections; `None` if too many wait already.
    pub(crate) async fn connection(self: &Arc<Self>, known: &KnownBackend) -> Option<Held> {
        if let Some(held) = self.enter(known, Bounded::Connection) {
            return Some(held);
        }
        let _pending = self.enter(known, Bounded::Pending)?;
        loop {
            self.freed.notified().await;
            if let Some(held) = self.enter(known, Bounded::Connection) {
                return Some(held);
            }
        }
    }

    /// For a retry budget.
    pub(crate) fn under_way(&self) -> UnderWay {
        self.state.lock().circuit.under_way()
    }
}
