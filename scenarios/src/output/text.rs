//! [`Text`]: a run in words.

use std::path::Path;
use std::time::Duration;

use sim::record::{LoadResult, Outcome, RequestResult, RunRecord, StepResult, Verdict, Violation};

use super::group::{self, Group};
use super::{Paint, path, units};

/// Where the second line of anything begins.
const INDENT: &str = "             ";
/// Groups of requests shown for one step.
const GROUPS: usize = 6;

/// Writes runs as people read them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    paint: Paint,
}

impl Text {
    pub(crate) fn new(paint: Paint) -> Self {
        Text { paint }
    }

    /// Everything about one run.
    pub(crate) fn whole(&self, record: &RunRecord, wall: Duration) -> String {
        let mut text = format!("{}\n{}\n", self.paint.strong(&record.scenario), record.description);
        text.push_str(&self.paint.faint(mesh_in_words(record)));
        text.push_str("\n\n");
        for step in &record.steps {
            self.step(step, &mut text);
        }
        for load in &record.load {
            self.load(load, &mut text);
        }
        for violation in &record.violations {
            self.violation(violation, &mut text);
        }
        for notice in &record.notices {
            text.push_str(&format!("  {} {}\n", self.paint.warn("!"), indented(notice)));
        }
        text.push_str(&self.summary(record, wall));
        text
    }

    /// One run in one line.
    pub(crate) fn line(&self, record: &RunRecord, wall: Duration) -> String {
        let digest = &record.digest[..record.digest.len().min(12)];
        let facts = format!(
            "seed {}, {} virtual in {}, digest {digest}",
            record.seed,
            units::time(record.virtual_time_ns),
            units::duration(wall)
        );
        format!("{} {}  {}\n", self.glyph(record.verdict == Verdict::Passed), record.scenario, self.paint.faint(facts))
    }

    /// The end of a series.
    pub(crate) fn total(&self, runs: usize, bad: usize, wall: Duration) -> String {
        let wall = self.paint.faint(format!("in {}", units::duration(wall)));
        if bad == 0 {
            format!("\n{} {}, all held {wall}\n", self.paint.good("passed"), units::plural(runs, "run"))
        } else {
            format!("\n{} {bad} of {} did not hold {wall}\n", self.paint.bad("failed"), units::plural(runs, "run"))
        }
    }

    /// The command that runs exactly this again.
    pub(crate) fn replay(&self, command: &str) -> String {
        format!("replay  {}\n", self.paint.strong(command))
    }

    /// Where the page is.
    pub(crate) fn page(&self, page: &Path) -> String {
        format!("page    {}\n", page.display())
    }

    fn glyph(&self, held: bool) -> String {
        if held { self.paint.good("✓") } else { self.paint.bad("✗") }
    }

    fn step(&self, step: &StepResult, text: &mut String) {
        let at = format!("{:>8}", units::clock(step.at_ns));
        let glyph = if step.failed_unasked() { self.paint.warn("!") } else { self.glyph(step.held) };
        text.push_str(&format!("  {glyph} {} {}\n", self.paint.faint(at), step.summary));
        let groups = group::alike(&step.requests);
        for group in groups.iter().take(GROUPS) {
            self.group(group, step, text);
        }
        if groups.len() > GROUPS {
            let more = groups.len() - GROUPS;
            text.push_str(&format!("{INDENT}{}\n", self.paint.faint(format!("and {more} more kinds of outcome"))));
        }
        self.failures(&step.failures, text);
    }

    fn group(&self, group: &Group<'_>, step: &StepResult, text: &mut String) {
        let first = group.first;
        let words = if group.count > 1 && first.outcome == Outcome::Completed {
            let (fastest, slowest) = (units::time(group.fastest), units::time(group.slowest));
            let status = first.status.map_or("done".to_owned(), |status| status.to_string());
            let from = first.backend.as_ref().map(|backend| format!(" from {}/{}", backend.namespace, backend.pod));
            format!("{} × {status}{} in {fastest} to {slowest}", group.count, from.unwrap_or_default())
        } else if group.count > 1 {
            format!("{} × {}", group.count, first.explanation)
        } else {
            first.explanation.clone()
        };
        let words = if went_well(first) { words } else { self.paint.warn(words) };
        text.push_str(&format!("{INDENT}{words}\n"));
        // A request that never left its pod has no path worth a line, and a stream looked at has shown its own.
        let opened_before = step.kind == "check" || step.kind == "exchange";
        if !opened_before && (first.backend.is_some() || !first.hops.is_empty()) {
            text.push_str(&format!("{INDENT}{}\n", path::line(first, self.paint)));
        }
        self.decisions(first, text);
    }

    /// One request: what was asked, what came of it, who decided what on the way.
    pub(crate) fn explained(&self, number: usize, step: &StepResult, request: &RequestResult) -> String {
        let at = self.paint.faint(format!("{:>8}", units::clock(request.at_ns)));
        let mut text = format!("{at}  {} {}\n", self.paint.strong(format!("request {number}")), step.summary);
        let words = request.explanation.clone();
        let words = if went_well(request) { words } else { self.paint.warn(words) };
        text.push_str(&format!("{INDENT}{words}\n{INDENT}{}\n", path::line(request, self.paint)));
        self.decisions(request, &mut text);
        text
    }

