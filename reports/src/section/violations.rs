//! Broken invariants and expectations: claim, evidence, consequence.

use sim::record::RunRecord;

use crate::html::Html;
use crate::text;

pub(crate) fn write(html: &mut Html, record: &RunRecord) {
    let failed =
        record.steps.iter().filter(|step| !step.held).count() + record.load.iter().filter(|load| !load.held).count();
    if record.violations.is_empty() && failed == 0 {
        return;
    }
    html.element("section", &[], |html| {
        html.leaf("h2", &[], "What did not hold");
        for step in record.steps.iter().filter(|step| !step.held) {
            html.element("article", &[("class", "violation")], |html| {
                html.leaf("h3", &[], format!("{} at {}", step.summary, text::time(step.at_ns)));
                list(html, &step.failures);
            });
        }
        for load in record.load.iter().filter(|load| !load.held) {
            html.element("article", &[("class", "violation")], |html| {
                html.leaf("h3", &[], format!("load {}", load.name));
                list(html, &load.failures);
            });
        }
        for violation in &record.violations {
            html.element("article", &[("class", "violation")], |html| {
                html.leaf("h3", &[], format!("{} · {}", violation.invariant, violation.claim));
                html.leaf("p", &[("class", "hint")], format!("broken at {}", text::time(violation.at_ns)));
                html.element("ol", &[("class", "evidence")], |html| {
                    for evidence in &violation.evidence {
                        html.element("li", &[], |html| {
                            html.span("time", text::time(evidence.at_ns));
                            html.text(&evidence.event);
                        });
                    }
                });
                html.leaf("p", &[], &violation.consequence);
            });
        }
    });
}

fn list(html: &mut Html, failures: &[String]) {
    html.element("ul", &[], |html| {
        for failure in failures {
            html.leaf("li", &[], failure);
        }
    });
}
