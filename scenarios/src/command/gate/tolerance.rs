//! [`Tolerance`]: how far a figure may move, and [`Tolerances`]: which figure may move how far.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// How far a figure may move, up or down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tolerance {
    /// By so much.
    Count(u64),
    /// By so many hundredths of what it was.
    Percent(f64),
    /// It is shown and not judged.
    Any,
}

impl Tolerance {
    /// Not at all.
    pub(crate) const EXACT: Tolerance = Tolerance::Count(0);

    /// Whether a figure may move so.
    pub(crate) fn allows(self, was: u64, now: u64) -> bool {
        match self {
            Tolerance::Count(most) => was.abs_diff(now) <= most,
            Tolerance::Percent(most) => was.abs_diff(now) as f64 * 100.0 <= most * was as f64,
            Tolerance::Any => true,
        }
    }
}

impl FromStr for Tolerance {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no tolerance: write a number like 5, a share like 2%, or `any`");
        match text.trim() {
            "any" => Ok(Tolerance::Any),
            text => match text.strip_suffix('%') {
                Some(share) => match share.trim_end().parse::<f64>() {
                    Ok(share) if share.is_finite() && share >= 0.0 => Ok(Tolerance::Percent(share)),
                    _ => Err(wrong()),
                },
                None => text.parse().map(Tolerance::Count).map_err(|_| wrong()),
            },
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tolerance::Count(0) => f.write_str("exact"),
            Tolerance::Count(most) => write!(f, "±{most}"),
            Tolerance::Percent(most) => write!(f, "±{most}%"),
            Tolerance::Any => f.write_str("any"),
        }
    }
}

/// Tolerances by name of figure, where a star stands for anything. Of several that fit, the last given on the command line
/// counts, else the one of the baseline that says most about the name; what nothing fits is exact.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tolerances {
    asked: Vec<(String, Tolerance)>,
    written: Vec<(String, Tolerance)>,
}

/// What depends on compiler and processor, a little, unless the baseline says otherwise.
const BUILT_IN: [(&str, Tolerance); 3] = [
    ("instructions.*", Tolerance::Percent(1.0)),
    ("allocations.*", Tolerance::Percent(1.0)),
    ("allocated_bytes.*", Tolerance::Percent(1.0)),
];

impl Tolerances {
    /// Those of the baseline, as they are written there.
    ///
    /// # Errors
    /// A value that is none, in words.
    pub(crate) fn read(written: &BTreeMap<String, Value>) -> Result<Tolerances, String> {
        let mut tolerances = Tolerances::default();
        for (figures, value) in written {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let tolerance = text.parse().map_err(|wrong| format!("tolerances, `{figures}`: {wrong}"))?;
            tolerances.written.push((figures.clone(), tolerance));
        }
        // Those that say most first.
        let literal = |pattern: &str| pattern.chars().filter(|&character| character != '*').count();
        tolerances.written.sort_by_key(|(figures, _)| std::cmp::Reverse(literal(figures)));
        Ok(tolerances)
    }

    /// What the command line says comes before that.
    pub(crate) fn ask(&mut self, figures: String, tolerance: Tolerance) {
        self.asked.push((figures, tolerance));
    }

    /// Patterns that fit none of these figures: a misspelling, most likely.
    pub(crate) fn idle<'a>(&'a self, figures: &[&str]) -> Vec<&'a str> {
        let all = self.asked.iter().chain(&self.written).map(|(pattern, _)| pattern.as_str());
        all.filter(|pattern| !figures.iter().any(|figure| fits(pattern, figure))).collect()
    }

    /// How far this figure may move.
    pub(crate) fn of(&self, figure: &str) -> Tolerance {
        let asked = self.asked.iter().rev().find(|(pattern, _)| fits(pattern, figure));
        let written = || self.written.iter().find(|(pattern, _)| fits(pattern, figure));
        let found = asked.or_else(written).map(|(_, tolerance)| *tolerance);
        let built_in = || BUILT_IN.iter().find(|(pattern, _)| fits(pattern, figure)).map(|(_, tolerance)| *tolerance);
        found.or_else(built_in).unwrap_or(Tolerance::EXACT)
    }
}

/// Whether a name is what a pattern says, where `*` is anything, nothing included.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    // The leftmost place of each part leaves most to those after it.
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_shares_and_counts_judge_both_directions() {
        assert!(Tolerance::EXACT.allows(7, 7) && !Tolerance::EXACT.allows(7, 8) && !Tolerance::EXACT.allows(7, 6));
        let share: Tolerance = "2%".parse().expect("a tolerance");
        assert!(share.allows(100, 102) && share.allows(100, 98) && !share.allows(100, 103) && !share.allows(100, 97));
        assert!(share.allows(0, 0) && !share.allows(0, 1));
        let count: Tolerance = "5".parse().expect("a tolerance");
        assert!(count.allows(0, 5) && !count.allows(0, 6));
        assert!(Tolerance::Any.allows(0, u64::MAX));
        for wrong in ["", "-1", "2 percent", "-2%", "NaN%", "inf%", "%"] {
            assert!(wrong.parse::<Tolerance>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, due) in [
            ("*", "events", true),
            ("load.*", "load.steady.sent", true),
            ("load.*.p99", "load.steady.latency_ns.p99", true),
            ("load.*.p99", "load.steady.latency_ns.p999", false),
            ("*latency*p50", "load.a.latency_ns.p50", true),
            ("events", "events_pending", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, name), due, "{pattern} {name}");
        }
    }

    #[test]
    fn the_command_line_comes_first_then_what_says_most() {
        let written = [("*", "1%"), ("load.*", "2%"), ("load.a.sent", "any")];
        let written = written.map(|(figures, tolerance)| (figures.to_owned(), Value::from(tolerance))).into();
        let mut tolerances = Tolerances::read(&written).expect("tolerances");
        assert_eq!(tolerances.of("load.a.sent"), Tolerance::Any);
        assert_eq!(tolerances.of("load.b.sent"), Tolerance::Percent(2.0));
        assert_eq!(tolerances.of("events"), Tolerance::Percent(1.0));
        tolerances.ask("load.*".to_owned(), Tolerance::EXACT);
        assert_eq!(tolerances.of("load.a.sent"), Tolerance::EXACT);
        assert_eq!(tolerances.idle(&["events"]), ["load.*", "load.a.sent", "load.*"]);
        assert_eq!(Tolerances::default().of("events"), Tolerance::EXACT);
        assert_eq!(Tolerances::default().of("instructions.release"), Tolerance::Percent(1.0));
    }
}
