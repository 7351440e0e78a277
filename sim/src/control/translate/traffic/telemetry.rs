//! Telemetry objects and the mesh configuration's logging, as the model has them.

use std::sync::Arc;

use proxy_core::request::Share;
use proxy_core::route::{AccessLogging, MetricOverride, TagOverride, TelemetrySettings};

use super::Context;
use super::catalogue::Listed;
use super::targets::{names_service, targets};
use crate::cluster::is_literal;
use crate::cluster::istio::Telemetry;
use crate::cluster::istio::mesh_options::AccessLogEncoding;
use crate::cluster::istio::request_authentication::{MetricsSpec, TagOperation};
use crate::control::translate::binding::Waypoint;

impl Context<'_> {
    /// What holds for a waypoint: the mesh configuration, over it the root namespace's Telemetry, the waypoint's
    /// namespace's, and those that name the Gateway or its class.
    pub(super) fn waypoint_telemetry(&self, waypoint: &Waypoint<'_>) -> TelemetrySettings {
        let mut settings = self.mesh_telemetry();
        let root = &*self.cluster.config().root_namespace;
        for namespace in [root, &*waypoint.key.namespace] {
            for written in self.cluster.telemetries().filter(|written| written.meta.namespace() == namespace) {
                let is_wide = written.spec.selector.is_none()
                    && targets(written.spec.target_ref.as_ref(), &written.spec.target_refs).next().is_none();
                if is_wide {
                    add(written, &mut settings);
                }
            }
            if root == &*waypoint.key.namespace {
                break;
            }
        }
        for written in self.cluster.telemetries() {
            let mut named = targets(written.spec.target_ref.as_ref(), &written.spec.target_refs);
            if named.any(|target| self.names_waypoint(target, &written.meta, waypoint)) {
                add(written, &mut settings);
            }
        }
        settings
    }

    /// What a service's own Telemetry makes of its waypoint's; `None` if it has none.
    pub(super) fn service_telemetry(&self, waypoint: &Waypoint<'_>, listed: &Listed<'_>) -> Option<TelemetrySettings> {
        let names = |written: &&Telemetry| {
            targets(written.spec.target_ref.as_ref(), &written.spec.target_refs)
                .any(|target| names_service(target, &written.meta, listed))
        };
        let mut own = self.cluster.telemetries().filter(names).peekable();
        own.peek()?;
        let mut settings = self.waypoint_telemetry(waypoint);
        own.for_each(|written| add(written, &mut settings));
        Some(settings)
    }

    fn mesh_telemetry(&self) -> TelemetrySettings {
        let mut settings = TelemetrySettings::default();
        let Some(options) = self.cluster.mesh_options() else { return settings };
        if options.spec.access_log_file.as_deref().is_some_and(str::is_empty) {
            settings.access_log = AccessLogging::Off;
        } else if options.spec.access_log_encoding == Some(AccessLogEncoding::Json) {
            settings.access_log = AccessLogging::Json;
        }
        if options.spec.enable_tracing == Some(false) {
            settings.tracing.sampling = Share::NONE;
        }
        settings
    }
}

/// Puts one object over what holds so far.
fn add(written: &Telemetry, settings: &mut TelemetrySettings) {
    let is_server = |mode: Option<&Arc<str>>| mode.is_none_or(|mode| **mode != *"CLIENT");
    for logging in &written.spec.access_logging {
        if !is_server(logging.r#match.as_ref().and_then(|matched| matched.mode.as_ref())) {
            continue;
        }
        match (logging.disabled, settings.access_log) {
            (Some(true), _) => settings.access_log = AccessLogging::Off,
            (_, AccessLogging::Off) => settings.access_log = AccessLogging::Text,
            _ => {}
        }
    }
    for tracing in &written.spec.tracing {
        if let Some(share) = tracing.random_sampling_percentage {
            settings.tracing.sampling = Share::from_percentage(share);
        }
        if tracing.disable_span_reporting == Some(true) {
            settings.tracing.sampling = Share::NONE;
        }
        for (name, tag) in &tracing.custom_tags {
            if let Some(literal) = &tag.literal {
                settings.tracing.tags.insert(name.clone(), literal.value.clone());
            }
        }
    }
    for metrics in &written.spec.metrics {
        add_metrics(metrics, settings);
    }
}

fn add_metrics(written: &MetricsSpec, settings: &mut TelemetrySettings) {
    for changed in &written.overrides {
        let matched = changed.r#match.as_ref();
        if matched.and_then(|matched| matched.mode.as_deref()) == Some("CLIENT") {
            continue;
        }
        let metric = matched.and_then(|matched| matched.metric.as_deref().or(matched.custom_metric.as_deref()));
        let into: &mut MetricOverride = settings.metrics.entry(prometheus_name(metric).into()).or_default();
        into.disabled = changed.disabled.unwrap_or(into.disabled);
        for (label, tag) in &changed.tag_overrides {
            let value = tag.value.as_deref().filter(|value| is_literal(value));
            let tag = match (tag.operation.unwrap_or_default(), value) {
                (TagOperation::Remove, _) => TagOverride::Remove,
                (TagOperation::Upsert, Some(value)) => TagOverride::Value(value[1..value.len() - 1].into()),
                (TagOperation::Upsert, None) => continue,
            };
            into.tags.insert(label.clone(), tag);
        }
    }
}

/// The name a metric is scraped under.
fn prometheus_name(metric: Option<&str>) -> &str {
    match metric {
        None | Some("ALL_METRICS") => "*",
        Some("REQUEST_COUNT") => "istio_requests_total",
        Some("REQUEST_DURATION") => "istio_request_duration_milliseconds",
        Some("REQUEST_SIZE") => "istio_request_bytes",
        Some("RESPONSE_SIZE") => "istio_response_bytes",
        Some("TCP_OPENED_CONNECTIONS") => "istio_tcp_connections_opened_total",
        Some("TCP_CLOSED_CONNECTIONS") => "istio_tcp_connections_closed_total",
        Some("TCP_SENT_BYTES") => "istio_tcp_sent_bytes_total",
        Some("TCP_RECEIVED_BYTES") => "istio_tcp_received_bytes_total",
        Some("GRPC_REQUEST_MESSAGES") => "istio_request_messages_total",
        Some("GRPC_RESPONSE_MESSAGES") => "istio_response_messages_total",
        Some(other) => other,
    }
}
