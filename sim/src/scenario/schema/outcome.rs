//! What must come of requests, beyond a single answer.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::GrpcCodes;
use crate::cluster::yaml::Spanned;
use crate::scenario::quantity::{Amount, Bound, Share};

/// Numbers of requests, counted from 1: `3`, or `2..5` with both ends, or `2..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// How requests share out over backends, as far as chance allows.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitSection {
    /// Weights by workload or pod: `{deploy/a.shop: 90, deploy/b.shop: 10}`. Zero: none of them.
    pub weights: BTreeMap<String, u32>,
    /// How far a share may be from its weight's, in percent of all answers: `3%`. Default: what chance explains.
    pub tolerance: Option<Share>,
    /// With what probability an honest split passes, where there is no `tolerance`; default `99.9999%`.
    pub confidence: Option<Share>,
}

/// How a gRPC call must end.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcExpected {
    /// `OK`, `UNAVAILABLE`, … or a number, or a list of them.
    pub status: Option<Spanned<GrpcCodes>>,
    /// The status message.
    pub message: Option<String>,
    /// Text the status message contains.
    pub message_contains: Option<String>,
    /// How many messages came back.
    pub messages: Option<Bound<Amount>>,
}

/// What servers received of each request: the first try, retries and mirrored copies alike.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceivedSection {
    /// Whose pods: as `backend`.
    pub by: Spanned<String>,
    /// How often, for each request; default at least once.
    pub times: Option<Bound<Amount>>,
    /// Only what has this method.
    pub method: Option<String>,
    /// Only what has this path and query.
    pub path: Option<String>,
    /// Only what has this `host` header or `:authority`.
    pub host: Option<String>,
    /// Only what has these request headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Only what has none of these request headers.
    #[serde(default)]
    pub without: Vec<String>,
}

/// A condition of an object's status: `True`, `False`, `Unknown` or `absent`, or a map with more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConditionForm {
    /// `True`, `False` or `Unknown`; `None`: it must not be there.
    pub status: Option<String>,
    /// Why, a word.
    pub reason: Option<String>,
    /// Text the message contains.
    pub message_contains: Option<String>,
    /// Of a route: the parent the condition is about, `service/name` or `gateway/name`.
    pub parent: Option<String>,
}
