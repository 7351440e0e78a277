//! [`Plan`]: a scenario with every name looked up, ready to run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proxy_core::host::Instant;
use proxy_core::identity::Identity;
use proxy_core::telemetry::Reason;

use super::quantity::{Amount, Bound, Rate, Span};
use super::schema::tuning::TuningSection;
use super::schema::{Arrivals, ClosingWay, Expect, NetworkSection, Signer};
use super::token::TokenPlan;
use crate::app::{Behaviour, Headers, Reading, RequestKind, Target};
use crate::cluster::diagnostic::{Diagnostic, Source};
use crate::cluster::yaml::Document;
use crate::cluster::{ApplyOptions, ClusterConfig, LabelChange, ObjectReference};
use crate::mesh::Delivery;
use crate::mesh::Fault;

/// A scenario with every name looked up.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Short name.
    pub name: String,
    /// The sentence it proves.
    pub description: String,
    /// The file, as given.
    pub file: Arc<str>,
    /// Seed, unless the command line says otherwise.
    pub seed: u64,
    /// The cluster before anything is applied; its seed is set when it runs.
    pub cluster: ClusterConfig,
    /// How configuration and certificates travel.
    pub delivery: Delivery,
    /// Applied before the run starts.
    pub manifests: Vec<ParsedManifest>,
    /// The links.
    pub network: NetworkSection,
    /// The knobs it turns.
    pub tuning: TuningSection,
    /// Who does not simply echo. Later ones win.
    pub apps: Vec<AppRule>,
    /// In order of time.
    pub steps: Vec<PlannedStep>,
    /// In order of writing.
    pub loads: Vec<PlannedLoad>,
    /// Ids of invariants that are not checked, with the reason.
    pub switched_off: BTreeMap<String, String>,
    /// The file's own text (under the empty name) and that of every file it names, by the name written.
    pub sources: BTreeMap<String, String>,
    /// Worth knowing, not wrong.
    pub notices: Vec<Diagnostic>,
}

/// Kubernetes YAML that was read.
#[derive(Clone, Debug)]
pub struct ParsedManifest {
    /// Its documents.
    pub documents: Vec<Document>,
    /// With what they are applied.
    pub options: ApplyOptions,
}

/// How the pods of a workload answer.
#[derive(Clone, Debug)]
pub struct AppRule {
    /// Whose pods.
    pub workload: ObjectReference,
    /// Only this container port.
    pub port: Option<u16>,
    /// How they answer.
    pub behaviour: Arc<Behaviour>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct PlannedStep {
    /// When.
    pub at: Instant,
    /// Where it is written.
    pub source: Source,
    /// Its own words, if it has any.
    pub note: Option<String>,
    /// What it does, in words.
    pub summary: String,
    /// What it does.
    pub action: Action,
    /// What must come of it: all of these.
    pub expect: Vec<Expectation>,
}

/// What a step does.
#[allow(clippy::large_enum_variant, reason = "a scenario has few steps")]
#[derive(Clone, Debug)]
pub enum Action {
    /// HTTP requests.
    Request(Box<RequestPlan>),
    /// A raw stream.
    Connect(ConnectPlan),
    /// Sends more on a held stream.
    Exchange {
        /// Its name.
        on: String,
        /// Bytes.
        send: u64,
        /// For all of it to come back.
        timeout: Duration,
    },
    /// Closes a held stream.
    Close {
        /// Its name.
        connection: String,
        /// How.
        how: ClosingWay,
    },
    /// Looks at a held stream.
    Check {
        /// Its name.
        connection: String,
    },
    /// A hostile HBONE client.
    Hbone(HbonePlan),
    /// Looks at the status of an object.
    Inspect {
        /// Which object.
        object: ObjectReference,
    },
    /// `kubectl apply`.
    Apply(Vec<ParsedManifest>),
    /// `kubectl delete`.
    Delete {
        /// By name.
        objects: Vec<ObjectReference>,
        /// By manifest.
        manifests: Vec<ParsedManifest>,
    },
    /// `kubectl label`.
    Label {
        /// Which object.
        object: ObjectReference,
        /// What changes.
        changes: Vec<LabelChange>,
    },
    /// `kubectl scale`.
    Scale {
        /// Which object.
        object: ObjectReference,
        /// To how many.
        replicas: u32,
    },
    /// `kubectl rollout restart`.
    Restart {
        /// Which object.
        object: ObjectReference,
    },
    /// Something goes wrong.
    Fault(FaultPlan),
}

/// Something that goes wrong, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    /// Names its stream of chance.
    pub name: String,
    /// In words.
    pub what: String,
    /// What.
    pub fault: Fault,
    /// `None` is to the end.
    pub lasts: Option<Duration>,
}

