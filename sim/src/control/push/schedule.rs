//! [`Schedule`]: which proxy is sent what, and when. Pure: time comes in, deadlines go out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use proxy_core::host::{Instant, Rng};
use proxy_core::route::GatewayKey;
use proxy_core::state::{Push, Rejected, Resource, ResourceName, SharedUpdate};
use sha2::{Digest, Sha256};

use super::PushConfig;
use super::disorder::{Disorder, pieces};
use crate::control::resources::{Resources, diff_for};

/// Counts changes of the truth from 1; 0 is "nothing was ever committed".
pub type Revision = u64;

/// What a subscriber should do next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Take this push.
    Deliver(Push),
    /// Look again then, or when woken.
    At(Instant),
    /// Look again when woken.
    Wait,
    /// Another subscription has taken this one's place.
    Over,
}

/// What came of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The proxy's node.
    pub node: Arc<str>,
    /// Everything up to this change is live there.
    pub revision: Revision,
}

/// Debounces changes, then keeps one push at a time on its way to each subscriber.
#[derive(Debug)]
pub(super) struct Schedule {
    config: PushConfig,
    seed: [u8; 32],
    /// The newest change's number, committed or not.
    noted: Revision,
    pending: Option<Pending>,
    current: Arc<Version>,
    subscribers: BTreeMap<Arc<str>, Subscriber>,
    /// Differences on their way, so that subscribers in step share one.
    differences: Vec<Difference>,
    next_nonce: u64,
    /// What is wrong with the path to a node; the empty name is every node.
    disorders: BTreeMap<Arc<str>, Disorder>,
    /// To whom no stream holds, whether they subscribe or not.
    severed: BTreeSet<Arc<str>>,
}

/// The difference between two versions as subscribers of one scope are sent it.
#[derive(Debug)]
struct Difference {
    base: Revision,
    next: Revision,
    scope: Option<GatewayKey>,
    update: Weak<SharedUpdate>,
}

/// When changes were noted that are not committed yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    first: Instant,
    last: Instant,
}

/// A committed state.
#[derive(Debug)]
struct Version {
    revision: Revision,
    resources: Arc<Resources>,
}

#[derive(Debug)]
struct Subscriber {
    generation: u64,
    /// The waypoint it is an instance of; `None` for a node's proxy.
    scope: Option<GatewayKey>,
    connected: bool,
    delays: Rng,
    acked: Option<Arc<Version>>,
    in_flight: Option<InFlight>,
    /// Resources it refused, and why, until they are sent anew.
    rejected: BTreeMap<ResourceName, String>,
}

#[derive(Debug)]
struct InFlight {
    version: Arc<Version>,
    due: Instant,
    push: Push,
    delivered: bool,
    /// What is to follow before the version is there.
    rest: VecDeque<Arc<SharedUpdate>>,
}

impl Schedule {
    pub(super) fn new(config: PushConfig, seed: [u8; 32]) -> Self {
        Schedule {
            config,
            seed,
            noted: 0,
            pending: None,
            current: Arc::new(Version { revision: 0, resources: Arc::default() }),
            subscribers: BTreeMap::new(),
            differences: Vec::new(),
            next_nonce: 1,
            disorders: BTreeMap::new(),
            severed: BTreeSet::new(),
        }
    }

    /// Notes that the truth changed. Returns the change's number.
    pub(super) fn changed(&mut self, now: Instant) -> Revision {
        self.noted += 1;
        self.pending = Some(Pending { first: self.pending.map_or(now, |pending| pending.first), last: now });
        self.noted
    }

    /// Nothing to push: whoever holds the current version already holds the newest change.
    fn carry_forward(&mut self) -> Vec<Acknowledged> {
        let old = self.current.clone();
        self.current = Arc::new(Version { revision: self.noted, resources: old.resources.clone() });
        let mut acknowledged = Vec::new();
        for (node, subscriber) in &mut self.subscribers {
            if subscriber.acked.as_ref().is_some_and(|acked| Arc::ptr_eq(acked, &old)) {
                subscriber.acked = Some(self.current.clone());
                acknowledged.push(Acknowledged { node: node.clone(), revision: self.noted });
            }
            if let Some(in_flight) = &mut subscriber.in_flight
                && Arc::ptr_eq(&in_flight.version, &old)
            {
                in_flight.version = self.current.clone();
            }
        }
        acknowledged
    }

    /// When the changes noted so far are to be committed, unless more come.
    pub(super) fn commit_due(&self) -> Option<Instant> {
        let pending = self.pending?;
        Some((pending.last + self.config.debounce_quiet).min(pending.first + self.config.debounce_max))
    }

