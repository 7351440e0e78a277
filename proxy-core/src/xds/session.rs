//! [`Session`]: what is held and what is to be said. Pure: messages in, messages out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Decoded;
use super::decoded::{Content, Named};
use crate::proto::Kind;
use crate::proto::wire::envoy::config::core::v3::Node;
use crate::proto::wire::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use crate::proto::wire::google::rpc::Status;
use crate::state::{Push, Rejected, Resource, ResourceName, SharedUpdate, Update};

/// A subscription to everything, over as many streams as it takes.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// By kind, then wire name.
    held: BTreeMap<Kind, BTreeMap<String, Held>>,
    /// Kinds of which a response was taken in whole.
    taken: Vec<Kind>,
    synced: bool,
    /// Pushes given out and not answered, by nonce. Of older streams, nothing.
    unanswered: BTreeMap<u64, Arc<Decoded>>,
    next_push: u64,
}

/// A resource we were sent.
#[derive(Debug)]
struct Held {
    /// `None` when the last value sent was rejected: then it must be sent anew, whatever the server thinks we hold.
    version: Option<String>,
    name: ResourceName,
}

/// What a response calls for.
#[derive(Debug)]
pub(super) enum Received {
    /// Apply it, then answer.
    Push(Push),
    /// It says nothing to us: answer at once.
    Answer(Box<DeltaDiscoveryRequest>),
}

impl Session {
    /// What a new stream begins with: both kinds, all of them, and what is held already. Forgets unanswered pushes of
    /// the stream before; what they carried is not held until answered, and so is sent again.
    pub(super) fn begin(&mut self, node: &Node) -> Vec<DeltaDiscoveryRequest> {
        self.unanswered.clear();
        let request = |kind: Kind| DeltaDiscoveryRequest {
            node: Some(node.clone()),
            type_url: kind.type_url().to_owned(),
            initial_resource_versions: self.versions(kind),
            ..DeltaDiscoveryRequest::default()
        };
        Kind::ALL.map(request).into()
    }

    fn versions(&self, kind: Kind) -> BTreeMap<String, String> {
        let held = self.held.get(&kind).into_iter().flatten();
        held.filter_map(|(name, held)| Some((name.clone(), held.version.clone()?))).collect()
    }

    /// Takes a response.
    pub(super) fn receive(&mut self, response: Arc<Decoded>) -> Received {
        let Some(content) = &response.content else { return Received::Answer(Box::new(answer(&response, None))) };
        if content.is_clean && !self.taken.contains(&content.kind) {
            self.taken.push(content.kind);
        }
        // Both kinds, each in whole: a policy that could not be read might be the one that refuses.
        let initial = !self.synced && self.taken.len() == Kind::ALL.len();
        self.synced |= initial;
        let update = self.update(content);
        self.next_push += 1;
        self.unanswered.insert(self.next_push, response);
        Received::Push(Push { nonce: self.next_push, update, initial })
    }

    /// The update as it applies here: removals by the names under which resources came.
    fn update(&self, content: &Content) -> Arc<SharedUpdate> {
        let held = self.held.get(&content.kind);
        let meant = |(wire_name, likely): &(String, ResourceName)| {
            held.and_then(|held| held.get(wire_name)).map_or_else(|| likely.clone(), |held| held.name.clone())
        };
        let removed: Vec<ResourceName> = content.removed.iter().map(meant).collect();
        if removed == content.update.removed {
            return content.update.clone();
        }
        SharedUpdate::new(Update { removed, upserted: content.update.upserted.clone() })
    }

    /// Answers a push, and remembers what is held by it. `None` if its stream is over.
    pub(super) fn answer(&mut self, nonce: u64, rejected: &[Rejected]) -> Option<DeltaDiscoveryRequest> {
        let response = self.unanswered.remove(&nonce)?;
        let content = response.content.as_ref()?;
        let held = self.held.entry(content.kind).or_default();
        for (wire_name, _) in &content.removed {
            held.remove(wire_name);
        }
        let mut complaints = Vec::new();
        for Named { wire_name, version, name, resource } in &content.resources {
            let complaint = match resource {
                Resource::Malformed(malformed) => Some(malformed.reason.as_str()),
                _ if rejected.is_empty() => None,
                _ => rejected.iter().find(|it| it.name == *name).map(|it| it.reason.as_str()),
            };
            complaints.extend(complaint.map(|reason| format!("{wire_name}: {reason}")));
            let version = complaint.is_none().then(|| version.clone());
            held.insert(wire_name.clone(), Held { version, name: name.clone() });
        }
        Some(answer(&response, (!complaints.is_empty()).then(|| complaints.join("; "))))
    }
}

/// ACK, or NACK with what is wrong.
fn answer(response: &Decoded, complaint: Option<String>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        error_detail: complaint.map(|message| Status { message, ..Status::default() }),
        ..DeltaDiscoveryRequest::default()
    }
}
