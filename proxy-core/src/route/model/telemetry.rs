//! [`TelemetrySettings`]: what a waypoint tells about the requests it carries.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::request::Share;

/// What a waypoint tells about the requests it carries (Telemetry API and mesh configuration, already merged).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// The access log.
    pub access_log: AccessLogging,
    /// Overrides of metrics by their Prometheus name; `*` is all.
    pub metrics: BTreeMap<Arc<str>, MetricOverride>,
    /// Spans.
    pub tracing: Tracing,
}

/// Access log on, every metric as upstream has it, 1 % of requests traced with W3C headers.
impl Default for TelemetrySettings {
    fn default() -> Self {
        TelemetrySettings {
            access_log: AccessLogging::Text,
            metrics: BTreeMap::new(),
            tracing: Tracing { sampling: Share::percent(1), formats: vec![TraceFormat::W3c], tags: BTreeMap::new() },
        }
    }
}

/// In which form the access log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogging {
    /// Not at all.
    Off,
    /// Upstream's default line.
    Text,
    /// Upstream's JSON keys.
    Json,
}

/// What is different about a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricOverride {
    /// It is not kept.
    pub disabled: bool,
    /// By label.
    pub tags: BTreeMap<Arc<str>, TagOverride>,
}

/// What is different about a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagOverride {
    /// It is left out.
    Remove,
    /// It has this value.
    Value(Arc<str>),
}

/// Which requests become spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// How many requests without a decision of their own.
    pub sampling: Share,
    /// Headers read and written, in order.
    pub formats: Vec<TraceFormat>,
    /// Fixed tags.
    pub tags: BTreeMap<Arc<str>, Arc<str>>,
}

/// Headers that carry a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    /// `traceparent`, `tracestate`.
    W3c,
    /// `x-b3-*` or `b3`.
    B3,
}
