//! What a step does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::call::{GrpcSection, WebSocketSection};
use super::token::TokenSection;
use super::values::Texts;
use super::{default_method, default_timeout};
use crate::cluster::yaml::Spanned;
use crate::scenario::quantity::{Size, Time};

/// HTTP requests from one pod, one after another.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestStep {
    /// Who asks: `deploy/name.namespace` and the like (its first ready pod), or `pod/name.namespace`.
    pub from: Spanned<String>,
    /// What is asked: `http://name.namespace:port/path`. `{deploy/name.namespace}` as host stands for the IP of its first
    /// ready pod.
    pub to: Spanned<String>,
    /// HTTP method.
    #[serde(default = "default_method")]
    pub method: String,
    /// Further request headers, each with one value or several; `host` replaces the target's.
    #[serde(default)]
    pub headers: BTreeMap<String, Texts>,
    /// Query parameters, encoded and added to the target's path.
    #[serde(default)]
    pub query: BTreeMap<String, Texts>,
    /// A gRPC call instead of a plain request.
    pub grpc: Option<Spanned<GrpcSection>>,
    /// A WebSocket instead of a plain request.
    pub websocket: Option<Spanned<WebSocketSection>>,
    /// A token to send with it.
    pub token: Option<Spanned<TokenSection>>,
    /// Request body.
    pub body: Option<String>,
    /// Size of a made-up request body.
    pub body_size: Option<Size>,
    /// How many requests.
    #[serde(default = "one")]
    pub count: u32,
    /// How many of them are under way at a time; default one after another.
    #[serde(default = "one")]
    pub concurrency: u32,
    /// Between the end of one and the start of the next.
    #[serde(default)]
    pub interval: Time,
    /// Tells which route, rule and policy decided at each hop.
    #[serde(default)]
    pub explain: bool,
    /// Whether they share a connection as far as it goes; default each has its own. Over HTTP/1.1 those under way at the
    /// same time need one each, over HTTP/2 all share one.
    #[serde(default)]
    pub keep_alive: bool,
    /// Protocol version.
    #[serde(default)]
    pub http: HttpVersion,
    /// For each, connecting included.
    #[serde(default = "default_timeout")]
    pub timeout: Time,
}

fn one() -> u32 {
    1
}

/// What HTTP clients speak in plaintext.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "http/1.1")]
    Http1,
    /// HTTP/2 with prior knowledge.
    #[serde(rename = "h2c")]
    Http2,
}

/// A raw TCP stream to an echo server. Its first line names the flow; what is sent must come back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectStep {
    /// Who connects: as in `request`.
    pub from: Spanned<String>,
    /// Where to: `tcp://name.namespace:port`; hosts as in `request`.
    pub to: Spanned<String>,
    /// Bytes to send after the first line.
    #[serde(default)]
    pub send: Size,
    /// The server speaks first: nothing is sent before a line of it was read.
    #[serde(default)]
    pub server_first: bool,
    /// Finish our direction once all is sent, then read to the end.
    #[serde(default)]
    pub half_close: bool,
    /// How to read what comes back.
    #[serde(default)]
    pub read: ReadWay,
    /// Keep it open.
    #[serde(default)]
    pub hold: bool,
    /// A name for a stream held open, for `exchange`, `close` and `check`.
    #[serde(rename = "as")]
    pub name: Option<Spanned<String>>,
    /// For the whole exchange; when held, for the first line to come back.
    #[serde(default = "default_timeout")]
    pub timeout: Time,
}

/// How a client reads: `all`, `nothing` after the first line, or so many bytes a second, like `64KiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadWay {
    /// As fast as it comes.
    #[default]
    All,
    /// The first line, then nothing.
    Nothing,
    /// So many bytes a second.
    Rate(Size),
}

/// Sends more on a held stream, and waits for it to come back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeStep {
    /// The stream's name.
    pub on: Spanned<String>,
    /// Bytes to send.
    #[serde(default = "a_little")]
    pub send: Size,
    /// For all of it to come back.
    #[serde(default = "default_timeout")]
    pub timeout: Time,
}

fn a_little() -> Size {
    Size(64)
}

/// Closes a held stream.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseStep {
    /// The stream's name.
    pub connection: Spanned<String>,
    /// How.
    #[serde(default)]
    pub how: ClosingWay,
}

/// How a held stream is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClosingWay {
    /// Finish our direction, read to the end.
    #[default]
    Finish,
    /// Reset it.
    Reset,
}

/// A hostile or broken HBONE client: real TLS and HTTP/2 to port 15008, past every proxy of its own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HboneStep {
    /// Where it runs: as in `request`. A pod outside the mesh, or its own proxy will not let it through.
    pub from: Spanned<String>,
    /// Whose port 15008: `deploy/name.namespace` and the like (its first ready pod).
    pub to: Spanned<String>,
    /// What is asked for: `address:port`; `{deploy/name.namespace}` stands for the IP of its first ready pod. Default:
    /// the dialled pod, port 80.
    pub authority: Option<String>,
    /// HTTP method; default CONNECT.
    pub method: Option<String>,
    /// Identity in the certificate it shows, `spiffe://…`; `none` shows no certificate. Default: its own pod's.
    pub certificate: Option<String>,
    /// Signed by the mesh's authority (`mesh`) or one of its own making (`foreign`).
    #[serde(default)]
    pub signed_by: Signer,
    /// For the answer.
    #[serde(default = "default_timeout")]
    pub timeout: Time,
}

/// Who signed a hostile client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signer {
    /// The mesh's own authority.
    #[default]
    Mesh,
    /// Another authority.
    Foreign,
}

/// `kubectl label --overwrite`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelStep {
    /// Which object: `namespace/shop`, `pod/name.namespace`, `service/name.namespace`, …
    pub object: Spanned<String>,
    /// Labels to set.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Labels to remove.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// `kubectl scale`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleStep {
    /// Which: `deploy/name.namespace`.
    pub object: Spanned<String>,
    /// To how many pods.
    pub replicas: u32,
}
