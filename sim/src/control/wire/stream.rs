//! [`Stream`]: one subscriber. Pure: requests and pushes in, responses out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proxy_core::proto::wire::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proxy_core::proto::{Kind, wire_name};
use proxy_core::state::{Push, Rejected, Resource, ResourceName, SharedUpdate};

use super::encoding::{Content, Frame, split, version};
use crate::control::Resources;

const EVERYTHING: &str = "*";

/// One subscriber: what it asked for, what it holds, what it has yet to answer.
#[derive(Debug)]
pub(super) struct Stream {
    /// Workloads of this node are always of interest.
    node: Arc<str>,
    subscriptions: BTreeMap<Kind, Subscription>,
    /// What the last push led to.
    told: Arc<Resources>,
    /// The push under way.
    outstanding: Option<Outstanding>,
}

#[derive(Debug, Default)]
struct Subscription {
    everything: bool,
    /// Names and aliases asked for, where not everything is.
    asked: BTreeSet<String>,
    /// What it was given of what it asked for.
    given: BTreeSet<ResourceName>,
    /// What it said it held when it subscribed; used up by the first response.
    initial: Option<BTreeMap<String, String>>,
}

#[derive(Debug)]
struct Outstanding {
    push: u64,
    frames: Vec<Frame>,
    rejected: Vec<Rejected>,
}

/// What to send.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// What everybody is sent who is in step, and what they hold.
    Shared(Arc<SharedUpdate>, Arc<Resources>),
    /// What only this subscriber is sent.
    Own(Kind, Content),
}

/// The answer to a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) push: u64,
    pub(super) rejected: Vec<Rejected>,
}

impl Stream {
    pub(super) fn new(node: Arc<str>) -> Self {
        Stream { node, subscriptions: BTreeMap::new(), told: Arc::default(), outstanding: None }
    }

    /// Whether it asked for anything yet.
    pub(super) fn is_subscribed(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Takes a request. `told` is what this subscriber has been told so far, if anything.
    pub(super) fn request(&mut self, request: DeltaDiscoveryRequest, told: Option<&Resources>) -> Vec<Outgoing> {
        let Some(kind) = Kind::of_type_url(&request.type_url) else { return Vec::new() };
        let is_new = !self.subscriptions.contains_key(&kind);
        let subscription = self.subscriptions.entry(kind).or_default();
        let (mut added, gone) = (request.resource_names_subscribe, request.resource_names_unsubscribe);
        let wants_everything = added.iter().any(|name| name == EVERYTHING) || (is_new && added.is_empty());
        let had_everything = subscription.everything;
        subscription.everything |= wants_everything;
        // Policies are always subscribed to as a whole.
        subscription.everything &= kind == Kind::Authorization || !gone.iter().any(|name| name == EVERYTHING);
        added.retain(|name| name != EVERYTHING);
        for name in &gone {
            subscription.asked.remove(name);
        }
        subscription.asked.extend(added.iter().cloned());
        if is_new {
            subscription.initial = Some(request.initial_resource_versions);
        }
        let Some(told) = told else { return Vec::new() };
        if is_new || (subscription.everything && !had_everything) {
            return self.snapshot(kind, told).into_iter().collect();
        }
        if added.is_empty() || subscription.everything {
            return Vec::new();
        }
        let content = self.look_up(kind, &added, told);
        vec![Outgoing::Own(kind, content)]
    }

    /// All that is to be told of one kind to someone who has not been told anything on this stream.
    fn snapshot(&mut self, kind: Kind, all: &Resources) -> Option<Outgoing> {
        let subscription = self.subscriptions.get_mut(&kind)?;
        let initial = subscription.initial.take().unwrap_or_default();
        let subscription = self.subscriptions.get(&kind)?;
        let mut content = Content::default();
        let mut gone: BTreeSet<&str> = initial.keys().map(String::as_str).collect();
        let mut given = Vec::new();
        for (name, record) in all.iter().filter(|(name, _)| Kind::of(name) == kind) {
            if !subscription.everything && !self.is_of_interest(subscription, record) {
                continue;
            }
            given.push(name.clone());
            let wire = wire_name(name);
            gone.remove(wire.as_str());
            if initial.get(&wire).is_none_or(|held| *held != version(record)) {
                content.upserted.push(record.clone());
            }
        }
        content.removed = gone.into_iter().map(str::to_owned).collect();
        self.subscriptions.get_mut(&kind)?.given.extend(given);
        // Even if it is empty: the subscriber waits to hear that there is nothing.
        Some(Outgoing::Own(kind, content))
    }

    /// What these names stand for. Names nobody knows are said to be removed.
    fn look_up(&mut self, kind: Kind, names: &[String], all: &Resources) -> Content {
        let mut content = Content::default();
        for name in names {
            let found = find(name, all);
            if found.is_empty() {
                content.removed.push(name.clone());
            }
            for record in found {
                if !content.upserted.contains(&record) {
                    content.upserted.push(record);
                }
            }
        }
        let given = content.upserted.iter().map(Resource::name);
        self.subscriptions.entry(kind).or_default().given.extend(given);
        content
    }

    /// Whether someone who asked for names should hear of this record.
    fn is_of_interest(&self, subscription: &Subscription, record: &Resource) -> bool {
        if subscription.given.contains(&record.name()) || subscription.asked.contains(&wire_name(&record.name())) {
            return true;
        }
        let is_asked = |alias: String| subscription.asked.contains(&alias);
        match record {
            Resource::Workload(workload) => {
                (*workload.node == *self.node && !self.node.is_empty())
                    || workload.addresses.iter().any(|address| is_asked(format!("{}/{address}", workload.network)))
                    || workload
                        .services
                        .keys()
                        .any(|service| subscription.given.contains(&ResourceName::Service(service.clone())))
            }
            Resource::Service(service) => service.vips.iter().any(|vip| is_asked(vip.to_string())),
            _ => false,
        }
    }

    /// Takes a push: what of it concerns this subscriber. `all` is the state it leads to.
    pub(super) fn push(&mut self, push: &Push, all: &Arc<Resources>) -> Vec<Outgoing> {
        let before = std::mem::replace(&mut self.told, all.clone());
        let everything = Kind::ALL.iter().all(|kind| {
            self.subscriptions
                .get(kind)
                .is_some_and(|it| it.everything && it.initial.as_ref().is_none_or(|it| it.is_empty()))
        });
        let waiting = self.subscriptions.values().any(|it| it.initial.is_some());
        if push.initial && waiting && !everything {
            let kinds: Vec<Kind> = self.subscriptions.keys().copied().collect();
            return kinds.into_iter().filter_map(|kind| self.snapshot(kind, all)).collect();
        }
        if everything {
            for subscription in self.subscriptions.values_mut() {
                subscription.initial = None;
            }
            let told: BTreeSet<Kind> = split(&push.update, &before).into_iter().map(|(kind, _)| kind).collect();
            let silent = Kind::ALL.into_iter().filter(|kind| push.initial && !told.contains(kind));
            let nothing = silent.map(|kind| Outgoing::Own(kind, Content::default()));
            return std::iter::once(Outgoing::Shared(push.update.clone(), before)).chain(nothing).collect();
        }
        let mut outgoing = Vec::new();
        for (kind, mut content) in split(&push.update, &before) {
            let Some(subscription) = self.subscriptions.get(&kind) else { continue };
            if !subscription.everything {
                content.upserted.retain(|record| self.is_of_interest(subscription, record));
                let given: BTreeSet<String> = subscription.given.iter().map(wire_name).collect();
                content.removed.retain(|name| given.contains(name));
            }
            if content == Content::default() {
                continue;
            }
            if let Some(subscription) = self.subscriptions.get_mut(&kind) {
                subscription.given.extend(content.upserted.iter().map(Resource::name));
                let gone: BTreeSet<&str> = content.removed.iter().map(String::as_str).collect();
                subscription.given.retain(|name| !gone.contains(wire_name(name).as_str()));
            }
            outgoing.push(Outgoing::Own(kind, content));
        }
        outgoing
    }

    /// Notes what a push was sent as. A push that concerned the subscriber not at all is answered by that.
    pub(super) fn sent(&mut self, push: u64, frames: Vec<Frame>) -> Option<Answered> {
        if frames.is_empty() {
            return Some(Answered { push, rejected: Vec::new() });
        }
        self.outstanding = Some(Outstanding { push, frames, rejected: Vec::new() });
        None
    }

    /// Notes a response that belongs to no push; it counts towards the push under way, if there is one.
    pub(super) fn sent_beside(&mut self, frame: Frame) {
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.frames.push(frame);
        }
    }