    fn decisions(&self, request: &RequestResult, text: &mut String) {
        for decision in &request.decisions {
            text.push_str(&format!("{INDENT}{}\n", self.paint.faint(&decision.at)));
            for words in &decision.words {
                text.push_str(&format!("{INDENT}  {words}\n"));
            }
        }
    }

    fn load(&self, load: &LoadResult, text: &mut String) {
        text.push_str(&format!("  {} {:>8} {}\n", self.glyph(load.held), load.name, load.summary));
        let failed: Vec<String> =
            load.failed.iter().map(|(why, count)| format!("{} {why}", units::count(*count))).collect();
        let failed =
            if failed.is_empty() { String::new() } else { format!(", {}", self.paint.warn(failed.join(", "))) };
        let sent = units::count(load.sent);
        text.push_str(&format!("{INDENT}{sent} sent, {} answered{failed}\n", units::count(load.succeeded)));
        if load.succeeded > 0 {
            let latency = &load.latency;
            let quantiles = [
                ("p50", latency.p50),
                ("p90", latency.p90),
                ("p99", latency.p99),
                ("p99.9", latency.p999),
                ("max", latency.max),
            ];
            let words: Vec<String> =
                quantiles.iter().map(|(name, nanos)| format!("{name} {}", units::time(*nanos))).collect();
            text.push_str(&format!("{INDENT}latency {}\n", words.join(" · ")));
            let shown = load.backends.iter().take(GROUPS);
            let mut words: Vec<String> = shown.map(|(pod, count)| format!("{pod} {}", units::count(*count))).collect();
            if load.backends.len() > GROUPS {
                words.push(format!("{} more pods", load.backends.len() - GROUPS));
            }
            text.push_str(&format!("{INDENT}answers {}\n", words.join(" · ")));
        }
        self.failures(&load.failures, text);
    }

    fn failures(&self, failures: &[String], text: &mut String) {
        for failure in failures {
            text.push_str(&format!("{INDENT}{}\n", self.paint.bad(indented(failure))));
        }
    }

    fn violation(&self, violation: &Violation, text: &mut String) {
        let at = units::clock(violation.at_ns);
        let head = format!("  {} {:>8} {} broken: {}\n", self.paint.bad("✗"), at, violation.invariant, violation.claim);
        text.push_str(&self.paint.bad(head));
        for evidence in &violation.evidence {
            text.push_str(&format!("{INDENT}{} {}\n", self.paint.faint(units::clock(evidence.at_ns)), evidence.event));
        }
        text.push_str(&format!("{INDENT}{}\n", violation.consequence));
    }

    fn summary(&self, record: &RunRecord, wall: Duration) -> String {
        let verdict = match record.verdict {
            Verdict::Passed => self.paint.good("passed"),
            Verdict::Failed => self.paint.bad("failed"),
            Verdict::Stalled => self.paint.bad("stalled"),
            Verdict::Crashed => self.paint.bad("crashed"),
        };
        let counter = |name: &str| record.counters.get(name).copied();
        let mut facts = vec![units::plural(record.steps.len(), "step")];
        if !record.load.is_empty() {
            facts.push(units::plural(record.load.len(), "load"));
        }
        let broken = record.violations.len();
        // What is live has no digest, and nobody judges invariants.
        let live = record.digest.is_empty();
        facts.push(match broken {
            0 if live => "invariants not judged".to_owned(),
            0 => "no invariant broken".to_owned(),
            _ => format!("{broken} broken invariants"),
        });
        facts.push(match live {
            true => format!("on real sockets in {}", units::duration(wall)),
            false => format!("{} virtual in {}", units::time(record.virtual_time_ns), units::duration(wall)),
        });
        let named = [("events", "events"), ("packets_sent", "packets"), ("handshakes", "TLS handshakes")];
        facts.extend(named.iter().filter_map(|(key, name)| Some(format!("{} {name}", units::count(counter(key)?)))));
        facts.extend(counter("wire_bytes").map(|bytes| format!("{} on the wire", units::size(bytes))));
        let mut text = format!("\n{verdict}  {}\n", facts.join(" · "));
        if !live {
            text.push_str(&format!("digest  {}\n", record.digest));
        }
        if record.verdict != Verdict::Passed {
            text.push_str(&self.replay(&record.replay));
        }
        text
    }
}

fn went_well(request: &RequestResult) -> bool {
    matches!(request.outcome, Outcome::Completed | Outcome::Held)
}

fn mesh_in_words(record: &RunRecord) -> String {
    let pods: usize = record.topology.iter().map(|node| node.pods.len()).sum();
    let enrolled = record.topology.iter().flat_map(|node| &node.pods).filter(|pod| pod.enrolled).count();
    format!(
        "seed {} · {}, {}, {enrolled} in the mesh",
        record.seed,
        units::plural(record.topology.len(), "node"),
        units::plural(pods, "pod")
    )
}

/// Further lines begin where the first does.
fn indented(text: &str) -> String {
    text.replace('\n', &format!("\n{INDENT}"))
}
