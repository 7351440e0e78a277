//! [`Requests`]: the families of HTTP requests a waypoint carried.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::series::{Facts, write_value};
use super::{head, reporter_label};
use crate::route::{MetricOverride, TagOverride};
use crate::state::Workload;
use crate::telemetry::{ConnectionSecurity, RequestInfo, RequestProtocol};

/// Upper bounds of histogram buckets: milliseconds and bytes alike, as upstream has them.
const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

const COUNTERS: [(&str, &str); 3] = [
    ("istio_requests_total", "Total number of requests."),
    ("istio_request_messages_total", "Total number of gRPC messages from clients."),
    ("istio_response_messages_total", "Total number of gRPC messages to clients."),
];

const HISTOGRAMS: [(&str, &str); 3] = [
    ("istio_request_duration_milliseconds", "Duration of requests in milliseconds."),
    ("istio_request_bytes", "Size of request bodies in bytes."),
    ("istio_response_bytes", "Size of response bodies in bytes."),
];

/// Counts of requests by their labels. Bounded: label combinations beyond the bound are not counted.
#[derive(Default)]
pub(super) struct Requests {
    counters: [BTreeMap<String, u64>; 3],
    histograms: [BTreeMap<String, Histogram>; 3],
    pub(super) left_out: u64,
}

#[derive(Clone, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        for (bucket, bound) in self.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(value <= bound);
        }
    }
}

impl Requests {
    pub(super) fn count(&mut self, request: &RequestInfo, series_max: usize) {
        let grpc = request.protocol == RequestProtocol::Grpc;
        let messages = if grpc { [request.request_messages, request.response_messages] } else { [0, 0] };
        let plain = request.telemetry.metrics.is_empty().then(|| labels(request, &[]));
        let Requests { counters, histograms, left_out } = self;
        let labels_of = |name: &str| match &plain {
            Some(labels) => Some(labels.clone()),
            None => overridden(request, name),
        };
        for (place, added) in [1, messages[0], messages[1]].into_iter().enumerate() {
            if let Some(labels) = labels_of(COUNTERS[place].0).filter(|_| added > 0) {
                match slot(&mut counters[place], labels, series_max) {
                    Some(count) => *count += added,
                    None => *left_out += 1,
                }
            }
        }
        let millis = request.duration.as_nanos() as f64 / 1e6;
        for (place, value) in [millis, request.received as f64, request.sent as f64].into_iter().enumerate() {
            if let Some(labels) = labels_of(HISTOGRAMS[place].0) {
                match slot(&mut histograms[place], labels, series_max) {
                    Some(histogram) => histogram.add(value),
                    None => *left_out += 1,
                }
            }
        }
    }

    pub(super) fn series(&self) -> usize {
        self.counters.iter().map(BTreeMap::len).sum::<usize>()
            + self.histograms.iter().map(BTreeMap::len).sum::<usize>()
    }

    pub(super) fn write(&self, out: &mut String) {
        for ((name, help), series) in COUNTERS.iter().zip(&self.counters) {
            if series.is_empty() {
                continue;
            }
            head(out, name.trim_end_matches("_total"), "counter", help);
            for (labels, count) in series {
                let _ = writeln!(out, "{name}{{{labels}}} {count}");
            }
        }
        for ((name, help), series) in HISTOGRAMS.iter().zip(&self.histograms) {
            if series.is_empty() {
                continue;
            }
            head(out, name, "histogram", help);
            for (labels, histogram) in series {
                for (bucket, bound) in histogram.buckets.iter().zip(BOUNDS) {
                    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {bucket}");
                }
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", histogram.count);
                let _ = writeln!(out, "{name}_sum{{{labels}}} {}", histogram.sum);
                let _ = writeln!(out, "{name}_count{{{labels}}} {}", histogram.count);
            }
        }
    }
}

fn slot<T: Default>(series: &mut BTreeMap<String, T>, labels: String, max: usize) -> Option<&mut T> {
    if series.len() >= max && !series.contains_key(&labels) {
        return None;
    }
    Some(series.entry(labels).or_default())
}

/// Labels with the overrides for this metric and for all; `None` if it is switched off.
fn overridden(request: &RequestInfo, name: &str) -> Option<String> {
    let metrics = &request.telemetry.metrics;
    let overrides: Vec<&MetricOverride> = [metrics.get(name), metrics.get("*")].into_iter().flatten().collect();
    match overrides.first() {
        Some(first) if first.disabled => None,
        _ => Some(labels(request, &overrides)),
    }
}

fn labels(request: &RequestInfo, overrides: &[&MetricOverride]) -> String {
    let mut out = String::with_capacity(1024);
    let mut label = |name: &str, value: &str| {
        let changed = overrides.iter().find_map(|one| one.tags.get(name));
        let value = match changed {
            Some(TagOverride::Remove) => return,
            Some(TagOverride::Value(value)) => value,
            None if value.is_empty() => "unknown",
            None => value,
        };
        if !out.is_empty() {
            out.push(',');
        }
        let _ = write!(out, "{name}=\"");
        write_value(&mut out, value);
        out.push('"');
    };
    let connection = &request.connection;
    let encrypted = connection.security == ConnectionSecurity::MutualTls;
    let client = connection.source_identity.as_ref().filter(|_| encrypted).map(ToString::to_string);
    let endpoint = request.endpoint().or(connection.destination_workload.as_ref());
    let source = Facts::of(connection.source_workload.as_deref());
    let destination = Facts::of(endpoint.map(|workload| &**workload));
    let principal = |workload: &Workload| workload.identity().to_string();
    let service = request.backend_service.as_deref();
    let service_key = service.map(|service| &service.key).or(connection.destination_service.as_ref());

    label("reporter", reporter_label(connection.reporter));
    label("source_workload", source.workload);
    label("source_workload_namespace", source.namespace);
    label("source_principal", client.as_deref().unwrap_or(""));
    label("source_app", source.app);
    label("source_version", source.canonical_revision);
    label("source_canonical_service", source.canonical_name);
    label("source_canonical_revision", source.canonical_revision);
    label("source_cluster", source.cluster);
    label("destination_workload", destination.workload);
    label("destination_workload_namespace", destination.namespace);
    label("destination_principal", &endpoint.map(|workload| principal(workload)).unwrap_or_default());
    label("destination_app", destination.app);
    label("destination_version", destination.canonical_revision);
    label("destination_service", service_key.map_or("", |key| &*key.hostname));
    let service_name = service.map(|service| &*service.name).or(connection.destination_service_name.as_deref());
    label("destination_service_name", service_name.unwrap_or(""));
    label("destination_service_namespace", service_key.map_or("", |key| &*key.namespace));
    label("destination_canonical_service", destination.canonical_name);
    label("destination_canonical_revision", destination.canonical_revision);
    label("destination_cluster", destination.cluster);
    label("request_protocol", &request.protocol.to_string());
    label("response_code", &request.status.to_string());
    if request.protocol == RequestProtocol::Grpc {
        label("grpc_response_status", &request.grpc_status.map(|status| status.to_string()).unwrap_or_default());
    }
    label("response_flags", &request.flags_text());
    label("connection_security_policy", if encrypted { "mutual_tls" } else { "unknown" });
    for (name, tag) in overrides.iter().flat_map(|one| &one.tags) {
        if let TagOverride::Value(value) = tag
            && !out.contains(&format!("{name}=\""))
        {
            let _ = write!(out, ",{name}=\"");
            write_value(&mut out, value);
            out.push('"');
        }
    }
    out
}
