//! [`page`]: the frame around the sections.

use sim::record::{RunRecord, Verdict};

use crate::html::Html;
use crate::section;

const STYLE: &str = include_str!("../assets/style.css");

/// The page of one run: self-contained HTML, no scripts, no outside references.
pub fn page(record: &RunRecord) -> String {
    let mut html = Html::default();
    html.raw("<!doctype html>\n");
    html.element("html", &[("lang", "en")], |html| {
        html.element("head", &[], |html| {
            html.open("meta", &[("charset", "utf-8")]);
            html.open("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
            html.leaf("title", &[], format!("{} · {} · meshsim", word(record.verdict), record.scenario));
            html.raw("<style>");
            html.raw(STYLE);
            html.raw("</style>");
        });
        html.element("body", &[], |html| {
            section::summary::write(html, record);
            html.element("main", &[], |html| {
                section::violations::write(html, record);
                section::timeline::write(html, record);
                section::requests::write(html, record);
                section::load::write(html, record);
                section::topology::write(html, record);
                section::counters::write(html, record);
            });
        });
    });
    html.raw("\n");
    html.finish()
}

/// The verdict as one word.
pub(crate) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Stalled => "stalled",
        Verdict::Crashed => "crashed",
    }
}
