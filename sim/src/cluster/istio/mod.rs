//! Istio's objects, as stored: every upstream field accepted, defaults filled in, checked.

/// Objects as written: every field may be missing, none may be unknown.
macro_rules! spec {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
            #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
            #[allow(missing_docs, reason = "upstream's names")]
            pub struct $name {
                $($(#[$attribute])* pub $field: $type,)*
            }
        )*
    };
}

mod authorization_policy;
pub mod destination_rule;
mod layer7_policy;
pub mod mesh_options;
mod peer_authentication;
pub mod request_authentication;
mod service_entry;
mod value;
pub mod virtual_service;

pub use authorization_policy::{
    AuthorizationPolicy, AuthorizationPolicySpec, Condition, ExtensionProvider, From, Operation, PolicyAction,
    PolicyRule, PolicySource, PolicyTargetReference, To, WorkloadSelector,
};
pub(super) use authorization_policy::{lists_of_operation, lists_of_source};
pub use peer_authentication::{MutualTlsMode, PeerAuthentication};
pub use service_entry::{
    ExternalEndpoint, Location, Resolution, ServiceEntry, ServiceEntryPort, WorkloadEntry, WorkloadEntrySpec,
};

pub use destination_rule::DestinationRule;
pub use mesh_options::MeshOptions;
pub use request_authentication::{RequestAuthentication, Telemetry};
pub use value::{Expression, Percent, PortSelector, Span, StringMatch};
pub use virtual_service::VirtualService;
