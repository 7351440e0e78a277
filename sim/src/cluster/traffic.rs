//! [`Traffic`]: every object that says what waypoints are and do, of whichever API.

use std::sync::Arc;

use super::gateway::{Gateway, GatewayClass, MESH_CONTROLLER, ReferenceGrant, Route, WAYPOINT_CLASS};
use super::istio::{DestinationRule, MeshOptions, RequestAuthentication, Telemetry, VirtualService};
use super::object::{Kind, Labels, Meta, ObjectName, ObjectReference};
use super::store::{Cluster, Stored, builtin};

/// An object that says what waypoints are and do.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the kinds' names")]
#[allow(clippy::large_enum_variant, reason = "each is kept behind a pointer as a whole")]
pub enum Traffic {
    GatewayClass(GatewayClass),
    Gateway(Gateway),
    Route(Route),
    ReferenceGrant(ReferenceGrant),
    VirtualService(VirtualService),
    DestinationRule(DestinationRule),
    RequestAuthentication(RequestAuthentication),
    Telemetry(Telemetry),
    MeshOptions(MeshOptions),
}

impl Traffic {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Traffic::GatewayClass(_) => Kind::GatewayClass,
            Traffic::Gateway(_) => Kind::Gateway,
            Traffic::Route(route) => route.kind,
            Traffic::ReferenceGrant(_) => Kind::ReferenceGrant,
            Traffic::VirtualService(_) => Kind::VirtualService,
            Traffic::DestinationRule(_) => Kind::DestinationRule,
            Traffic::RequestAuthentication(_) => Kind::RequestAuthentication,
            Traffic::Telemetry(_) => Kind::Telemetry,
            Traffic::MeshOptions(_) => Kind::ConfigMap,
        }
    }

    /// Its name, labels, annotations.
    pub fn meta(&self) -> &Meta {
        match self {
            Traffic::GatewayClass(object) => &object.meta,
            Traffic::Gateway(object) => &object.meta,
            Traffic::Route(object) => &object.meta,
            Traffic::ReferenceGrant(object) => &object.meta,
            Traffic::VirtualService(object) => &object.meta,
            Traffic::DestinationRule(object) => &object.meta,
            Traffic::RequestAuthentication(object) => &object.meta,
            Traffic::Telemetry(object) => &object.meta,
            Traffic::MeshOptions(object) => &object.meta,
        }
    }

    /// What it is called.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference { kind: self.kind(), name: self.meta().key.clone() }
    }

    /// What an update leaves as it was: a gateway's status.
    pub(super) fn keep_status(&mut self, old: &Traffic) {
        if let (Traffic::Gateway(new), Traffic::Gateway(old)) = (self, old) {
            new.addresses.clone_from(&old.addresses);
        }
    }
}

impl Stored for Traffic {
    fn meta(&self) -> &Meta {
        Traffic::meta(self)
    }

    fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Traffic::GatewayClass(object) => &mut object.meta,
            Traffic::Gateway(object) => &mut object.meta,
            Traffic::Route(object) => &mut object.meta,
            Traffic::ReferenceGrant(object) => &mut object.meta,
            Traffic::VirtualService(object) => &mut object.meta,
            Traffic::DestinationRule(object) => &mut object.meta,
            Traffic::RequestAuthentication(object) => &mut object.meta,
            Traffic::Telemetry(object) => &mut object.meta,
            Traffic::MeshOptions(object) => &mut object.meta,
        }
    }
}

/// Accessors of one kind each.
macro_rules! accessors {
    ($($(#[$doc:meta])* $name:ident: $variant:ident($type:ty),)*) => {
        impl Cluster {
            $($(#[$doc])*
            pub fn $name(&self) -> impl Iterator<Item = &$type> {
                self.traffic.values().filter_map(|object| match &**object {
                    Traffic::$variant(object) => Some(object),
                    _ => None,
                })
            })*
        }
    };
}

accessors! {
    /// Gateway classes by name.
    gateway_classes: GatewayClass(GatewayClass),
    /// Gateways by namespace and name.
    gateways: Gateway(Gateway),
    /// HTTPRoutes, then GRPCRoutes, TCPRoutes and TLSRoutes, each by namespace and name.
    routes: Route(Route),
    /// Reference grants by namespace and name.
    reference_grants: ReferenceGrant(ReferenceGrant),
    /// Virtual services by namespace and name.
    virtual_routes: VirtualService(VirtualService),
    /// Destination rules by namespace and name.
    destination_rules: DestinationRule(DestinationRule),
    /// Request authentications by namespace and name.
    request_authentications: RequestAuthentication(RequestAuthentication),
    /// Telemetry objects by namespace and name.
    telemetries: Telemetry(Telemetry),
}

impl Cluster {
    /// Everything that says what waypoints are and do, by kind, namespace and name.
    pub fn traffic(&self) -> impl Iterator<Item = &Arc<Traffic>> {
        self.traffic.values()
    }

    /// One such object.
    pub fn traffic_object(&self, object: &ObjectReference) -> Option<&Arc<Traffic>> {
        self.traffic.get(object)
    }

    /// A gateway.
    pub fn gateway(&self, namespace: &str, name: &str) -> Option<&Gateway> {
        match &**self.traffic.get(&ObjectReference::new(Kind::Gateway, namespace, name))? {
            Traffic::Gateway(gateway) => Some(gateway),
            _ => None,
        }
    }

    /// A gateway class.
    pub fn gateway_class(&self, name: &str) -> Option<&GatewayClass> {
        match &**self.traffic.get(&ObjectReference::new(Kind::GatewayClass, "", name))? {
            Traffic::GatewayClass(class) => Some(class),
            _ => None,
        }
    }

    /// The mesh configuration, if one was applied.
    pub fn mesh_options(&self) -> Option<&MeshOptions> {
        let root = &self.config().root_namespace;
        match &**self.traffic.get(&ObjectReference::new(Kind::ConfigMap, root, "istio"))? {
            Traffic::MeshOptions(options) => Some(options),
            _ => None,
        }
    }

    /// The key set the control plane fetched from a `jwksUri`, or for an issuer without one.
    pub fn fetched_keys(&self, from: &str) -> Option<&Arc<str>> {
        self.fetched_keys.get(from)
    }

    /// Notes a key set the control plane has fetched (or, with `None`, can no longer have). True if that changes anything.
    pub fn set_fetched_keys(&mut self, from: &Arc<str>, document: Option<Arc<str>>) -> bool {
        if self.fetched_keys.get(from) == document.as_ref() {
            return false;
        }
        match document {
            Some(document) => self.fetched_keys.insert_mut(from.clone(), document),
            None => drop(self.fetched_keys.remove_mut(from)),
        }
        self.revision += 1;
        true
    }

    /// The classes a control plane brings with it.
    pub(super) fn put_gateway_classes(&mut self) {
        const CLASSES: [(&str, &str); 4] = [
            (WAYPOINT_CLASS, MESH_CONTROLLER),
            ("istio", "istio.io/gateway-controller"),
            ("istio-east-west", "istio.io/eastwest-controller"),
            ("istio-remote", "istio.io/unmanaged-gateway"),
        ];
        for (name, controller) in CLASSES {
            let class = GatewayClass {
                meta: builtin(ObjectName::cluster_scoped(name), Labels::new()),
                controller: controller.into(),
            };
            let class = Traffic::GatewayClass(class);
            self.traffic.insert_mut(class.reference(), Arc::new(class));
        }
    }
}
