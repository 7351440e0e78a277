//! The head of the page: verdict, the sentence it proves, how to run it again.

use sim::record::{RunRecord, Verdict};

use crate::html::Html;
use crate::page::word;
use crate::text;

pub(crate) fn write(html: &mut Html, record: &RunRecord) {
    let class = match record.verdict {
        Verdict::Passed => "verdict good",
        Verdict::Failed | Verdict::Stalled | Verdict::Crashed => "verdict bad",
    };
    html.element("header", &[], |html| {
        html.element("div", &[("class", "title")], |html| {
            html.span(class, word(record.verdict));
            html.leaf("h1", &[], &record.scenario);
        });
        html.leaf("p", &[("class", "lead")], &record.description);
        html.element("dl", &[("class", "facts")], |html| {
            let requests: usize = record.steps.iter().map(|step| step.requests.len()).sum();
            let loads: u64 = record.load.iter().map(|load| load.sent).sum();
            let pods: usize = record.topology.iter().map(|node| node.pods.len()).sum();
            fact(html, "virtual time", &text::time(record.virtual_time_ns));
            fact(html, "seed", &record.seed.to_string());
            fact(html, "steps", &text::count(record.steps.len() as u64));
            fact(html, "requests", &text::count(requests as u64 + loads));
            fact(html, "nodes", &text::count(record.topology.len() as u64));
            fact(html, "pods", &text::count(pods as u64));
            fact(html, "violations", &text::count(record.violations.len() as u64));
        });
        html.element("p", &[("class", "replay")], |html| {
            html.span("hint", "run it again");
            html.leaf("code", &[], &record.replay);
        });
        html.element("p", &[("class", "replay")], |html| {
            html.span("hint", "digest");
            html.leaf("code", &[], &record.digest);
        });
        for notice in &record.notices {
            html.leaf("p", &[("class", "notice")], notice);
        }
    });
}

fn fact(html: &mut Html, name: &str, value: &str) {
    html.element("div", &[], |html| {
        html.leaf("dt", &[], name);
        html.leaf("dd", &[], value);
    });
}
