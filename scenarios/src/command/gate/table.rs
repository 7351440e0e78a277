//! What moved, as people read it: a table on a terminal, and Markdown.

use std::fmt::Write;

use super::compare::{Comparison, Difference, Judgement};
use crate::output::Paint;
use crate::output::units;

/// Lines of the table unless all are asked for.
const LINES: usize = 30;
/// Lines of a table in Markdown: summaries of CI jobs have a limit.
const MARKDOWN_LINES: usize = 500;

const HEAD: [&str; 6] = ["scenario", "figure", "baseline", "now", "change", "tolerance"];

/// The comparison in words, for a terminal: what moved, and what of it is too far.
pub(crate) fn text(comparison: &Comparison, all: bool, paint: Paint) -> String {
    let mut text = moved(comparison, all, paint);
    for (path, complaint) in comparison.complaints() {
        let _ = writeln!(text, "{}", paint.bad(format!("{path}: {complaint}")));
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "{}", paint.warn(note));
    }
    let verdict = if comparison.passed() { paint.good("passed") } else { paint.bad("failed") };
    let _ = writeln!(text, "{verdict}  {}", summary(comparison));
    text
}

/// What moved, as a table; nothing if nothing did.
pub(crate) fn moved(comparison: &Comparison, all: bool, paint: Paint) -> String {
    let mut text = String::new();
    let moved = comparison.moved();
    let shown = if all { moved.len() } else { moved.len().min(LINES) };
    let rows: Vec<[String; 6]> = moved[..shown].iter().map(|(path, moved)| row(path, moved)).collect();
    if !rows.is_empty() {
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEAD[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        let _ = writeln!(text, "{}", paint.faint(line(&HEAD, &widths)));
        for (row, (_, moved)) in rows.iter().zip(&moved) {
            let line = line(&row.each_ref().map(String::as_str), &widths);
            let past = moved.judgement == Judgement::Past;
            let _ = if past { writeln!(text, "{}", paint.bad(line)) } else { writeln!(text, "{}", paint.faint(line)) };
        }
        if shown < moved.len() {
            let _ = writeln!(text, "and {} more: --all shows them", units::count((moved.len() - shown) as u64));
        }
    }
    text
}

/// The comparison as Markdown.
pub(crate) fn markdown(comparison: &Comparison, baseline: &str) -> String {
    let verdict = if comparison.passed() { "passed" } else { "failed" };
    let mut text = format!("### Regression gate: {verdict}\n\n{}, against `{baseline}`.\n", summary(comparison));
    let moved = comparison.moved();
    if !moved.is_empty() {
        let _ = writeln!(text, "\n| | {} |\n|---|---|---|--:|--:|--:|---|", HEAD.join(" | "));
        for (path, moved) in moved.iter().take(MARKDOWN_LINES) {
            let mark = if moved.judgement == Judgement::Past { "❌" } else { "" };
            let cells = row(path, moved).map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(text, "| {mark} | {} |", cells.join(" | "));
        }
        if moved.len() > MARKDOWN_LINES {
            let _ = writeln!(text, "\nand {} more.", units::count((moved.len() - MARKDOWN_LINES) as u64));
        }
    }
    let complaints = comparison.complaints();
    if !complaints.is_empty() || !comparison.notes.is_empty() {
        text.push('\n');
    }
    for (path, complaint) in complaints {
        let _ = writeln!(text, "- ❌ `{path}`: {complaint}");
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "- {note}");
    }
    text
}

/// What moved, in one sentence.
pub(crate) fn summary(comparison: &Comparison) -> String {
    let moved = comparison.moved().len();
    let scenarios = units::plural(comparison.scenarios.len(), "scenario");
    let mut text = format!("{} of {scenarios} compared", units::plural(comparison.compared(), "figure"));
    match (moved, comparison.past()) {
        (0, _) => text.push_str(", none moved"),
        (moved, 0) => {
            let _ = write!(text, ", {} moved within tolerance", units::count(moved as u64));
        }
        (moved, past) => {
            let _ = write!(text, ", {} moved, {} too far", units::count(moved as u64), units::count(past as u64));
        }
    }
    text
}

