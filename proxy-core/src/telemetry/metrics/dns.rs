//! [`DnsCounts`]: the families of the DNS proxy.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::head;
use super::series::write_value;
use crate::telemetry::{DnsOutcome, DnsProtocol, DnsRequest};

/// Upper bounds of the histogram's buckets, in nanoseconds and as their label.
const BUCKETS: [(u64, &str); 6] = [
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (10_000_000, "0.01"),
    (100_000_000, "0.1"),
    (1_000_000_000, "1.0"),
    (5_000_000_000, "5.0"),
];

/// Requests by label combination; at most as many as asked for with each count.
#[derive(Default)]
pub(super) struct DnsCounts {
    rows: BTreeMap<Labels, Row>,
    /// Counts so far: how old a row is.
    touches: u64,
}

/// A family's name, its help, and what it shows of a row.
type Counter = (&'static str, &'static str, fn(&Row) -> u64);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    kind: &'static str,
    protocol: DnsProtocol,
    canonical_service: Arc<str>,
    canonical_revision: Arc<str>,
}

#[derive(Clone, Default)]
struct Row {
    requests: u64,
    forwarded: u64,
    failed: u64,
    /// Of forwarded requests: by bucket, not cumulative; those over the last bound are in none.
    buckets: [u64; BUCKETS.len()],
    took: Duration,
    touched: u64,
}

impl DnsCounts {
    pub(super) fn count(&mut self, request: &DnsRequest, rows_max: usize) {
        let client = request.client.as_ref();
        let labels = Labels {
            kind: request.kind_name(),
            protocol: request.protocol,
            canonical_service: client.map(|client| client.canonical_name.clone()).unwrap_or_default(),
            canonical_revision: client.map(|client| client.canonical_revision.clone()).unwrap_or_default(),
        };
        if self.rows.len() >= rows_max && !self.rows.contains_key(&labels) {
            let oldest = self.rows.iter().min_by_key(|(_, row)| row.touched).map(|(labels, _)| labels.clone());
            oldest.map(|oldest| self.rows.remove(&oldest));
        }
        self.touches += 1;
        let row = self.rows.entry(labels).or_default();
        row.touched = self.touches;
        row.requests += 1;
        if let DnsOutcome::Forwarded { took, answered } = request.outcome {
            row.forwarded += 1;
            row.failed += u64::from(!answered);
            row.took += took;
            if let Some(bucket) = BUCKETS.iter().position(|(bound, _)| took.as_nanos() <= u128::from(*bound)) {
                row.buckets[bucket] += 1;
            }
        }
    }

    /// The families that have something to show.
    pub(super) fn write(&self, out: &mut String) {
        let counters: [Counter; 3] = [
            ("istio_dns_requests", "Total number of DNS requests (unstable).", |row| row.requests),
            ("istio_dns_upstream_requests", "Total number of DNS requests forwarded to upstream (unstable).", |row| {
                row.forwarded
            }),
            (
                "istio_dns_upstream_failures",
                "Total number of DNS requests that upstream did not answer (unstable).",
                |row| row.failed,
            ),
        ];
        for (name, help, value) in counters {
            let mut rows = self.rows.iter().map(|(labels, row)| (labels, value(row))).filter(|(_, value)| *value > 0);
            let Some(first) = rows.next() else { continue };
            head(out, name, "counter", help);
            for (labels, value) in std::iter::once(first).chain(rows) {
                let _ = write!(out, "{name}_total{{");
                labels.write(out);
                let _ = writeln!(out, "}} {value}");
            }
        }
        let mut rows = self.rows.iter().filter(|(_, row)| row.forwarded > 0).peekable();
        if rows.peek().is_none() {
            return;
        }
        let name = "istio_dns_upstream_request_duration_seconds";
        head(out, name, "histogram", "Time upstream took to answer, in seconds (unstable).");
        for (labels, row) in rows {
            let mut text = String::new();
            labels.write(&mut text);
            let _ = writeln!(out, "{name}_sum{{{text}}} {}", row.took.as_secs_f64());
            let _ = writeln!(out, "{name}_count{{{text}}} {}", row.forwarded);
            let mut up_to = 0;
            for ((_, bound), count) in BUCKETS.iter().zip(row.buckets) {
                up_to += count;
                let _ = writeln!(out, "{name}_bucket{{{text},le=\"{bound}\"}} {up_to}");
            }
            let _ = writeln!(out, "{name}_bucket{{{text},le=\"+Inf\"}} {}", row.forwarded);
        }
    }
}

impl Labels {
    fn write(&self, out: &mut String) {
        let known = |value: &str| if value.is_empty() { "unknown".to_owned() } else { value.to_owned() };
        let _ = write!(out, "request_query_type=\"{}\",request_protocol=\"{}\"", self.kind, self.protocol.name());
        for (name, value) in [
            ("source_canonical_service", known(&self.canonical_service)),
            ("source_canonical_revision", known(&self.canonical_revision)),
        ] {
            let _ = write!(out, ",{name}=\"");
            write_value(out, &value);
            out.push('"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Instant;

    fn request(kind: u16, outcome: DnsOutcome) -> DnsRequest {
        let (at, protocol) = (Instant::START, DnsProtocol::Udp);
        DnsRequest { at, client: None, kind, protocol, name: "a.".into(), outcome }
    }

    #[test]
    fn requests_are_counted_by_what_became_of_them() {
        let mut counts = DnsCounts::default();
        let took = Duration::from_millis(2);
        counts.count(&request(1, DnsOutcome::Known { addresses: 1 }), 10);
        counts.count(&request(28, DnsOutcome::Forwarded { took, answered: true }), 10);
        counts.count(&request(28, DnsOutcome::Forwarded { took: took * 10_000, answered: false }), 10);
        let mut text = String::new();
        counts.write(&mut text);
        let labels = |kind: &str| {
            format!(
                "request_query_type=\"{kind}\",request_protocol=\"udp\",source_canonical_service=\"unknown\",source_canonical_revision=\"unknown\""
            )
        };
        let (a, aaaa) = (labels("a"), labels("aaaa"));
        for line in [
            format!("istio_dns_requests_total{{{a}}} 1"),
            format!("istio_dns_requests_total{{{aaaa}}} 2"),
            format!("istio_dns_upstream_requests_total{{{aaaa}}} 2"),
            format!("istio_dns_upstream_failures_total{{{aaaa}}} 1"),
            format!("istio_dns_upstream_request_duration_seconds_bucket{{{aaaa},le=\"0.001\"}} 0"),
            format!("istio_dns_upstream_request_duration_seconds_bucket{{{aaaa},le=\"0.01\"}} 1"),
            format!("istio_dns_upstream_request_duration_seconds_bucket{{{aaaa},le=\"+Inf\"}} 2"),
        ] {
            assert!(text.contains(&format!("{line}\n")), "no {line} in {text}");
        }
        assert!(!text.contains(&format!("upstream_requests_total{{{a}}}")));
    }

    #[test]
    fn rows_are_bounded() {
        let mut counts = DnsCounts::default();
        for kind in [1, 2, 5, 6, 12, 15, 16, 28] {
            counts.count(&request(kind, DnsOutcome::UnknownClient), 4);
        }
        assert_eq!(counts.rows.len(), 4);
        assert!(counts.rows.keys().any(|labels| labels.kind == "aaaa"));
    }
}
