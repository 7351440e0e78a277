//! Each request: what was asked, the path it took, who decided.

use sim::record::{Hop, RequestResult, RunRecord, StepResult};

use super::timeline::tone;
use crate::html::Html;
use crate::text;

/// Requests shown per step; alike ones are folded before that.
const SHOWN_MAX: usize = 20;

pub(crate) fn write(html: &mut Html, record: &RunRecord) {
    if record.steps.is_empty() {
        return;
    }
    html.element("section", &[], |html| {
        html.leaf("h2", &[], "What was asked, and what happened");
        for step in &record.steps {
            write_step(html, step);
        }
    });
}

fn write_step(html: &mut Html, step: &StepResult) {
    html.element("article", &[("class", if step.held { "step" } else { "step bad" })], |html| {
        html.element("h3", &[], |html| {
            html.span("time", text::time(step.at_ns));
            let (class, glyph) = match step.held {
                true if step.failed_unasked() => ("glyph warn", "!"),
                true => ("glyph good", "✓"),
                false => ("glyph bad", "✗"),
            };
            html.span(class, glyph);
            html.text(&step.summary);
        });
        for failure in &step.failures {
            html.leaf("p", &[("class", "failure")], failure);
        }
        let groups = folded(&step.requests);
        for (request, times) in groups.iter().take(SHOWN_MAX) {
            write_request(html, request, *times);
        }
        if groups.len() > SHOWN_MAX {
            html.leaf("p", &[("class", "hint")], format!("and {} more kinds of answer", groups.len() - SHOWN_MAX));
        }
    });
}

/// Requests that took the same path to the same answer, with how often; order of first appearance.
fn folded(requests: &[RequestResult]) -> Vec<(&RequestResult, usize)> {
    let mut groups: Vec<(&RequestResult, usize)> = Vec::new();
    for request in requests {
        let alike = groups.iter_mut().find(|(other, _)| {
            other.client == request.client
                && other.target == request.target
                && other.outcome == request.outcome
                && other.status == request.status
                && other.backend.as_ref().map(|backend| &backend.pod)
                    == request.backend.as_ref().map(|backend| &backend.pod)
                && other.reason == request.reason
                && other.hops.len() == request.hops.len()
        });
        match alike {
            Some((_, times)) => *times += 1,
            None => groups.push((request, 1)),
        }
    }
    groups
}

fn write_request(html: &mut Html, request: &RequestResult, times: usize) {
    html.element("div", &[("class", &format!("request {}", tone(request)))], |html| {
        html.element("p", &[("class", "explanation")], |html| {
            if times > 1 {
                html.span("times", format!("{times} ×"));
            }
            html.text(&request.explanation);
        });
        html.element("div", &[("class", "path")], |html| {
            stop(html, "pod", "client", &request.client, None);
            for hop in &request.hops {
                arrow(html, hop);
                let note = hop.policy.as_ref().or(hop.reason.as_ref()).or(hop.verdict.as_ref());
                stop(html, "proxy", &format!("{} {}", hop.proxy, hop.direction), &hop.node, note.map(String::as_str));
            }
            match &request.backend {
                Some(backend) => {
                    html.leaf("span", &[("class", "arrow plain")], "→");
                    stop(html, "pod", &backend.namespace, &backend.pod, Some(&backend.node));
                }
                None => html.leaf("span", &[("class", "arrow cut")], "✗"),
            }
        });
        if !request.decisions.is_empty() {
            html.element("dl", &[("class", "decisions")], |html| {
                for decision in &request.decisions {
                    html.leaf("dt", &[], &decision.at);
                    for words in &decision.words {
                        html.leaf("dd", &[], words);
                    }
                }
            });
        }
        html.element("p", &[("class", "hint")], |html| {
            html.text(&request.target);
            if let Some(status) = request.status {
                html.text(format!(" · status {status}"));
            }
            html.text(format!(
                " · {} · sent {} B, received {} B",
                text::time(request.ended_ns.saturating_sub(request.at_ns)),
                text::count(request.bytes_sent),
                text::count(request.bytes_received)
            ));
            if let Some(identity) = request.hops.iter().rev().find_map(|hop| hop.source_identity.as_ref()) {
                html.text(format!(" · proven by {identity}"));
            }
        });
    });
}

fn stop(html: &mut Html, class: &str, above: &str, name: &str, below: Option<&str>) {
    html.element("span", &[("class", &format!("stop {class}"))], |html| {
        html.span("above", above);
        html.leaf("b", &[], name);
        if let Some(below) = below {
            html.span("below", below);
        }
    });
}

/// The arrow into a proxy: capture into the client's own, HBONE between proxies.
fn arrow(html: &mut Html, hop: &Hop) {
    let protected = hop.direction == "inbound" && hop.protocol != "plain";
    let (class, sign) = if protected { ("arrow hbone", "═ HBONE ═▶") } else { ("arrow plain", "→") };
    let title = hop.authority.as_deref().unwrap_or("plaintext");
    html.leaf("span", &[("class", class), ("title", title)], sign);
}
