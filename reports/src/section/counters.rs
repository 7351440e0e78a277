//! Exact counters of the run.

use sim::record::RunRecord;

use crate::html::Html;
use crate::text;

pub(crate) fn write(html: &mut Html, record: &RunRecord) {
    if record.counters.is_empty() {
        return;
    }
    html.element("section", &[], |html| {
        html.leaf("h2", &[], "Counters");
        html.leaf("p", &[("class", "hint")], "Exact: the same seed gives the same numbers.");
        html.element("dl", &[("class", "counters")], |html| {
            for (name, value) in &record.counters {
                html.element("div", &[], |html| {
                    html.leaf("dt", &[], name.replace('_', " "));
                    html.leaf("dd", &[], text::count(*value));
                });
            }
        });
        html.element("p", &[("class", "hint")], |html| {
            html.text(format!(
                "meshsim {} · record format {} · TLS provider {}",
                record.meshsim, record.format, record.tls_provider
            ));
        });
    });
}
