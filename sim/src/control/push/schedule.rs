//! [`Schedule`]: which proxy is sent what, and when. Pure: time comes in, deadlines go out.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use proxy_core::host::{Instant, Rng};
use proxy_core::state::{Push, Rejected, Update};
use sha2::{Digest, Sha256};

use super::PushConfig;
use crate::control::resources::{Resources, diff};

/// Counts publications from 1; 0 is "nothing was ever published".
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
    /// Everything up to this publication is live there.
    pub revision: Revision,
    /// Resources it refused; it keeps what it had under those names.
    pub rejected: Vec<Rejected>,
}

/// Debounces publications, then keeps one push at a time on its way to each subscriber.
#[derive(Debug)]
pub(super) struct Schedule {
    config: PushConfig,
    seed: [u8; 32],
    /// The newest publication's number, committed or not.
    published: Revision,
    pending: Option<Pending>,
    current: Arc<Version>,
    subscribers: BTreeMap<Arc<str>, Subscriber>,
    /// Differences on their way, so that subscribers in step share one.
    differences: Vec<(Revision, Revision, Weak<Update>)>,
    next_nonce: u64,
}

/// Published, not yet committed.
#[derive(Debug)]
struct Pending {
    resources: Resources,
    first: Instant,
    last: Instant,
}

/// A committed state.
#[derive(Debug)]
struct Version {
    revision: Revision,
    resources: Resources,
}

#[derive(Debug)]
struct Subscriber {
    generation: u64,
    connected: bool,
    delays: Rng,
    acked: Option<Arc<Version>>,
    in_flight: Option<InFlight>,
}

#[derive(Debug)]
struct InFlight {
    version: Arc<Version>,
    due: Instant,
    push: Push,
    delivered: bool,
}

impl Schedule {
    pub(super) fn new(config: PushConfig, seed: [u8; 32]) -> Self {
        Schedule {
            config,
            seed,
            published: 0,
            pending: None,
            current: Arc::new(Version { revision: 0, resources: Resources::new() }),
            subscribers: BTreeMap::new(),
            differences: Vec::new(),
            next_nonce: 1,
        }
    }

    /// Takes a new state. It becomes what is pushed after the debounce, merged with others that come meanwhile.
    pub(super) fn publish(&mut self, now: Instant, mut resources: Resources) -> Revision {
        self.published += 1;
        let previous = self.pending.as_ref().map_or(&self.current.resources, |pending| &pending.resources);
        resources.reuse(previous);
        match &mut self.pending {
            Some(pending) if pending.resources == resources => {}
            Some(pending) => {
                pending.resources = resources;
                pending.last = now;
            }
            None if self.current.revision > 0 && self.current.resources == resources => self.carry_forward(),
            None => self.pending = Some(Pending { resources, first: now, last: now }),
        }
        self.published
    }

    /// Nothing to push: whoever holds the current version already holds this publication.
    fn carry_forward(&mut self) {
        let old = self.current.clone();
        self.current = Arc::new(Version { revision: self.published, resources: old.resources.clone() });
        for subscriber in self.subscribers.values_mut() {
            if subscriber.acked.as_ref().is_some_and(|acked| Arc::ptr_eq(acked, &old)) {
                subscriber.acked = Some(self.current.clone());
            }
            if let Some(in_flight) = &mut subscriber.in_flight
                && Arc::ptr_eq(&in_flight.version, &old)
            {
                in_flight.version = self.current.clone();
            }
        }
    }

    /// When the pending state will be committed, unless more comes.
    pub(super) fn commit_due(&self) -> Option<Instant> {
        let pending = self.pending.as_ref()?;
        Some((pending.last + self.config.debounce_quiet).min(pending.first + self.config.debounce_max))
    }

    /// Commits the pending state if its time has come, and sends it to everyone who is waiting for news.
    pub(super) fn commit(&mut self, now: Instant) -> bool {
        if self.commit_due().is_none_or(|due| due > now) {
            return false;
        }
        let Some(pending) = self.pending.take() else { return false };
        if self.current.revision > 0 && pending.resources == self.current.resources {
            // Changed and changed back within the debounce.
            self.carry_forward();
            return true;
        }
        self.current = Arc::new(Version { revision: self.published, resources: pending.resources });
        let nodes: Vec<Arc<str>> = self.subscribers.keys().cloned().collect();
        for node in &nodes {
            self.send(now, node);
        }
        true
    }

