//! [`Gateway`], [`GatewayClass`], [`ReferenceGrant`].

use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::object::{Labels, Meta};
use crate::cluster::selector::Selector;

/// The class whose gateways are waypoints.
pub const WAYPOINT_CLASS: &str = "istio-waypoint";

/// The controller of that class.
pub const MESH_CONTROLLER: &str = "istio.io/mesh-controller";

/// `gateway.networking.k8s.io` GatewayClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayClass {
    /// Name, labels (`istio.io/waypoint-for` is one), annotations.
    pub meta: Meta,
    /// Who acts on gateways of this class.
    pub controller: Arc<str>,
}

/// `gateway.networking.k8s.io` Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Name, labels, annotations.
    pub meta: Meta,
    /// `spec.gatewayClassName`.
    pub class: Arc<str>,
    /// `spec.listeners`.
    pub listeners: Vec<Listener>,
    /// `spec.infrastructure.labels`: of everything made for it.
    pub infrastructure_labels: Labels,
    /// `spec.infrastructure.annotations`.
    pub infrastructure_annotations: Labels,
    /// `status.addresses`: set when its deployment first is ready, never withdrawn after.
    pub addresses: Vec<GatewayAddress>,
}

impl Gateway {
    /// Whether it is of the waypoint class.
    pub fn is_waypoint(&self) -> bool {
        *self.class == *WAYPOINT_CLASS
    }

    /// Whether anybody may be sent to it: exactly when it has an address, whatever its class.
    pub fn is_usable(&self) -> bool {
        !self.addresses.is_empty()
    }
}

/// One `status.addresses` entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatewayAddress {
    /// The name of its Service.
    Hostname(Arc<str>),
    /// A virtual address of its Service.
    Address(IpAddr),
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Unique in the gateway.
    pub name: Arc<str>,
    /// Where it listens.
    pub port: u16,
    /// As written: `HBONE`, `HTTP`, …
    pub protocol: Arc<str>,
    /// Whose objects may use it.
    pub allowed: AllowedNamespaces,
}

/// Which namespaces may use a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedNamespaces {
    /// Its own.
    #[default]
    Same,
    /// Every one.
    All,
    /// Those with these labels.
    Selector(Selector),
}

/// `gateway.networking.k8s.io` ReferenceGrant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceGrant {
    /// Its namespace is the one referred into.
    pub meta: Meta,
    /// Who may refer.
    pub from: Vec<ReferenceGrantFrom>,
    /// To what.
    pub to: Vec<ReferenceGrantTo>,
}

/// Who may refer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's names")]
pub struct ReferenceGrantFrom {
    pub group: Arc<str>,
    pub kind: Arc<str>,
    pub namespace: Arc<str>,
}

/// To what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceGrantTo {
    /// API group.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// One object; `None`: all of the kind.
    pub name: Option<Arc<str>>,
}
