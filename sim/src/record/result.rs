//! [`RunRecord`]: the result of one run. Its JSON form is the product's machine interface.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The result of one run of one scenario with one seed. All times are virtual nanoseconds since the run's start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of this format; grows when a field changes meaning.
    pub format: u32,
    /// Version of meshsim that wrote it.
    pub meshsim: String,
    /// Scenario name.
    pub scenario: String,
    /// The sentence it proves.
    pub description: String,
    /// Path of the scenario file as given, if it came from one.
    pub file: Option<String>,
    /// Seed of the run.
    pub seed: u64,
    /// Name of the TLS provider whose bytes these are.
    pub tls_provider: String,
    /// Hex digest over every delivered byte, time and draw.
    pub digest: String,
    /// How long the run lasted.
    pub virtual_time_ns: u64,
    /// Whether all held.
    pub verdict: Verdict,
    /// Steps in order of time.
    pub steps: Vec<StepResult>,
    /// Open-loop loads in order of declaration.
    pub load: Vec<LoadResult>,
    /// Broken invariants.
    pub violations: Vec<Violation>,
    /// Exact counters: events, polls, packets, bytes_on_wire, handshakes, …
    pub counters: BTreeMap<String, u64>,
    /// Things worth telling that broke nothing, e.g. kinds that are not simulated.
    pub notices: Vec<String>,
    /// The nodes and pods at the end of the run.
    pub topology: Vec<TopologyNode>,
    /// How to run exactly this again.
    pub replay: String,
}

/// Whether all held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every expectation and invariant held.
    Passed,
    /// An expectation did not hold, or an invariant of safety: something bad happened.
    Failed,
    /// Nothing bad happened, but something good did not in the end: an invariant of liveness did not hold.
    Stalled,
    /// The run stalled, span, or a task panicked.
    Crashed,
}

/// A node and its pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopologyNode {
    /// Node name.
    pub name: String,
    /// Zone, empty if none.
    pub zone: String,
    /// Pods on it, by namespace and name.
    pub pods: Vec<TopologyPod>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopologyPod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// IPs.
    pub ips: Vec<String>,
    /// SPIFFE id, if it is enrolled.
    pub identity: Option<String>,
    /// Whether its traffic is captured.
    pub enrolled: bool,
}

/// One step and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// When it began.
    pub at_ns: u64,
    /// `request`, `connect`, `apply`, `delete`, `label`, `scale`, `restart`, …
    pub kind: String,
    /// The step in words: who asked what of whom.
    pub summary: String,
    /// Line in the scenario file, from 1; 0 if none.
    pub line: u32,
    /// Whether its expectation held; true if it has none.
    pub held: bool,
    /// Whether it has an expectation.
    #[serde(default)]
    pub judged: bool,
    /// What did not hold, in words: expected, found.
    pub failures: Vec<String>,
    /// Requests or connections it made, in order of start.
    pub requests: Vec<RequestResult>,
    /// Conditions of the status it looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionResult>,
}

/// A condition of an object's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionResult {
    /// Of a route: the parent it is about, `service/name.namespace` or `gateway/name.namespace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Its type.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, a word.
    pub reason: String,
    /// Why, in words.
    pub message: String,
}

impl StepResult {
    /// Whether something failed for a client, or was answered with a status of 400 or more, and nobody had said what should
    /// come of it: worth seeing, and no fault of the run.
    pub fn failed_unasked(&self) -> bool {
        let failed = |request: &RequestResult| {
            !matches!(request.outcome, Outcome::Completed | Outcome::Held)
                || request.status.is_some_and(|status| status >= 400)
        };
        self.held && !self.judged && self.requests.iter().any(failed)
    }
}