impl Action {
    /// As in a run record.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Request(_) => "request",
            Action::Connect(_) => "connect",
            Action::Exchange { .. } => "exchange",
            Action::Close { .. } => "close",
            Action::Check { .. } => "check",
            Action::Hbone(_) => "hbone",
            Action::Inspect { .. } => "inspect",
            Action::Apply(_) => "apply",
            Action::Delete { .. } => "delete",
            Action::Label { .. } => "label",
            Action::Scale { .. } => "scale",
            Action::Restart { .. } => "restart",
            Action::Fault(_) => "fault",
        }
    }

    /// Whether it changes the cluster.
    pub fn is_change(&self) -> bool {
        matches!(
            self,
            Action::Apply(_)
                | Action::Delete { .. }
                | Action::Label { .. }
                | Action::Scale { .. }
                | Action::Restart { .. }
        )
    }
}

/// Where a client goes.
#[derive(Clone, Debug)]
pub struct Destination {
    /// As written; the host means nothing if `pod` is there.
    pub target: Target,
    /// The host is the IP of the first ready pod of this.
    pub pod: Option<ObjectReference>,
}

/// HTTP requests.
#[derive(Clone, Debug)]
pub struct RequestPlan {
    /// Who asks.
    pub from: ObjectReference,
    /// What is asked.
    pub to: Destination,
    /// Method.
    pub method: Arc<str>,
    /// Lower case.
    pub headers: Headers,
    /// Body.
    pub body: Bytes,
    /// What is said over it.
    pub kind: RequestKind,
    /// A token to send with each.
    pub token: Option<TokenPlan>,
    /// How many.
    pub count: u32,
    /// How many are under way at a time.
    pub concurrency: u32,
    /// Whether the record tells who decided what at each hop.
    pub explain: bool,
    /// Between the end of one and the start of the next.
    pub interval: Duration,
    /// Whether they share a connection.
    pub keep_alive: bool,
    /// HTTP/2 with prior knowledge.
    pub http2: bool,
    /// For each.
    pub timeout: Duration,
}

/// A raw stream.
#[derive(Clone, Debug)]
pub struct ConnectPlan {
    /// Who connects.
    pub from: ObjectReference,
    /// Where to.
    pub to: Destination,
    /// Payload bytes.
    pub send: u64,
    /// The server speaks first.
    pub server_first: bool,
    /// Finish our direction once all is sent.
    pub half_close: bool,
    /// How to read.
    pub read: Reading,
    /// Keep it open.
    pub hold: bool,
    /// Its name, if held.
    pub name: Option<String>,
    /// For the exchange.
    pub timeout: Duration,
}

/// A hostile HBONE client.
#[derive(Clone, Debug)]
pub struct HbonePlan {
    /// Where it runs.
    pub from: ObjectReference,
    /// Whose port 15008.
    pub to: ObjectReference,
    /// What is asked for; `None`: the dialled pod, port 80.
    pub authority: Option<(Option<ObjectReference>, String)>,
    /// HTTP method.
    pub method: String,
    /// What certificate it shows.
    pub certificate: ShownCertificate,
    /// Who signed it.
    pub signed_by: Signer,
    /// For the answer.
    pub timeout: Duration,
}

/// What certificate a hostile client shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownCertificate {
    /// Its own pod's identity.
    Own,
    /// This identity.
    Of(Identity),
    /// None.
    None,
}

/// Open-loop traffic.
#[derive(Clone, Debug)]
pub struct PlannedLoad {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub source: Source,
    /// Who asks, in turns.
    pub from: Vec<ObjectReference>,
    /// What is asked, in turns.
    pub to: Vec<Destination>,
    /// How often.
    pub rate: Rate,
    /// From when to when.
    pub during: Span,
    /// How due times are spread.
    pub arrivals: Arrivals,
    /// In flight at most.
    pub concurrency: u32,
    /// Whether connections are kept.
    pub keep_alive: bool,
    /// Method.
    pub method: Arc<str>,
    /// Lower case.
    pub headers: Headers,
    /// Body.
    pub body: Bytes,
    /// For each, from when it begins.
    pub timeout: Duration,
    /// What must come of it.
    pub expect: Option<Expectation>,
    /// What it does, in words.
    pub summary: String,
}

/// What must come of a step, names looked up.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// As written.
    pub form: Expect,
    /// `Some(None)`: plaintext.
    pub identity: Option<Option<Identity>>,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// Who answered.
    pub backend: Option<ObjectReference>,
    /// How many answers came from whose pods.
    pub backends: Vec<(ObjectReference, Bound<Amount>)>,
    /// Text the answer contains.
    pub contains: Vec<String>,
    /// `grpc-status`: any of these, if there are any.
    pub grpc_status: Vec<u32>,
    /// Whose pods are to receive what `form.received` says, in the same order.
    pub received: Vec<ObjectReference>,
    /// Weights of `form.split`.
    pub split: Vec<(ObjectReference, u32)>,
}