    /// Takes what all changes noted so far come to, and sends it to everyone who is waiting for news. If it comes to
    /// nothing, those who are in step have acknowledged it by that.
    pub(super) fn commit(&mut self, now: Instant, mut resources: Resources) -> Vec<Acknowledged> {
        self.pending = None;
        resources.reuse(&self.current.resources);
        if self.current.revision > 0 && resources == *self.current.resources {
            return self.carry_forward();
        }
        self.current = Arc::new(Version { revision: self.noted, resources: Arc::new(resources) });
        let nodes: Vec<Arc<str>> = self.subscribers.keys().cloned().collect();
        nodes.iter().filter_map(|node| self.send(now, node)).collect()
    }

    /// Starts a subscription of `node` from nothing; an earlier one of the same node is over.
    pub(super) fn subscribe(&mut self, now: Instant, node: &Arc<str>, scope: Option<GatewayKey>) -> u64 {
        let generation = self.subscribers.get(node).map_or(1, |subscriber| subscriber.generation + 1);
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(node.as_bytes());
        hash.update(generation.to_be_bytes());
        let subscriber = Subscriber {
            generation,
            scope,
            connected: !self.severed.contains(node),
            delays: Rng::from_seed(hash.finalize().into()),
            acked: None,
            in_flight: None,
            rejected: BTreeMap::new(),
        };
        self.subscribers.insert(node.clone(), subscriber);
        // A first push is sent even if it is empty: nothing is acknowledged here.
        let _ = self.send(now, node);
        generation
    }

    /// Ends a subscription, if it is still the node's latest.
    pub(super) fn unsubscribe(&mut self, node: &str, generation: u64) {
        if self.subscribers.get(node).is_some_and(|subscriber| subscriber.generation == generation) {
            self.subscribers.remove(node);
        }
    }

    /// Makes something wrong with the path to a node (the empty name: to all), or right again. Concerns pushes from now on.
    pub(super) fn set_disorder(&mut self, node: &Arc<str>, disorder: Option<Disorder>) {
        match disorder {
            Some(disorder) => self.disorders.insert(node.clone(), disorder),
            None => self.disorders.remove(node),
        };
    }

    /// Breaks or restores the stream to a node, or to whoever subscribes under its name later. What was on its way is lost; on return the node, which kept what it
    /// had, is sent the difference, removals included.
    pub(super) fn set_connected(&mut self, now: Instant, node: &str, connected: bool) -> Option<Acknowledged> {
        if connected {
            self.severed.remove(node);
        } else {
            self.severed.insert(node.into());
        }
        let (node, subscriber) = self.subscribers.get_key_value(node)?;
        if subscriber.connected == connected {
            return None;
        }
        let node = node.clone();
        if let Some(subscriber) = self.subscribers.get_mut(&node) {
            subscriber.connected = connected;
            // A push that was delivered will still be answered.
            subscriber.in_flight.take_if(|in_flight| !in_flight.delivered);
        }
        self.send(now, &node)
    }

    /// Puts the difference between what `node` holds and the current version on its way, unless one is already. If what
    /// changed is nothing to `node`, it has acknowledged the version by that.
    fn send(&mut self, now: Instant, node: &Arc<str>) -> Option<Acknowledged> {
        let current = self.current.clone();
        if current.revision == 0 {
            return None; // not yet in sync ourselves
        }
        let subscriber = self.subscribers.get_mut(node)?;
        if !subscriber.connected || subscriber.in_flight.is_some() {
            return None;
        }
        let (base, empty);
        let from = match &subscriber.acked {
            Some(acked) if Arc::ptr_eq(acked, &current) => return None,
            Some(acked) => {
                base = acked.clone();
                &*base
            }
            None => {
                empty = Version { revision: 0, resources: Arc::default() };
                &empty
            }
        };
        let initial = subscriber.acked.is_none();
        let update = difference(&mut self.differences, from, &current, subscriber.scope.as_ref());
        if !initial && update.upserted.is_empty() && update.removed.is_empty() {
            let revision = current.revision;
            subscriber.acked = Some(current);
            return Some(Acknowledged { node: node.clone(), revision });
        }
        // A later proxy of a node has the node's name and a number.
        let place = node.split('#').next().unwrap_or_default();
        let disorder = self.disorders.get(place).or_else(|| self.disorders.get("")).copied();
        let due = now + delay(&self.config, &mut subscriber.delays) + disorder.map_or(Duration::ZERO, |it| it.delay);
        // The first state of all is what a proxy waits for as a whole.
        let mut rest = match disorder.filter(|_| !initial) {
            Some(disorder) => pieces(&update, &disorder, &mut subscriber.delays),
            None => VecDeque::new(),
        };
        let update = rest.pop_front().unwrap_or(update);
        let push = Push { nonce: self.next_nonce, update, initial };
        self.next_nonce += 1;
        if let Some(subscriber) = self.subscribers.get_mut(node) {
            subscriber.in_flight = Some(InFlight { version: current, due, push, delivered: false, rest });
        }
        None
    }

