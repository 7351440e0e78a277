//! The comparison as JUnit XML: a suite for each scenario, a case for each figure.

use std::fmt::Write;

use super::compare::{Comparison, Judgement, ScenarioComparison};
use super::table;

/// The whole document.
pub(crate) fn document(comparison: &Comparison) -> String {
    let suites: Vec<Suite> = comparison.scenarios.iter().map(suite).collect();
    let sum = |count: fn(&Suite) -> usize| suites.iter().map(count).sum::<usize>();
    let (tests, failures, skipped) =
        (sum(|suite| suite.tests), sum(|suite| suite.failures), sum(|suite| suite.skipped));
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuites name=\"meshsim gate\" tests=\"{tests}\" failures=\"{failures}\" skipped=\"{skipped}\">"
    );
    for suite in suites {
        text.push_str(&suite.text);
    }
    text.push_str("</testsuites>\n");
    text
}

struct Suite {
    tests: usize,
    failures: usize,
    skipped: usize,
    text: String,
}

fn suite(scenario: &ScenarioComparison) -> Suite {
    let path = escaped(&scenario.path);
    let mut suite = Suite { tests: 0, failures: 0, skipped: 0, text: String::new() };
    let mut cases = String::new();
    let mut case = |name: &str, inside: Option<String>| {
        suite.tests += 1;
        let head = format!("    <testcase classname=\"{path}\" name=\"{}\"", escaped(name));
        let _ = match inside {
            None => writeln!(cases, "{head}/>"),
            Some(inside) => writeln!(cases, "{head}>\n      {inside}\n    </testcase>"),
        };
    };
    let failure = |words: &str| Some(format!("<failure message=\"{}\"/>", escaped(words)));
    let (mut failures, mut skipped) = (0, 0);
    if let Some(complaint) = scenario.complaint() {
        failures += 1;
        case("comparable", failure(&complaint));
    }
    for difference in scenario.differences() {
        let inside = match difference.judgement {
            Judgement::Same | Judgement::Within => None,
            Judgement::Past => {
                failures += 1;
                failure(&table::words(difference))
            }
            Judgement::NotCounted => {
                skipped += 1;
                Some("<skipped message=\"not counted this time\"/>".to_owned())
            }
        };
        case(&difference.figure, inside);
    }
    (suite.failures, suite.skipped) = (failures, skipped);
    suite.text = format!(
        "  <testsuite name=\"{path}\" tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\">\n{cases}  </testsuite>\n",
        suite.tests
    );
    suite
}

/// Text that XML does not take for markup; characters that XML cannot hold become a question mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' | '\r' => escaped.push(' '),
            control if control.is_control() => escaped.push('?'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::gate::compare::{self, ScenarioOutcome};
    use crate::command::gate::tolerance::Tolerances;

    #[test]
    fn every_figure_is_a_case_and_names_are_escaped() {
        let figures = |list: &[(&str, u64)]| list.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        let was = figures(&[("events", 10), ("instructions.release", 5), ("polls", 3)]);
        let now = figures(&[("events", 12), ("polls", 3)]);
        let outcome = ScenarioOutcome::Compared(compare::figures(&was, &now, &Tolerances::default()));
        let scenarios = vec![
            ScenarioComparison { path: "a&b.yaml".to_owned(), outcome },
            ScenarioComparison { path: "c.yaml".to_owned(), outcome: ScenarioOutcome::Gone },
        ];
        let text = document(&Comparison { scenarios, notes: Vec::new() });
        let due = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites name=\"meshsim gate\" tests=\"4\" failures=\"2\" skipped=\"1\">
  <testsuite name=\"a&amp;b.yaml\" tests=\"3\" failures=\"1\" skipped=\"1\">
    <testcase classname=\"a&amp;b.yaml\" name=\"events\">
      <failure message=\"events was 10, is 12 (+20.0%), tolerance exact\"/>
    </testcase>
    <testcase classname=\"a&amp;b.yaml\" name=\"instructions.release\">
      <skipped message=\"not counted this time\"/>
    </testcase>
    <testcase classname=\"a&amp;b.yaml\" name=\"polls\"/>
  </testsuite>
  <testsuite name=\"c.yaml\" tests=\"1\" failures=\"1\" skipped=\"0\">
    <testcase classname=\"c.yaml\" name=\"comparable\">
      <failure message=\"in the baseline, and not there; put it back, or --update drops it\"/>
    </testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(text, due);
    }
}
