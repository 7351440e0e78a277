//! What must come of a step or a load.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::forms::OneOrMany;
use super::outcome::{ConditionForm, GrpcExpected, NumberRange, ReceivedSection, SplitSection};
use crate::cluster::yaml::Spanned;
use crate::record::Outcome;
use crate::scenario::quantity::{Amount, Bound, Share, Time};

/// What must come of a step or a load. What is not mentioned does not matter.
///
/// With several requests, all of them have to be so, unless `success` says how many.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// HTTP status: `200`, or a list of allowed ones.
    pub status: Option<Statuses>,
    /// How it ended for the client.
    #[schemars(with = "Option<OutcomeName>")]
    pub outcome: Option<Outcome>,
    /// The proxies passed, client to server: `[ztunnel, ztunnel]`; `[]` for none.
    pub via: Option<Vec<ProxyKind>>,
    /// The client's identity as the server's proxy verified it, `spiffe://…`; `none` for plaintext.
    pub identity: Option<Spanned<String>>,
    /// `true`: policy refused it; `false`: it did not; a name `namespace/policy`: that policy decided.
    pub denied: Option<Denied>,
    /// Why it failed: a name of the closed set of reasons, e.g. `policy_denied`.
    pub reason: Option<Spanned<String>>,
    /// Who answered: `pod/name.namespace`, `deploy/name.namespace` and the like, or `namespace/name`.
    pub backend: Option<Spanned<String>>,
    /// What the server saw as its client's IP: `preserved` (the client pod's own), or an address.
    pub source_ip: Option<SourceIp>,
    /// Response headers and their values; of a header given several times, any of them.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Response headers that must not be there.
    #[serde(default)]
    pub without_headers: Vec<String>,
    /// What followed the response's body.
    #[serde(default)]
    pub trailers: BTreeMap<String, String>,
    /// The whole response body.
    pub body: Option<String>,
    /// Text the answer contains.
    pub body_contains: Option<Spanned<OneOrMany<String>>>,
    /// What the echo server received.
    pub echo: Option<Echoed>,
    /// How a gRPC call ended.
    pub grpc: Option<GrpcExpected>,
    /// How many messages a WebSocket brought back.
    pub messages: Option<Bound<Amount>>,
    /// How often each request reached a server: retries and mirrored copies count.
    pub attempts: Option<Bound<Amount>>,
    /// What which servers received of each request, mirrored copies for instance.
    #[serde(default)]
    pub received: Vec<ReceivedSection>,
    /// The policy that decided, for or against: `namespace/name`.
    pub policy: Option<String>,
    /// From start to end of each request.
    pub within: Option<Time>,
    /// Only these requests, by number: `1`, `2..5`, `2..`.
    pub only: Option<NumberRange>,
    /// How many must be as expected: `8`, `">= 90%"`.
    pub success: Option<Bound<Amount>>,
    /// How many of all must be as expected, as far as chance allows: `90%`. See `tolerance`.
    pub share: Option<Share>,
    /// With `share`: how far it may be off, in percent of all: `3%`. Default: what chance explains at the probability of
    /// 99.9999%.
    pub tolerance: Option<Share>,
    /// How answers share out over backends, as far as chance allows.
    pub split: Option<Spanned<SplitSection>>,
    /// How many requests there were. Loads only.
    pub sent: Option<Bound<Amount>>,
    /// How many answers came from pods of these workloads or from these pods: `{deploy/a.shop: ">= 30%"}`.
    #[serde(default)]
    pub backends: BTreeMap<String, Bound<Amount>>,
    /// Half of the answers came at least this fast.
    pub p50: Option<Bound<Time>>,
    /// As `p50`, nine tenths.
    pub p90: Option<Bound<Time>>,
    /// As `p50`, 99 of 100.
    pub p99: Option<Bound<Time>>,
    /// As `p50`, 999 of 1,000.
    pub p999: Option<Bound<Time>>,
    /// The slowest answer.
    pub max: Option<Bound<Time>>,
    /// With `inspect`: conditions of the object's status, by type.
    #[serde(default)]
    pub conditions: BTreeMap<String, ConditionForm>,
    /// Whether a held stream is (still) open. With `check`, at the time of the step.
    pub open: Option<bool>,
    /// Who closed a held stream. With `check`; so are the next two.
    pub closed_by: Option<ClosedBy>,
    /// How soon after the last change (apply, delete, label, scale, restart) before the check it was closed.
    pub closed_within: Option<Time>,
}

/// One status or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(pub Vec<u16>);

/// Names of [`Outcome`], for the schema.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, missing_docs, reason = "only its names are used")]
pub(crate) enum OutcomeName {
    Completed,
    Held,
    Refused,
    Reset,
    ClosedEarly,
    TimedOut,
    NoSuchHost,
    Failed,
}

/// A kind of proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "their names")]
pub enum ProxyKind {
    Ztunnel,
    Waypoint,
    Sidecar,
    Gateway,
}

impl ProxyKind {
    /// As in a run record.
    pub fn name(self) -> &'static str {
        match self {
            ProxyKind::Ztunnel => "ztunnel",
            ProxyKind::Waypoint => "waypoint",
            ProxyKind::Sidecar => "sidecar",
            ProxyKind::Gateway => "gateway",
        }
    }
}

/// Whether policy refused, or which did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Whether any did.
    Whether(bool),
    /// This one, `namespace/name`.
    By(String),
}

/// What the server saw as its client's IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceIp {
    /// The client pod's own.
    Preserved,
    /// This one.
    Address(std::net::IpAddr),
}

/// Who closed a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBy {
    /// The client application.
    Client,
    /// The server application, or its pod went away.
    Server,
    /// A ztunnel cut it.
    Ztunnel,
}

/// What the echo server received; what is not mentioned does not matter.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Echoed {
    /// Request method.
    pub method: Option<String>,
    /// Path and query.
    pub path: Option<String>,
    /// The `host` header or `:authority`.
    pub host: Option<String>,
    /// `HTTP/1.1` or `HTTP/2`.
    pub proto: Option<String>,
    /// Request headers; `null` as text, `"null"`, is a value: name absent ones in `without`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Request headers that must not be there.
    #[serde(default)]
    pub without: Vec<String>,
}
