//! Steps and their requests along virtual time.

use sim::record::{Outcome, RequestResult, RunRecord};

use crate::html::Html;
use crate::{svg, text};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 300.0;
const ROW: f64 = 22.0;
const TOP: f64 = 24.0;

pub(crate) fn write(html: &mut Html, record: &RunRecord) {
    if record.steps.is_empty() {
        return;
    }
    let end = record
        .steps
        .iter()
        .flat_map(|step| step.requests.iter().map(|request| request.ended_ns).chain([step.at_ns]))
        .max()
        .unwrap_or(0)
        .max(1);
    let x = |nanos: u64| LEFT + (WIDTH - LEFT - 16.0) * (nanos.min(end) as f64 / end as f64);
    html.element("section", &[], |html| {
        html.leaf("h2", &[], "Timeline");
        html.leaf("p", &[("class", "hint")], "Virtual time runs to the right. Hover for details.");
        let height = TOP + ROW * record.steps.len() as f64 + 12.0;
        svg::drawing(html, WIDTH, height, "timeline of the steps", |html| {
            for tick in 0..=4u64 {
                let at = end / 4 * tick;
                svg::line(html, "grid", (x(at), TOP - 6.0), (x(at), height - 8.0));
                svg::label(html, "tick", (x(at) - 14.0, 12.0), &text::time(at));
            }
            for (index, step) in record.steps.iter().enumerate() {
                let y = TOP + ROW * index as f64;
                let class = if step.held { "step" } else { "step bad" };
                svg::label(html, class, (4.0, y + 14.0), &text::shortened(&step.summary, 46));
                if step.requests.is_empty() {
                    svg::rect(html, "mark change", (x(step.at_ns) - 3.0, y + 3.0), (6.0, ROW - 8.0), &step.summary);
                }
                for request in &step.requests {
                    let width = (x(request.ended_ns) - x(request.at_ns)).max(5.0);
                    let class = format!("mark {}", tone(request));
                    svg::rect(html, &class, (x(request.at_ns), y + 4.0), (width, ROW - 10.0), &request.explanation);
                }
            }
        });
    });
}

/// Colour class of a request: answered, denied by policy, or failed otherwise.
pub(crate) fn tone(request: &RequestResult) -> &'static str {
    match request.outcome {
        _ if request
            .hops
            .iter()
            .any(|hop| hop.reason.as_deref().is_some_and(|reason| reason.starts_with("policy"))) =>
        {
            "denied"
        }
        Outcome::Completed | Outcome::Held => "good",
        _ => "bad",
    }
}
