//! Istio's objects, as stored: every upstream field accepted, defaults filled in, checked.

mod authorization_policy;
mod peer_authentication;
mod service_entry;

pub use authorization_policy::{
    AuthorizationPolicy, AuthorizationPolicySpec, Condition, ExtensionProvider, From, Operation, PolicyAction,
    PolicyRule, PolicySource, PolicyTargetReference, To, WorkloadSelector,
};
pub(super) use authorization_policy::{lists_of_operation, lists_of_source};
pub use peer_authentication::{MutualTlsMode, PeerAuthentication};
pub use service_entry::{
    ExternalEndpoint, Location, Resolution, ServiceEntry, ServiceEntryPort, WorkloadEntry, WorkloadEntrySpec,
};
