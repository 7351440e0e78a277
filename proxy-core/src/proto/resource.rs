//! One discovery resource: which type it is of, what it is called, what it says.

use std::sync::Arc;

use prost::Message;

use super::wire::envoy::service::discovery::v3 as discovery;
use super::wire::istio::{security, workload};
use super::{authorization, service, wire, workload as workloads};
use crate::policy::PolicyKey;
use crate::state::{NamespacedHostname, Rejected, Resource, ResourceName};

/// A type of resource a node proxy subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Policies. First, so that whoever goes through both kinds in order meets policies before what they protect.
    Authorization,
    /// Workloads and services.
    Address,
    /// What only waypoints are told: routes, backends, settings. These have no form on the wire.
    WaypointOnly,
}

impl Kind {
    /// Those on the wire.
    pub const ALL: [Kind; 2] = [Kind::Authorization, Kind::Address];

    /// As on the wire.
    pub fn type_url(self) -> &'static str {
        match self {
            Kind::Address => "type.googleapis.com/istio.workload.Address",
            Kind::Authorization => "type.googleapis.com/istio.security.Authorization",
            Kind::WaypointOnly => "",
        }
    }

    /// The kind of this URL; `None` for any other type.
    pub fn of_type_url(url: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// The kind of a resource of this name.
    pub fn of(name: &ResourceName) -> Kind {
        match name {
            ResourceName::Workload(_) | ResourceName::Service(_) => Kind::Address,
            ResourceName::Authorization(_) => Kind::Authorization,
            ResourceName::ServiceRoutes(_) | ResourceName::BackendSettings(_) | ResourceName::WaypointSettings(_) => {
                Kind::WaypointOnly
            }
        }
    }
}

/// What a wire name most likely means, when all there is is the name. Of addresses, names with exactly one `/` are
/// services (`namespace/hostname`), all others workloads.
pub fn resource_name(kind: Kind, name: &str) -> ResourceName {
    match (kind, name.split_once('/')) {
        (Kind::Authorization | Kind::WaypointOnly, split) => {
            let (namespace, name) = split.unwrap_or(("", name));
            ResourceName::Authorization(PolicyKey::new(namespace, name))
        }
        (Kind::Address, Some((namespace, hostname))) if !hostname.contains('/') => {
            ResourceName::Service(NamespacedHostname::new(namespace, hostname))
        }
        (Kind::Address, _) => ResourceName::Workload(name.into()),
    }
}

/// The name of a resource on the wire.
pub fn wire_name(name: &ResourceName) -> String {
    name.to_string()
}

/// Reads one resource. What cannot be read becomes [`Resource::Malformed`], which a proxy rejects by name.
pub fn decode_resource(kind: Kind, resource: discovery::Resource) -> Resource {
    let discovery::Resource { name, resource, .. } = resource;
    let read = match resource {
        None => Err("the resource is empty".to_owned()),
        Some(any) if !any.type_url.is_empty() && any.type_url != kind.type_url() => {
            Err(format!("the resource is of type {}, not {}", any.type_url, kind.type_url()))
        }
        Some(any) => decode_body(kind, &any.value),
    };
    read.unwrap_or_else(|reason| Resource::Malformed(Arc::new(Rejected { name: resource_name(kind, &name), reason })))
}

fn decode_body(kind: Kind, body: &[u8]) -> Result<Resource, String> {
    let undecodable = |error: prost::DecodeError| format!("cannot be decoded: {error}");
    match kind {
        Kind::Address => match workload::Address::decode(body).map_err(undecodable)?.r#type {
            Some(workload::address::Type::Workload(wire)) => Ok(Resource::Workload(Arc::new(workloads::decode(wire)?))),
            Some(workload::address::Type::Service(wire)) => Ok(Resource::Service(Arc::new(service::decode(wire)?))),
            None => Err("neither a workload nor a service".to_owned()),
        },
        Kind::Authorization => {
            let wire = security::Authorization::decode(body).map_err(undecodable)?;
            Ok(Resource::Authorization(Arc::new(authorization::decode(wire)?)))
        }
        Kind::WaypointOnly => Err("records of waypoints are not on the wire".to_owned()),
    }
}

/// One resource as it travels, under `version`. Aliases are `network/ip` of a workload, and `network/ip[/length]` of a
/// service. Equal records have equal bytes.
pub fn encode_resource(resource: &Resource, version: String) -> discovery::Resource {
    let name = wire_name(&resource.name());
    let (kind, value) = encode_body(resource);
    let value = wire::Any { type_url: kind.type_url().to_owned(), value };
    discovery::Resource { version, resource: Some(value), name, aliases: aliases(resource) }
}

/// The kind and the bytes of a record, without its envelope. A malformed one has none, nor has a waypoint's own.
pub fn encode_body(resource: &Resource) -> (Kind, Vec<u8>) {
    let address = |of| workload::Address { r#type: Some(of) }.encode_to_vec();
    match resource {
        Resource::Workload(record) => {
            (Kind::Address, address(workload::address::Type::Workload(workloads::encode(record))))
        }
        Resource::Service(record) => {
            (Kind::Address, address(workload::address::Type::Service(service::encode(record))))
        }
        Resource::Authorization(record) => (Kind::Authorization, authorization::encode(record).encode_to_vec()),
        Resource::Malformed(rejected) => (Kind::of(&rejected.name), Vec::new()),
        Resource::ServiceRoutes(_) | Resource::BackendSettings(_) | Resource::WaypointSettings(_) => {
            (Kind::WaypointOnly, Vec::new())
        }
    }
}

fn aliases(resource: &Resource) -> Vec<String> {
    match resource {
        Resource::Workload(workload) => {
            workload.addresses.iter().map(|address| format!("{}/{address}", workload.network)).collect()
        }
        Resource::Service(service) => {
            let blocks = service.cidr_vips.iter().map(|block| format!("{}/{}", block.base, block.prefix_length));
            service.vips.iter().map(ToString::to_string).chain(blocks).collect()
        }
        _ => Vec::new(),
    }
}
