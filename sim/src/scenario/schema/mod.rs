//! The scenario file as written. Reading never looks at anything but the text; [`super::resolve`] turns names into things.
//!
//! The comments on the fields are also what `meshsim schema` prints.

mod action;
mod app;
mod call;
mod document;
mod expect;
pub mod fault;
mod forms;
mod outcome;
mod token;
pub mod tuning;
mod values;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use action::Signer;
pub use action::{
    CloseStep, ClosingWay, ConnectStep, ExchangeStep, HboneStep, HttpVersion, LabelStep, ReadWay, RequestStep,
    ScaleStep,
};
pub use app::{AnswerWay, AppSection, CountWay, ErrorsSection, FailSection, FailureForm, GrpcEndForm, RoleWay};
pub use call::{GrpcSection, MessagesForm, WebSocketSection};
pub use document::{json_schema, markdown};
pub use expect::{ClosedBy, Denied, Echoed, Expect, ProxyKind, SourceIp, Statuses};
pub use forms::{DelayForm, Manifest, ManifestSource, MixedDelay, OneOrMany};
pub use outcome::{ConditionForm, GrpcExpected, NumberRange, ReceivedSection, SplitSection};
pub use token::{KeyForm, SealWay, TokenAlgorithmName, TokenSection};
pub use values::Texts;

use super::quantity::{Bandwidth, Rate, Size, Span, Time};
use crate::cluster::yaml::Spanned;

/// A scenario: a mesh described by Kubernetes YAML, what happens in it, and what must come of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "scenario")]
pub struct ScenarioFile {
    /// Short name, unique in a catalogue.
    pub name: String,
    /// The sentence this scenario proves.
    pub description: String,
    /// Seed of every draw in the run; `--seed` overrides it.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The cluster at the start.
    pub cluster: ClusterSection,
    /// The links between pods.
    #[serde(default)]
    pub network: NetworkSection,
    /// Knobs that decide how hard life is: windows, pools, delays.
    #[serde(default)]
    pub tuning: tuning::TuningSection,
    /// Keys that sign tokens, by name: an algorithm, or a map with more. A manifest's text may name their public parts:
    /// `${jwks:name}`, or several, `${jwks:name,other}`, is a JSON Web Key Set on one line.
    #[serde(default)]
    pub keys: BTreeMap<String, Spanned<KeyForm>>,
    /// Workloads that do something else than echo.
    #[serde(default)]
    pub apps: Vec<AppSection>,
    /// What happens, in order of `at`.
    #[serde(default)]
    pub steps: Vec<Spanned<Step>>,
    /// Open-loop traffic over spans of time.
    #[serde(default)]
    pub load: Vec<Spanned<LoadSection>>,
    /// Which invariants are checked.
    #[serde(default)]
    pub invariants: Invariants,
}

fn default_seed() -> u64 {
    1
}

/// The cluster at the start.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterSection {
    /// How many nodes (they are named node-1, node-2, …), or a list of them.
    #[serde(default)]
    pub nodes: Nodes,
    /// Ordinary multi-document Kubernetes YAML: paths relative to this file, or the text itself.
    #[serde(default)]
    pub manifests: Vec<Spanned<Manifest>>,
    /// SPIFFE trust domain; default `cluster.local`.
    pub trust_domain: Option<String>,
    /// DNS suffix; default `cluster.local`.
    pub cluster_domain: Option<String>,
    /// Namespace of mesh-wide policy; default `istio-system`.
    pub root_namespace: Option<String>,
    /// Address families of pods and services, primary first; default `[ipv4]`.
    pub ip_families: Option<Vec<Family>>,
    /// Which freed pod address is given out first; default `oldest_freed`.
    pub address_reuse: Option<ReuseWay>,
    /// How configuration and certificates travel to the proxies.
    #[serde(default)]
    pub control_plane: ControlPlaneSection,
}

/// How configuration and certificates travel to the proxies.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlPlaneSection {
    /// Default `modelled`.
    pub delivery: Option<DeliveryWay>,
}

/// How configuration and certificates travel to the proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryWay {
    /// They arrive after a drawn delay; nothing of it is on the network.
    Modelled,
    /// As delta discovery and signing requests over gRPC and TLS, from a control plane process on a node of its own.
    Wire,
}

/// Which freed pod address is given out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReuseWay {
    /// Never used ones, then the one freed longest ago.
    OldestFreed,
    /// The one freed last: the hardest case for whatever remembers addresses.
    Immediate,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the families' names")]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// How many nodes, or which.
#[derive(Clone, Debug)]
pub enum Nodes {
    /// So many, all alike.
    Count(u32),
    /// These.
    List(Vec<NodeSection>),
}

impl Default for Nodes {
    fn default() -> Self {
        Nodes::Count(2)
    }
}

