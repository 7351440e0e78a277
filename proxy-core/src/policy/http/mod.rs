//! Layer-7 authorization: policies attached to a waypoint or to a service behind it, as plain functions over data.
//!
//! [`HttpPolicy::read`] makes records of a policy's texts; [`ask`] says whether a provider is to be asked, [`authorize`]
//! the rest, for requests and for opaque connections alike.

mod authorize;
mod matching;
mod model;
mod read;
mod template;
mod text;

pub use authorize::{Ask, DryRunResult, HttpDecision, HttpVerdict, PolicyId, ask, authorize};
pub use matching::Subject;
pub use model::{
    Condition, Field, HttpAction, HttpPolicies, HttpPolicy, HttpRule, Operation, PathPattern, PseudoHeader,
    RequestPrincipalPattern, ServiceAccountPattern, Source, TrustDomains,
};
pub use read::InvalidPolicy;
pub use template::PathTemplate;
pub use text::{ConditionText, OperationText, RuleText, SourceText};
