//! Settings that are not a mesh's description but decide how hard its life is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::quantity::{Size, Time};

/// Knobs of proxies, control plane and engine. Plain data, so that they can be drawn and written down.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TuningSection {
    /// Order of tasks that are ready at the same instant; default `fifo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_order: Option<OrderWay>,
    /// Streams that one tunnel carries before another is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams_per_tunnel: Option<u32>,
    /// HTTP/2 window of each stream and of each tunnel; at least 1KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Size>,
    /// How long a tunnel's connection may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Time>,
    /// The longest a push takes from the control plane to a proxy; modelled delivery only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_delay: Option<Time>,
    /// For how long changes are held back until none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce: Option<Time>,
    /// For how long certificates are good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_lifetime: Option<Time>,
}

/// Order of tasks that are ready at the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderWay {
    /// First come, first served.
    Fifo,
    /// Drawn from the seed.
    Drawn,
}
