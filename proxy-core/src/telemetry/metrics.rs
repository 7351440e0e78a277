//! [`Metrics`]: Prometheus families under upstream's names, derived from events.

mod discovery;
mod dns;
mod requests;
mod series;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use parking_lot::Mutex;

use super::{ConnectionInfo, Event, Reporter, ResponseFlags, Sink};
use requests::Requests;
use series::{Row, Series, write_value};

/// The `Content-Type` of [`Metrics::exposition`] for a client that asked for OpenMetrics.
pub const OPENMETRICS_CONTENT_TYPE: &str = "application/openmetrics-text;charset=utf-8;version=1.0.0";
/// The `Content-Type` of [`Metrics::exposition`] for everybody else.
pub const TEXT_CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// Rows of traffic series kept unless told otherwise.
pub const SERIES_DEFAULT_MAX: usize = 8192;

/// Counts what events tell. Bounded: beyond `series_max` label combinations the ones untouched for longest are
/// forgotten, which a scraper sees as a counter that started over.
pub struct Metrics {
    tag: String,
    series_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    rows: BTreeMap<Series, Row>,
    requests: Requests,
    sockets: BTreeMap<Reporter, i64>,
    dns: dns::DnsCounts,
    discovery: discovery::DiscoveryCounts,
    touches: u64,
    forgotten: u64,
}

impl Metrics {
    /// Empty. `tag` is the version shown by `istio_build`.
    pub fn new(tag: impl Into<String>) -> Self {
        Metrics::with_series_max(tag, SERIES_DEFAULT_MAX)
    }

    /// Empty, keeping at most `series_max` label combinations (at least 1).
    pub fn with_series_max(tag: impl Into<String>, series_max: usize) -> Self {
        Metrics { tag: tag.into(), series_max: series_max.max(1), counts: Mutex::default() }
    }

    /// Label combinations kept now.
    pub fn series_count(&self) -> usize {
        let counts = self.counts.lock();
        counts.rows.len() + counts.requests.series()
    }

    /// Label combinations forgotten because of the bound.
    pub fn series_forgotten(&self) -> u64 {
        let counts = self.counts.lock();
        counts.forgotten + counts.requests.left_out
    }

    /// The text exposition: families in a fixed order, series in the order of their labels, empty families left out.
    pub fn exposition(&self) -> String {
        let counts = self.counts.lock();
        let mut out = String::new();
        for family in FAMILIES {
            let mut rows =
                counts.rows.iter().filter_map(|(series, row)| Some((series, (family.value)(row)?))).peekable();
            if rows.peek().is_none() {
                continue;
            }
            head(&mut out, family.name, "counter", family.help);
            for (series, value) in rows {
                let _ = write!(out, "{}_total{{", family.name);
                series.write_labels(&mut out);
                let _ = writeln!(out, "}} {value}");
            }
        }
        counts.requests.write(&mut out);
        if !counts.sockets.is_empty() {
            let name = "istio_tcp_sockets_open";
            head(&mut out, name, "gauge", "The current number of open TCP sockets (unstable).");
            for (reporter, open) in &counts.sockets {
                let _ = writeln!(out, "{name}{{reporter=\"{}\"}} {open}", reporter_label(*reporter));
            }
        }
        counts.dns.write(&mut out);
        counts.discovery.write(&mut out);
        head(&mut out, "istio_build", "gauge", "Istio component build info.");
        out.push_str("istio_build{component=\"ztunnel\",tag=\"");
        write_value(&mut out, &self.tag);
        out.push_str("\"} 1\n# EOF\n");
        out
    }
}

struct Family {
    name: &'static str,
    help: &'static str,
    value: fn(&Row) -> Option<u64>,
}

const FAMILIES: [Family; 5] = [
    Family {
        name: "istio_tcp_connections_opened",
        help: "The total number of TCP connections opened.",
        value: |row| row.opened,
    },
    Family {
        name: "istio_tcp_connections_closed",
        help: "The total number of TCP connections closed.",
        value: |row| row.closed,
    },
    Family {
        name: "istio_tcp_connections_failed",
        help: "The total number of TCP connections that failed to establish or ended in failure (unstable).",
        value: |row| row.failed,
    },
    Family {
        name: "istio_tcp_received_bytes",
        help: "The size of total bytes received during request in case of a TCP connection.",
        value: |row| row.received,
    },
    Family {
        name: "istio_tcp_sent_bytes",
        help: "The size of total bytes sent during response in case of a TCP connection.",
        value: |row| row.sent,
    },
];

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}");
    let _ = writeln!(out, "# TYPE {name} {kind}");
}

fn reporter_label(reporter: Reporter) -> &'static str {
    match reporter {
        Reporter::Source => "source",
        Reporter::Destination => "destination",
        Reporter::Waypoint => "waypoint",
    }
}

impl Counts {
    fn row(&mut self, connection: &ConnectionInfo, flags: ResponseFlags, series_max: usize) -> &mut Row {
        let series = Series::of(connection, flags);
        self.touches += 1;
        if self.rows.len() >= series_max && !self.rows.contains_key(&series) {
            self.forget_oldest(series_max);
        }
        let touches = self.touches;
        let row = self.rows.entry(series).or_default();
        row.touched = touches;
        row
    }

    /// Forgets the eighth that was untouched for longest, so that the scan is paid for once in many insertions.
    fn forget_oldest(&mut self, series_max: usize) {
        let mut ages: Vec<u64> = self.rows.values().map(|row| row.touched).collect();
        ages.sort_unstable();
        let Some(&limit) = ages.get((series_max / 8).min(ages.len() - 1)) else { return };
        let before = self.rows.len();
        self.rows.retain(|_, row| row.touched > limit);
        self.forgotten += (before - self.rows.len()) as u64;
    }
}

impl Sink for Metrics {
    fn record(&self, event: Event) {
        let mut counts = self.counts.lock();
        let max = self.series_max;
        match &event {
            Event::SocketOpened { reporter } => *counts.sockets.entry(*reporter).or_default() += 1,
            Event::SocketClosed { reporter } => *counts.sockets.entry(*reporter).or_default() -= 1,
            Event::Opened { connection, .. } => {
                counts.row(connection, ResponseFlags::None, max).opened.add(1);
            }
            Event::Bytes { connection, sent, received } => {
                let row = counts.row(connection, ResponseFlags::None, max);
                row.sent.add(*sent);
                row.received.add(*received);
            }
            Event::Closed { connection, reason, .. } => {
                let row = counts.row(connection, reason.flags(), max);
                row.closed.add(1);
                if reason.flags() != ResponseFlags::None {
                    row.failed.add(1);
                }
            }
            Event::Discovery(event) => counts.discovery.count(*event),
            Event::Dns(request) => counts.dns.count(request, max),
            Event::Request { request, .. } => counts.requests.count(request, max),
            Event::Refused { .. } | Event::Judged { .. } | Event::Tunnel(_) | Event::Certificate { .. } => {}
        }
    }
}

/// A counter that is absent until it is first added to.
trait Counter {
    fn add(&mut self, count: u64);
}

impl Counter for Option<u64> {
    fn add(&mut self, count: u64) {
        *self = Some(self.unwrap_or(0).saturating_add(count));
    }
}
