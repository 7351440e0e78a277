//! What workloads do besides echoing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::forms::{DelayForm, OneOrMany};
use super::values::Texts;
use crate::cluster::yaml::Spanned;
use crate::scenario::quantity::{Share, Size};

/// How a workload answers, where it shall not simply echo.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppSection {
    /// Whose pods: `deploy/name.namespace` or another owner of pods, or `pod/name.namespace`.
    pub workload: Spanned<String>,
    /// Only this container port; default all of them.
    pub port: Option<u16>,
    /// HTTP status of every answer; default 200.
    pub status: Option<u16>,
    /// How long the server thinks before it answers: `5ms`, or drawn anew from `1ms..10ms`.
    pub delay: Option<DelayForm>,
    /// Further headers of every HTTP answer.
    #[serde(default)]
    pub headers: BTreeMap<String, Texts>,
    /// What follows the body of every HTTP answer or gRPC call.
    #[serde(default)]
    pub trailers: BTreeMap<String, Texts>,
    /// The answer is padded to at least this size. HTTP only.
    pub body: Option<Size>,
    /// The body of every HTTP answer, instead of what was received.
    pub text: Option<String>,
    /// Bytes a second of the answer's body: `64KiB`; default all at once. HTTP only.
    pub body_rate: Option<Size>,
    /// The first tries of each request fail, the later ones do not.
    pub fail: Option<FailSection>,
    /// A share of all requests fails.
    pub errors: Option<ErrorsSection>,
    /// How gRPC calls end: a status such as `UNAVAILABLE`, or a map with `status` and `message`.
    pub grpc: Option<Spanned<GrpcEndForm>>,
    /// Answers every request with the public parts of these keys: a JWKS server.
    pub jwks: Option<Spanned<OneOrMany<String>>>,
    /// What it is; default `echo`.
    #[serde(default)]
    pub role: RoleWay,
    /// What becomes of a request; default `echo`.
    #[serde(default)]
    pub answer: AnswerWay,
    /// Bytes a second the server reads from raw streams: `64KiB`; default as fast as they come.
    pub read_rate: Option<Size>,
}

/// What becomes of a request, or of a raw stream once its first bytes came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerWay {
    /// It is echoed.
    #[default]
    Echo,
    /// It is echoed, then the server closes: HTTP after each answer, raw after the first bytes.
    EchoThenClose,
    /// Raw: the first bytes are echoed, then the server finishes its direction and reads on. HTTP: as `echo_then_close`.
    HalfClose,
    /// It is read and never answered.
    Never,
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset without an answer.
    Reset,
}

/// What an application is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleWay {
    /// It echoes what it receives.
    #[default]
    Echo,
    /// It decides for proxies whether requests may pass, over HTTP and gRPC: those with `x-ext-authz: allow` may.
    ExtAuthz,
    /// Raw TCP: it says a line first, then echoes. Clients need `server_first: true`.
    SpeaksFirst,
}

/// The first tries of each request fail, the later ones do not.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailSection {
    /// So many tries.
    pub tries: u32,
    /// What counts as the same request; default `request`.
    #[serde(default)]
    pub counted_by: CountWay,
    /// How they fail; default status 503.
    #[serde(default)]
    pub with: FailureForm,
}

/// What counts as the same request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountWay {
    /// A request of a client, and the tries proxies make of it.
    #[default]
    Request,
    /// All requests for a path, its query aside.
    Path,
}

/// A share of all requests fails, each drawn anew.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorsSection {
    /// How many: `10%`.
    pub share: Share,
    /// How they fail; default status 503.
    #[serde(default)]
    pub with: FailureForm,
}

/// How a request fails: an HTTP status, a gRPC status such as `UNAVAILABLE`, `reset` or `close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureForm {
    /// With this HTTP status.
    Status(u16),
    /// With this gRPC status.
    Grpc(u32),
    /// Its connection or HTTP/2 stream is reset.
    Reset,
    /// Its connection is closed without an answer; an HTTP/2 stream is refused.
    Close,
}

impl Default for FailureForm {
    fn default() -> Self {
        FailureForm::Status(503)
    }
}

/// How gRPC calls end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcEndForm {
    /// Its number.
    pub status: u32,
    /// In words.
    pub message: String,
}
