//! [`Encodings`]: responses as bytes, written once for all subscribers that are sent the same.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use proxy_core::grpc;
use proxy_core::policy::Scope;
use proxy_core::proto::wire::envoy::service::discovery::v3 as discovery;
use proxy_core::proto::{Kind, encode_body, encode_resource, wire_name};
use proxy_core::state::{Resource, ResourceName, SharedUpdate};
use xxhash_rust::xxh3::xxh3_64;

use crate::control::Resources;

/// A response, ready to send.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// What the subscriber answers with.
    pub(super) nonce: String,
    /// What it carries.
    pub(super) names: Arc<[ResourceName]>,
    pub(super) bytes: Bytes,
}

/// What a response is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) upserted: Vec<Resource>,
    /// Wire names.
    pub(super) removed: Vec<String>,
}

/// Writes responses, and remembers those that several subscribers are sent.
#[derive(Debug, Default)]
pub(super) struct Encodings(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Counts responses; nonces are made of it.
    written: u64,
    known: Vec<(Weak<SharedUpdate>, Arc<[Frame]>)>,
}

/// The version of a record: a hash of what it says, so that it survives restarts of the control plane.
pub(super) fn version(resource: &Resource) -> String {
    format!("{:016x}", xxh3_64(&encode_body(resource).1))
}

impl Encodings {
    /// The responses of an update for whoever subscribes to everything and holds `before`, the state it starts from.
    /// The same bytes for all of them.
    pub(super) fn of_update(&self, update: &Arc<SharedUpdate>, before: &Resources) -> Arc<[Frame]> {
        let mut inner = self.0.lock();
        inner.known.retain(|(update, _)| update.strong_count() > 0);
        if let Some((_, frames)) =
            inner.known.iter().find(|(known, _)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(update)))
        {
            return frames.clone();
        }
        let frames: Arc<[Frame]> =
            split(update, before).into_iter().map(|(kind, content)| inner.write(kind, content)).collect();
        inner.known.push((Arc::downgrade(update), frames.clone()));
        frames
    }

    /// One response.
    pub(super) fn of_content(&self, kind: Kind, content: Content) -> Frame {
        self.0.lock().write(kind, content)
    }
}

impl Inner {
    fn write(&mut self, kind: Kind, content: Content) -> Frame {
        self.written += 1;
        let nonce = self.written.to_string();
        let names = content.upserted.iter().map(Resource::name).collect();
        let response = discovery::DeltaDiscoveryResponse {
            system_version_info: nonce.clone(),
            resources: content.upserted.iter().map(|resource| encode_resource(resource, version(resource))).collect(),
            type_url: kind.type_url().to_owned(),
            nonce: nonce.clone(),
            removed_resources: content.removed,
        };
        Frame { nonce, names, bytes: grpc::encode(&response) }
    }
}

/// An update as responses, in an order that is safe for a reader that takes them one by one: policies come before the
/// workloads that name them, and go after those have stopped to. A policy that applied by itself and will apply only
/// where it is named is narrowed last, when all who name it do so.
pub(super) fn split(update: &SharedUpdate, before: &Resources) -> Vec<(Kind, Content)> {
    let is_policy = |name: &ResourceName| Kind::of(name) == Kind::Authorization;
    let (policies, records): (Vec<Resource>, _) =
        update.upserted.iter().cloned().partition(|resource| is_policy(&resource.name()));
    let (gone_policies, gone_records): (Vec<ResourceName>, _) = update.removed.iter().cloned().partition(is_policy);
    let names = |names: Vec<ResourceName>| names.iter().map(wire_name).collect::<Vec<_>>();
    let addresses = Content { upserted: records, removed: names(gone_records) };
    let narrows = |resource: &Resource| match (resource, before.get(&resource.name())) {
        (Resource::Authorization(next), Some(Resource::Authorization(last))) => {
            next.scope == Scope::WorkloadSelector && last.scope != Scope::WorkloadSelector
        }
        _ => false,
    };
    let (narrowed, policies): (Vec<Resource>, Vec<Resource>) = policies.into_iter().partition(narrows);
    let mut first = Content { upserted: policies, removed: Vec::new() };
    let mut last = Content { upserted: narrowed, removed: names(gone_policies) };
    if addresses == Content::default() {
        first.upserted.append(&mut last.upserted);
        first.removed.append(&mut last.removed);
    }
    let parts = [(Kind::Authorization, first), (Kind::Address, addresses), (Kind::Authorization, last)];
    parts.into_iter().filter(|(_, content)| *content != Content::default()).collect()
}
