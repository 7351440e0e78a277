//! Layer-7 authorization: policies attached to a waypoint or to a service behind it, as plain functions over data.

mod model;

pub use model::{
    Condition, ConditionKey, Field, HttpAction, HttpPolicies, HttpPolicy, HttpRule, Operation, PathPattern,
    PathTemplate, ServiceAccountPattern, Source, TrustDomains,
};