    /// Starts a subscription of `node` from nothing; an earlier one of the same node is over.
    pub(super) fn subscribe(&mut self, now: Instant, node: &Arc<str>) -> u64 {
        let generation = self.subscribers.get(node).map_or(1, |subscriber| subscriber.generation + 1);
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(node.as_bytes());
        hash.update(generation.to_be_bytes());
        let subscriber = Subscriber {
            generation,
            connected: true,
            delays: Rng::from_seed(hash.finalize().into()),
            acked: None,
            in_flight: None,
        };
        self.subscribers.insert(node.clone(), subscriber);
        self.send(now, node);
        generation
    }

    /// Ends a subscription, if it is still the node's latest.
    pub(super) fn unsubscribe(&mut self, node: &str, generation: u64) {
        if self.subscribers.get(node).is_some_and(|subscriber| subscriber.generation == generation) {
            self.subscribers.remove(node);
        }
    }

    /// Breaks or restores the stream to a node. What was on its way is lost; on return the node, which kept what it
    /// had, is sent the difference, removals included.
    pub(super) fn set_connected(&mut self, now: Instant, node: &str, connected: bool) {
        let Some((node, subscriber)) = self.subscribers.get_key_value(node) else { return };
        if subscriber.connected == connected {
            return;
        }
        let node = node.clone();
        if let Some(subscriber) = self.subscribers.get_mut(&node) {
            subscriber.connected = connected;
            // A push that was delivered will still be answered.
            subscriber.in_flight.take_if(|in_flight| !in_flight.delivered);
        }
        self.send(now, &node);
    }

    /// Puts the difference between what `node` holds and the current version on its way, unless one is already.
    fn send(&mut self, now: Instant, node: &Arc<str>) {
        let current = self.current.clone();
        if current.revision == 0 {
            return; // not yet in sync ourselves
        }
        let Some(subscriber) = self.subscribers.get_mut(node) else { return };
        if !subscriber.connected || subscriber.in_flight.is_some() {
            return;
        }
        let (base, empty);
        let from = match &subscriber.acked {
            Some(acked) if Arc::ptr_eq(acked, &current) => return,
            Some(acked) => {
                base = acked.clone();
                &*base
            }
            None => {
                empty = Version { revision: 0, resources: Resources::new() };
                &empty
            }
        };
        let due = now + delay(&self.config, &mut subscriber.delays);
        let initial = subscriber.acked.is_none();
        let update = difference(&mut self.differences, from, &current);
        let push = Push { nonce: self.next_nonce, update, initial };
        self.next_nonce += 1;
        if let Some(subscriber) = self.subscribers.get_mut(node) {
            subscriber.in_flight = Some(InFlight { version: current, due, push, delivered: false });
        }
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
        let in_flight = subscriber.in_flight.take_if(|it| it.delivered && it.push.nonce == nonce)?;
        // A refused resource is not sent again until it changes: sending the same would only be refused again.
        let revision = in_flight.version.revision;
        subscriber.acked = Some(in_flight.version);
        self.send(now, node);
        Some(Acknowledged { node: node.clone(), revision, rejected: rejected.to_vec() })
    }

    /// The newest publication.
    pub(super) fn published(&self) -> Revision {
        self.published
    }

    /// Up to which publication `node` is known to be; `None` before its first answer.
    pub(super) fn acked(&self, node: &str) -> Option<Revision> {
        Some(self.subscribers.get(node)?.acked.as_ref()?.revision)
    }

    /// Whether every subscriber is known to hold the newest publication.
    pub(super) fn settled(&self) -> bool {
        self.pending.is_none()
            && self.current.revision == self.published
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

/// The difference between two versions, computed once while anyone still holds it.
fn difference(known: &mut Vec<(Revision, Revision, Weak<Update>)>, from: &Version, to: &Version) -> Arc<Update> {
    known.retain(|(.., update)| update.strong_count() > 0);
    let found = known.iter().find(|(base, next, _)| (*base, *next) == (from.revision, to.revision));
    if let Some(update) = found.and_then(|(.., update)| update.upgrade()) {
        return update;
    }
    let update = Arc::new(diff(&from.resources, &to.resources));
    known.push((from.revision, to.revision, Arc::downgrade(&update)));
    update
}
