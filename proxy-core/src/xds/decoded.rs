//! [`Decoded`]: one response, read; [`DecodedCache`]: read once for all the proxies of a process.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;

use crate::proto::wire::envoy::service::discovery::v3 as discovery;
use crate::proto::{Kind, decode_resource, resource_name};
use crate::state::{Resource, ResourceName, SharedUpdate, Update, check_resource};

/// A response, read.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// As on the wire.
    pub(super) type_url: String,
    /// To answer with.
    pub(super) nonce: String,
    /// Bytes of the resources in it.
    pub(super) bytes: u64,
    /// What it carries; `None` for a type nobody asked for.
    pub(super) content: Option<Content>,
}

/// What a response of a known type carries.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) kind: Kind,
    pub(super) resources: Vec<Named>,
    /// Wire names, and what they most likely mean.
    pub(super) removed: Vec<(String, ResourceName)>,
    /// All of it, with removals meant as is most likely.
    pub(super) update: Arc<SharedUpdate>,
    /// Everything can be taken.
    pub(super) is_clean: bool,
}

/// A resource and what it is called on the wire.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) wire_name: String,
    pub(super) version: String,
    pub(super) name: ResourceName,
    /// Malformed if it cannot be taken.
    pub(super) resource: Resource,
}

impl Decoded {
    /// Reads a response.
    ///
    /// # Errors
    /// It is no response at all.
    pub fn read(message: &Bytes) -> Result<Self, prost::DecodeError> {
        let response = discovery::DeltaDiscoveryResponse::decode(message.clone())?;
        let discovery::DeltaDiscoveryResponse { type_url, nonce, resources, removed_resources, .. } = response;
        let values = resources.iter().filter_map(|resource| resource.resource.as_ref());
        let bytes = values.map(|body| body.value.len() as u64).sum();
        let content = Kind::of_type_url(&type_url).map(|kind| {
            let named = |resource: discovery::Resource| {
                let (wire_name, version) = (resource.name.clone(), resource.version.clone());
                let resource = check_resource(decode_resource(kind, resource));
                Named { wire_name, version, name: resource.name(), resource }
            };
            let resources: Vec<Named> = resources.into_iter().map(named).collect();
            let is_clean = !resources.iter().any(|named| matches!(named.resource, Resource::Malformed(_)));
            let removed: Vec<_> =
                removed_resources.into_iter().map(|name| (name.clone(), resource_name(kind, &name))).collect();
            let update = SharedUpdate::new(Update {
                removed: removed.iter().map(|(_, name)| name.clone()).collect(),
                upserted: resources.iter().map(|named| named.resource.clone()).collect(),
            });
            Content { kind, resources, removed, update, is_clean }
        });
        Ok(Decoded { type_url, nonce, bytes, content })
    }
}

/// Responses read lately, by their bytes. The proxies of one process are mostly sent the very same bytes: the first
/// reads them, the others compare.
#[derive(Debug, Default)]
pub struct DecodedCache {
    recent: Mutex<Vec<(Bytes, Arc<Decoded>)>>,
}

/// More than a few differ only while proxies with different histories catch up.
const RECENT_MAX: usize = 8;

impl DecodedCache {
    /// Reads a response, or finds it.
    ///
    /// # Errors
    /// It is no response at all.
    pub fn read(&self, message: &Bytes) -> Result<Arc<Decoded>, prost::DecodeError> {
        let mut recent = self.recent.lock();
        if let Some((_, known)) = recent.iter().find(|(bytes, _)| bytes == message) {
            return Ok(known.clone());
        }
        let decoded = Arc::new(Decoded::read(message)?);
        if recent.len() >= RECENT_MAX {
            recent.remove(0);
        }
        recent.push((message.clone(), decoded.clone()));
        Ok(decoded)
    }
}