/// One node.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSection {
    /// Unique.
    pub name: String,
    /// Becomes label `topology.kubernetes.io/zone`.
    #[serde(default)]
    pub zone: String,
    /// Becomes label `topology.kubernetes.io/region`.
    #[serde(default)]
    pub region: String,
    /// Further labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The links between pods: a latency, or a latency with jitter, bandwidth and MTU.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// Between pods of one node; default 30us.
    pub same_node: Option<LinkForm>,
    /// Between nodes of one zone; default 250us.
    pub cross_node: Option<LinkForm>,
    /// Between zones of one region; default 1ms.
    pub cross_zone: Option<LinkForm>,
    /// Between regions; default 20ms.
    pub cross_region: Option<LinkForm>,
}

/// A link: its latency alone, or with more.
#[derive(Clone, Debug)]
pub struct LinkForm {
    /// One way.
    pub latency: Time,
    /// The rest, where given.
    pub more: LinkSection,
}

/// A link in full.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkSection {
    /// One way.
    pub latency: Option<Time>,
    /// The latency varies by at most this, both ways, uniformly.
    pub jitter: Option<Time>,
    /// Of each direction of each link.
    pub bandwidth: Option<Bandwidth>,
    /// Largest packet.
    pub mtu: Option<u16>,
}

/// One thing that happens: `at` and exactly one of the others, with what is expected of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When, in virtual time since the start of the run.
    pub at: Time,
    /// A sentence to show with it.
    pub note: Option<String>,
    /// HTTP requests.
    pub request: Option<Spanned<RequestStep>>,
    /// A raw TCP stream.
    pub connect: Option<Spanned<ConnectStep>>,
    /// Sends more on a stream held open, and waits for it to come back.
    pub exchange: Option<Spanned<ExchangeStep>>,
    /// Closes a stream held open.
    pub close: Option<Spanned<CloseStep>>,
    /// Looks at a stream held open, by the name its `connect` gave it.
    pub check: Option<Spanned<String>>,
    /// A client that speaks to port 15008 itself, and badly.
    pub hbone: Option<Spanned<HboneStep>>,
    /// `kubectl apply -f`: a path relative to this file, the text itself, or a list of them.
    pub apply: Option<Spanned<OneOrMany<Manifest>>>,
    /// `kubectl delete`: objects like `authorizationpolicy/deny.shop`, or paths of manifests.
    pub delete: Option<Spanned<OneOrMany<String>>>,
    /// `kubectl label --overwrite`.
    pub label: Option<Spanned<LabelStep>>,
    /// `kubectl scale`.
    pub scale: Option<Spanned<ScaleStep>>,
    /// `kubectl rollout restart`, e.g. `deploy/ratings.shop`.
    pub restart: Option<Spanned<String>>,
    /// Something that goes wrong, for a while.
    pub fault: Option<Spanned<fault::FaultStep>>,
    /// Looks at the status of an object: `gateway/waypoint.shop`, `httproute/reviews.shop`. Expect `conditions`.
    pub inspect: Option<Spanned<String>>,
    /// What must come of it, or a list of that: all of it must hold. Without this, it only has to be possible.
    pub expect: Option<Spanned<OneOrMany<Expect>>>,
}

/// Open-loop traffic: requests begin when they are due, however slow the answers are, and latency counts from when they were due.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadSection {
    /// Its name in results.
    pub name: String,
    /// Who asks: `deploy/name.namespace` and the like; all ready pods take turns.
    pub from: Spanned<OneOrMany<String>>,
    /// What is asked, in turns: `http://name.namespace:port/path`.
    pub to: Spanned<OneOrMany<String>>,
    /// How often.
    pub rate: Rate,
    /// From when to when.
    pub during: Span,
    /// How the due times are spread; default `even`.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// Requests in flight at most; more wait, and their waiting counts as latency.
    #[serde(default = "default_concurrency")]
    pub concurrency: u32,
    /// Whether connections are kept and used again.
    #[serde(default = "default_true")]
    pub keep_alive: bool,
    /// HTTP method.
    #[serde(default = "default_method")]
    pub method: String,
    /// Further request headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Texts>,
    /// Size of the request body.
    #[serde(default)]
    pub body_size: Size,
    /// For one request, from when it begins.
    #[serde(default = "default_timeout")]
    pub timeout: Time,
    /// What must come of it.
    pub expect: Option<Spanned<Expect>>,
}

/// How due times are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// At equal distances.
    #[default]
    Even,
    /// Each somewhere in its interval, uniformly.
    Random,
}

/// Which invariants are checked.
#[derive(Clone, Debug, Default)]
pub enum Invariants {
    /// All of them.
    #[default]
    All,
    /// All but these.
    Except(Vec<Spanned<SwitchedOff>>),
}

/// An invariant that is not checked, and why.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchedOff {
    /// Its id, e.g. `I9`.
    pub off: String,
    /// Why it cannot hold here.
    pub because: String,
}

fn default_concurrency() -> u32 {
    1000
}
fn default_true() -> bool {
    true
}
fn default_method() -> String {
    "GET".to_owned()
}
fn default_timeout() -> Time {
    Time(std::time::Duration::from_secs(10))
}