    /// Takes an acknowledgement, or a refusal if there is a `complaint`. Gives the answer to the push once all its
    /// responses are answered. Nonces nobody waits for are passed over.
    pub(super) fn answer(&mut self, nonce: &str, complaint: Option<&str>) -> Option<Answered> {
        let outstanding = self.outstanding.as_mut()?;
        let at = outstanding.frames.iter().position(|frame| frame.nonce == nonce)?;
        let frame = outstanding.frames.remove(at);
        if let Some(complaint) = complaint {
            let named: Vec<&ResourceName> =
                frame.names.iter().filter(|name| complaint.contains(&wire_name(name))).collect();
            // If it does not say which, it may be any.
            let blamed = if named.is_empty() { frame.names.iter().collect() } else { named };
            let rejected = |name: &ResourceName| Rejected { name: name.clone(), reason: complaint.to_owned() };
            outstanding.rejected.extend(blamed.into_iter().map(rejected));
        }
        if !outstanding.frames.is_empty() {
            return None;
        }
        let Outstanding { push, rejected, .. } = self.outstanding.take()?;
        Some(Answered { push, rejected })
    }
}

/// What a name or alias stands for: a workload by uid, then workloads by `network/address`, then a service by
/// `namespace/hostname` or `network/address` with all its workloads.
fn find(name: &str, all: &Resources) -> Vec<Resource> {
    if let Some(workload) = all.workload(name) {
        return vec![Resource::Workload(workload.clone())];
    }
    let has = |workload: &&Arc<proxy_core::state::Workload>| {
        workload.addresses.iter().any(|address| format!("{}/{address}", workload.network) == name)
    };
    let workloads: Vec<Resource> = all.workloads().filter(has).cloned().map(Resource::Workload).collect();
    if !workloads.is_empty() {
        return workloads;
    }
    let is_called = |service: &&Arc<proxy_core::state::Service>| {
        service.key.to_string() == name
            || service.vips.iter().any(|vip| vip.to_string() == name)
            || service.cidr_vips.iter().any(|block| format!("{}/{}", block.base, block.prefix_length) == name)
    };
    let mut found = Vec::new();
    for service in all.services().filter(is_called) {
        found.push(Resource::Service(service.clone()));
        let members = all.workloads().filter(|workload| workload.services.contains_key(&service.key));
        found.extend(members.cloned().map(Resource::Workload));
    }
    found
}
