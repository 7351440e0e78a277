//! Loads: counts, latency quantiles, share of each backend.

use sim::record::RunRecord;

use crate::html::Html;
use crate::text;

pub(crate) fn write(html: &mut Html, record: &RunRecord) {
    if record.load.is_empty() {
        return;
    }
    html.element("section", &[], |html| {
        html.leaf("h2", &[], "Load");
        for load in &record.load {
            html.element("article", &[("class", if load.held { "step" } else { "step bad" })], |html| {
                html.element("h3", &[], |html| {
                    html.span(if load.held { "glyph good" } else { "glyph bad" }, if load.held { "✓" } else { "✗" });
                    html.text(format!("{}: {}", load.name, load.summary));
                });
                html.element("table", &[], |html| {
                    row(html, "th", &["sent", "succeeded", "p50", "p90", "p99", "p99.9", "max"].map(String::from));
                    let latency = &load.latency;
                    row(
                        html,
                        "td",
                        &[
                            text::count(load.sent),
                            text::count(load.succeeded),
                            text::time(latency.p50),
                            text::time(latency.p90),
                            text::time(latency.p99),
                            text::time(latency.p999),
                            text::time(latency.max),
                        ],
                    );
                });
                let answered: u64 = load.backends.values().sum();
                for (backend, answers) in &load.backends {
                    bar(html, "share", backend, *answers, answered);
                }
                for (reason, times) in &load.failed {
                    bar(html, "share bad", reason, *times, load.sent);
                }
            });
        }
    });
}

fn row(html: &mut Html, cell: &str, values: &[String]) {
    html.element("tr", &[], |html| {
        for value in values {
            html.leaf(cell, &[], value);
        }
    });
}

fn bar(html: &mut Html, class: &str, name: &str, part: u64, whole: u64) {
    let percent = if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    html.element("div", &[("class", class)], |html| {
        html.leaf("i", &[("style", &format!("width:{percent:.1}%"))], "");
        html.span("name", name);
        html.span("value", format!("{} ({percent:.1} %)", text::count(part)));
    });
}