    /// What the subscriber should do now.
    pub(super) fn poll(&mut self, now: Instant, node: &str, generation: u64) -> Step {
        let Some(subscriber) = self.subscribers.get_mut(node).filter(|it| it.generation == generation) else {
            return Step::Over;
        };
        match &mut subscriber.in_flight {
            Some(in_flight) if in_flight.delivered => Step::Wait,
            Some(in_flight) if in_flight.due <= now => {
                in_flight.delivered = true;
                Step::Deliver(in_flight.push.clone())
            }
            Some(in_flight) => Step::At(in_flight.due),
            None => Step::Wait,
        }
    }

    /// Takes an answer. `None` if it answers nothing that is outstanding.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        node: &Arc<str>,
        generation: u64,
        nonce: u64,
        rejected: &[Rejected],
    ) -> Option<Acknowledged> {
        let subscriber = self.subscribers.get_mut(node).filter(|it| it.generation == generation)?;
        let mut in_flight = subscriber.in_flight.take_if(|it| it.delivered && it.push.nonce == nonce)?;
        // A refused resource is not sent again until it changes: sending the same would only be refused again.
        if !subscriber.rejected.is_empty() {
            let update = &in_flight.push.update;
            let sent = update.upserted.iter().map(Resource::name).chain(update.removed.iter().cloned());
            for name in sent {
                subscriber.rejected.remove(&name);
            }
        }
        subscriber.rejected.extend(rejected.iter().map(|it| (it.name.clone(), it.reason.clone())));
        if let Some(update) = in_flight.rest.pop_front() {
            in_flight.due = now + delay(&self.config, &mut subscriber.delays);
            in_flight.push = Push { nonce: self.next_nonce, update, initial: false };
            in_flight.delivered = false;
            self.next_nonce += 1;
            subscriber.in_flight = Some(in_flight);
            return None;
        }
        let revision = in_flight.version.revision;
        subscriber.acked = Some(in_flight.version);
        let further = self.send(now, node);
        Some(further.unwrap_or(Acknowledged { node: node.clone(), revision }))
    }

    /// What a subscriber was told last.
    pub(super) fn told(&self, node: &str, generation: u64) -> Option<Arc<Resources>> {
        let subscriber = self.subscribers.get(node).filter(|it| it.generation == generation)?;
        let delivered = subscriber.in_flight.as_ref().filter(|in_flight| in_flight.delivered);
        let told = delivered.map(|in_flight| &in_flight.version).or(subscriber.acked.as_ref())?;
        Some(told.resources.clone())
    }

    /// The newest change.
    pub(super) fn newest(&self) -> Revision {
        self.noted
    }

    /// Up to which change `node` is known to be; `None` before its first answer.
    pub(super) fn acked(&self, node: &str) -> Option<Revision> {
        Some(self.subscribers.get(node)?.acked.as_ref()?.revision)
    }

    /// What subscribers refused and have not been sent anew, by node.
    pub(super) fn rejected(&self) -> Vec<(Arc<str>, Rejected)> {
        let of = |(node, subscriber): (&Arc<str>, &Subscriber)| {
            let each = subscriber.rejected.iter();
            let each = each.map(|(name, reason)| Rejected { name: name.clone(), reason: reason.clone() });
            each.map(|rejected| (node.clone(), rejected)).collect::<Vec<_>>()
        };
        self.subscribers.iter().flat_map(of).collect()
    }

    /// Whether every subscriber is known to hold the newest change.
    pub(super) fn settled(&self) -> bool {
        self.pending.is_none()
            && self.current.revision == self.noted
            && self.subscribers.values().all(|subscriber| {
                subscriber.acked.as_ref().is_some_and(|acked| acked.revision == self.current.revision)
            })
    }
}

/// The delay of one push to one node.
fn delay(config: &PushConfig, delays: &mut Rng) -> Duration {
    let spread = config.delay_most.saturating_sub(config.delay_least);
    let nanos = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX);
    config.delay_least + Duration::from_nanos(delays.below(nanos.saturating_add(1).max(1)))
}

/// The difference between two versions for one scope, computed once while anyone still holds it.
fn difference(
    known: &mut Vec<Difference>,
    from: &Version,
    to: &Version,
    scope: Option<&GatewayKey>,
) -> Arc<SharedUpdate> {
    known.retain(|known| known.update.strong_count() > 0);
    let is_it =
        |known: &&Difference| (known.base, known.next, known.scope.as_ref()) == (from.revision, to.revision, scope);
    if let Some(update) = known.iter().find(is_it).and_then(|known| known.update.upgrade()) {
        return update;
    }
    let update = SharedUpdate::new(diff_for(&from.resources, &to.resources, scope));
    known.push(Difference {
        base: from.revision,
        next: to.revision,
        scope: scope.cloned(),
        update: Arc::downgrade(&update),
    });
    update
}
