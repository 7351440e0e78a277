//! What requests say besides asking once: gRPC calls, WebSockets.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::Texts;

/// A gRPC call over HTTP/2. Every server echoes every method, message by message.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcSection {
    /// Service, e.g. `shop.Reviews`.
    #[serde(default = "service")]
    pub service: String,
    /// Method.
    #[serde(default = "method")]
    pub method: String,
    /// Request metadata, besides `headers`.
    #[serde(default)]
    pub metadata: BTreeMap<String, Texts>,
    /// The text of each message.
    #[serde(default)]
    pub message: String,
    /// How many messages are sent, each when the answer to the one before has come; default one, a unary call.
    #[serde(default = "one")]
    pub stream: u32,
}

fn service() -> String {
    "proto.EchoTestService".to_owned()
}

fn method() -> String {
    "Echo".to_owned()
}

fn one() -> u32 {
    1
}

/// A WebSocket: the handshake, messages that come back, the closing handshake.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSocketSection {
    /// What is sent: texts, or how many made-up ones. Each is sent when the one before has come back.
    pub messages: MessagesForm,
}

/// Texts, or how many made-up ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagesForm(pub Vec<String>);