/// A difference in words: `wire_bytes was 10, is 12 (+20.0%), tolerance exact`.
pub(crate) fn words(difference: &Difference) -> String {
    let [_, figure, was, now, change, tolerance] = row("", difference);
    format!("{figure} was {was}, is {now} ({change}), tolerance {tolerance}")
}

fn row(path: &str, difference: &Difference) -> [String; 6] {
    let value = |value: Option<u64>| value.map_or("none".to_owned(), |value| amount(&difference.figure, value));
    [
        path.to_owned(),
        difference.figure.clone(),
        value(difference.was),
        value(difference.now),
        change(difference),
        difference.tolerance.to_string(),
    ]
}

/// Times are read as times; everything else is a count, and exact.
fn amount(figure: &str, value: u64) -> String {
    if figure.contains("_ns") { units::time(value) } else { units::count(value) }
}

fn change(difference: &Difference) -> String {
    let (Some(was), Some(now)) = (difference.was, difference.now) else {
        return if difference.was.is_none() { "new".to_owned() } else { "missing".to_owned() };
    };
    if difference.share().is_infinite() {
        return format!("+{}", amount(&difference.figure, now));
    }
    let percent = difference.share() * 100.0;
    // A change too small for the digits shown is still one.
    if percent.abs() >= 0.05 {
        return format!("{percent:+.1}%");
    }
    format!("{}{}", if now > was { "+" } else { "−" }, amount(&difference.figure, was.abs_diff(now)))
}

fn line(cells: &[&str; 6], widths: &[usize]) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
        // Numbers to the right.
        let _ = if (2..5).contains(&column) { write!(text, "{gap}{cell}  ") } else { write!(text, "{cell}{gap}  ") };
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Colour;
    use crate::command::gate::compare::{self, ScenarioComparison, ScenarioOutcome};
    use crate::command::gate::tolerance::Tolerances;

    fn comparison() -> Comparison {
        let figures = |list: &[(&str, u64)]| list.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        let was = figures(&[("handshakes", 0), ("load.a|b.latency_ns.p50", 2_000_000), ("polls", 1_000_000)]);
        let now = figures(&[("handshakes", 3), ("load.a|b.latency_ns.p50", 2_500_000), ("polls", 1_000_001)]);
        let outcome = ScenarioOutcome::Compared(compare::figures(&was, &now, &Tolerances::default()));
        let scenarios = vec![
            ScenarioComparison { path: "a.yaml".to_owned(), outcome },
            ScenarioComparison { path: "b.yaml".to_owned(), outcome: ScenarioOutcome::New },
        ];
        Comparison { scenarios, notes: vec!["a note".to_owned()] }
    }

    #[test]
    fn the_table_says_what_moved_by_how_much_and_what_to_do() {
        let text = text(&comparison(), false, Paint::new(Colour::Never, false));
        let due = "\
scenario  figure                    baseline        now  change  tolerance
a.yaml    handshakes                       0          3      +3  exact
a.yaml    load.a|b.latency_ns.p50        2ms      2.5ms  +25.0%  exact
a.yaml    polls                    1,000,000  1,000,001      +1  exact
b.yaml: new: the baseline does not know it; --update takes it in
a note
failed  3 figures of 2 scenarios compared, 3 moved, 3 too far
";
        assert_eq!(text, due);
    }

    #[test]
    fn markdown_keeps_its_columns_whatever_names_hold() {
        let text = markdown(&comparison(), "gate.json");
        assert!(text.starts_with("### Regression gate: failed\n"), "{text}");
        assert!(text.contains("| ❌ | a.yaml | load.a\\|b.latency_ns.p50 | 2ms | 2.5ms | +25.0% | exact |"), "{text}");
        assert!(text.contains("- ❌ `b.yaml`: new"), "{text}");
    }
}