/// One request or connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestResult {
    /// When it began.
    pub at_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// Client pod, `namespace/name`.
    pub client: String,
    /// What was asked, e.g. `GET http://reviews.bookinfo:9080/x`.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status, if one came.
    pub status: Option<u16>,
    /// Response headers, lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Response body as received; lossy UTF-8, first 64 KiB.
    pub body: String,
    /// Bytes the client sent and received (application bytes).
    pub bytes_sent: u64,
    /// See `bytes_sent`.
    pub bytes_received: u64,
    /// Who answered, as the answer says.
    pub backend: Option<Backend>,
    /// The proxies it passed, client to server.
    pub hops: Vec<Hop>,
    /// Why it failed: a name of the closed set of reasons (first hop that knows best).
    pub reason: Option<String>,
    /// The policy that decided, `namespace/name`, if one did.
    pub policy: Option<String>,
    /// One sentence: what happened and who decided.
    pub explanation: String,
    /// Number of its flow, unique in the run; 0 if it has none.
    #[serde(default)]
    pub flow: u64,
    /// What followed the response body, lower case, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trailers: Vec<(String, String)>,
    /// How a gRPC call ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcResult>,
    /// How many messages a WebSocket brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u32>,
    /// Servers it reached, in order, if there were several: retries and mirrored copies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<ReceivedCopy>,
    /// Who decided what, hop by hop; only if that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
}

/// How a gRPC call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcResult {
    /// The status by name, e.g. `PERMISSION_DENIED`.
    pub status: String,
    /// The status by number.
    pub code: u32,
    /// The status message.
    pub message: String,
    /// How many messages came back.
    pub messages: u32,
}

/// One try or mirrored copy of a request, at the server it reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedCopy {
    /// When.
    pub at_ns: u64,
    /// Server pod, `namespace/name`.
    pub server: String,
    /// The `host` header or `:authority` it came with, if it is HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// What was decided at one hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Who decided: `ztunnel on node-1, outbound`.
    pub at: String,
    /// What and why, a sentence each.
    pub words: Vec<String>,
}

/// How a request or connection ended, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An answer came, or the stream ended in good order.
    Completed,
    /// Still open at the end of the step or run, as asked.
    Held,
    /// Connect refused.
    Refused,
    /// Reset.
    Reset,
    /// Closed before an answer.
    ClosedEarly,
    /// No answer in time.
    TimedOut,
    /// The name did not resolve.
    NoSuchHost,
    /// No route, no such pod, …
    Failed,
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Namespace.
    pub namespace: String,
    /// Pod name.
    pub pod: String,
    /// Node name.
    pub node: String,
    /// The client IP the backend saw.
    pub source_ip: String,
}

/// One proxy on the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// `ztunnel`, `waypoint`, `sidecar`, `gateway`.
    pub proxy: String,
    /// Node it runs on.
    pub node: String,
    /// `outbound` or `inbound`.
    pub direction: String,
    /// `hbone`, `plain`, `waypoint`, `double_hbone`.
    pub protocol: String,
    /// Source identity, if proven.
    pub source_identity: Option<String>,
    /// Next hop dialled.
    pub destination: Option<String>,
    /// CONNECT authority.
    pub authority: Option<String>,
    /// Verdict in words, inbound only.
    pub verdict: Option<String>,
    /// Policy that decided, `namespace/name`.
    pub policy: Option<String>,
    /// Name of the closed set of reasons.
    pub reason: Option<String>,
}

/// Counts and latencies of one load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadResult {
    /// Its name.
    pub name: String,
    /// What it did, in words.
    pub summary: String,
    /// Requests begun.
    pub sent: u64,
    /// Requests answered as expected.
    pub succeeded: u64,
    /// Requests that failed, by reason or status.
    pub failed: BTreeMap<String, u64>,
    /// Answers by backend pod.
    pub backends: BTreeMap<String, u64>,
    /// Latencies of the answered.
    pub latency: QuantilesNs,
    /// Whether its expectation held.
    pub held: bool,
    /// What did not hold.
    pub failures: Vec<String>,
}

/// Latency quantiles in nanoseconds of virtual time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named by the quantile")]
pub struct QuantilesNs {
    pub min: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    pub mean: u64,
}

/// A broken invariant: claim, evidence, consequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// `I1` …
    pub invariant: String,
    /// What should hold, in words.
    pub claim: String,
    /// When it stopped holding.
    pub at_ns: u64,
    /// Events with times, oldest first.
    pub evidence: Vec<Evidence>,
    /// What it means for a user.
    pub consequence: String,
}

/// One event that proves a violation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// When.
    pub at_ns: u64,
    /// What.
    pub event: String,
}
