//! [`Comparison`]: what moved between a baseline and today. Plain functions over data.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::baseline::Figures;
use super::figures;
use super::tolerance::{Tolerance, Tolerances};
use super::valgrind;

/// What came of all scenarios.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    /// In order of their paths.
    pub(crate) scenarios: Vec<ScenarioComparison>,
    /// Worth telling, and no reason to fail.
    pub(crate) notes: Vec<String>,
}

/// What came of one scenario.
#[derive(Clone, Debug)]
pub(crate) struct ScenarioComparison {
    /// As the baseline calls it.
    pub(crate) path: String,
    pub(crate) outcome: ScenarioOutcome,
}

/// What came of one scenario.
#[derive(Clone, Debug)]
pub(crate) enum ScenarioOutcome {
    /// Both sides have figures; in order of their names.
    Compared(Vec<Difference>),
    /// The baseline does not know it.
    New,
    /// The baseline knows it and it is not there.
    Gone,
    /// The baseline's figures are of another seed.
    Reseeded {
        /// The baseline's.
        was: u64,
        /// Today's.
        now: u64,
    },
    /// It did not hold, so what was counted says nothing; how to see it.
    DidNotHold {
        /// How it ended.
        verdict: String,
        /// The line that runs it again.
        replay: String,
    },
}

/// One figure, then and now.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) figure: String,
    pub(crate) was: Option<u64>,
    pub(crate) now: Option<u64>,
    pub(crate) tolerance: Tolerance,
    pub(crate) judgement: Judgement,
}

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// None.
    Same,
    /// It moved no farther than it may.
    Within,
    /// It moved too far, up or down, or is only on one side.
    Past,
    /// It was not counted today, and that needs asking for.
    NotCounted,
}

impl Comparison {
    /// Whether nothing moved too far, and nothing came, went or failed.
    pub(crate) fn passed(&self) -> bool {
        self.scenarios.iter().all(ScenarioComparison::passed)
    }

    /// What moved, what moved too far first, of these what moved most.
    pub(crate) fn moved(&self) -> Vec<(&str, &Difference)> {
        let mut moved: Vec<(&str, &Difference)> = Vec::new();
        for scenario in &self.scenarios {
            let changed =
                |difference: &&Difference| matches!(difference.judgement, Judgement::Within | Judgement::Past);
            moved.extend(scenario.differences().iter().filter(changed).map(|moved| (scenario.path.as_str(), moved)));
        }
        moved.sort_by(|(_, one), (_, other)| one.order(other));
        moved
    }

    /// How many figures were compared.
    pub(crate) fn compared(&self) -> usize {
        let counted = |difference: &&Difference| difference.judgement != Judgement::NotCounted;
        self.scenarios.iter().map(|scenario| scenario.differences().iter().filter(counted).count()).sum()
    }

    /// How many figures moved too far.
    pub(crate) fn past(&self) -> usize {
        self.scenarios
            .iter()
            .flat_map(ScenarioComparison::differences)
            .filter(|one| one.judgement == Judgement::Past)
            .count()
    }

    /// Scenarios that could not be compared, each with why and what to do.
    pub(crate) fn complaints(&self) -> Vec<(&str, String)> {
        let all = self.scenarios.iter();
        all.filter_map(|scenario| Some((scenario.path.as_str(), scenario.complaint()?))).collect()
    }
}

impl ScenarioComparison {
    /// Its figures, if they were compared.
    pub(crate) fn differences(&self) -> &[Difference] {
        match &self.outcome {
            ScenarioOutcome::Compared(differences) => differences,
            _ => &[],
        }
    }

    fn passed(&self) -> bool {
        self.complaint().is_none() && self.differences().iter().all(|one| one.judgement != Judgement::Past)
    }

    /// Why there is nothing to compare, and what to do.
    pub(crate) fn complaint(&self) -> Option<String> {
        match &self.outcome {
            ScenarioOutcome::Compared(_) => None,
            ScenarioOutcome::New => Some("new: the baseline does not know it; --update takes it in".to_owned()),
            ScenarioOutcome::Gone => {
                Some("in the baseline, and not there; put it back, or --update drops it".to_owned())
            }
            ScenarioOutcome::Reseeded { was, now } => Some(format!(
                "its seed was {was} and is {now}: its figures do not compare; --update takes the new ones"
            )),
            ScenarioOutcome::DidNotHold { verdict, replay } => {
                Some(format!("{verdict}, so its figures say nothing; mend it first: {replay}"))
            }
        }
    }
}

impl Difference {
    /// By what share of what it was it moved; infinite where there was nothing.
    pub(crate) fn share(&self) -> f64 {
        match (self.was.unwrap_or(0), self.now.unwrap_or(0)) {
            (was, now) if was == now => 0.0,
            (0, _) => f64::INFINITY,
            (was, now) => (now as f64 - was as f64) / was as f64,
        }
    }

    fn order(&self, other: &Difference) -> Ordering {
        let past = |one: &Difference| one.judgement == Judgement::Past;
        past(other)
            .cmp(&past(self))
            .then(other.share().abs().total_cmp(&self.share().abs()))
            .then_with(|| self.figure.cmp(&other.figure))
    }
}

/// Compares the figures of one scenario, in order of their names.
pub(crate) fn figures(was: &Figures, now: &Figures, tolerances: &Tolerances) -> Vec<Difference> {
    let names: BTreeSet<&String> = was.keys().chain(now.keys()).collect();
    names.into_iter().map(|figure| difference(figure, was, now, tolerances.of(figure))).collect()
}

fn difference(figure: &str, was: &Figures, now: &Figures, tolerance: Tolerance) -> Difference {
    let side =
        |figures: &Figures| figures.get(figure).copied().or_else(|| figures::is_zero_if_missing(figure).then_some(0));
    let (was, now) = (side(was), side(now));
    let judgement = match (was, now) {
        (Some(was), Some(now)) if was == now => Judgement::Same,
        (Some(was), Some(now)) if tolerance.allows(was, now) => Judgement::Within,
        (Some(_), None) if valgrind::counts(figure) => Judgement::NotCounted,
        _ if tolerance == Tolerance::Any => Judgement::Within,
        _ => Judgement::Past,
    };
    Difference { figure: figure.to_owned(), was, now, tolerance, judgement }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(figures: &[(&str, u64)]) -> Figures {
        figures.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
    }

    fn compared(was: &[(&str, u64)], now: &[(&str, u64)], tolerances: &Tolerances) -> Comparison {
        let outcome = ScenarioOutcome::Compared(figures(&list(was), &list(now), tolerances));
        Comparison { scenarios: vec![ScenarioComparison { path: "a.yaml".to_owned(), outcome }], notes: Vec::new() }
    }

    #[test]
    fn equal_figures_pass_and_the_least_difference_does_not() {
        let none = Tolerances::default();
        assert!(compared(&[("events", 1000)], &[("events", 1000)], &none).passed());
        assert!(!compared(&[("events", 1000)], &[("events", 1001)], &none).passed());
        assert!(!compared(&[("events", 1000)], &[("events", 999)], &none).passed(), "better is different, too");
    }

    #[test]
    fn figures_on_one_side_only_are_no_match_unless_none_means_zero() {
        let none = Tolerances::default();
        assert!(!compared(&[("events", 1)], &[], &none).passed());
        assert!(!compared(&[], &[("events", 1)], &none).passed());
        assert!(compared(&[("packets_dropped.loss", 0)], &[], &none).passed());
        assert!(!compared(&[], &[("packets_dropped.loss", 3)], &none).passed());
        let uncounted = compared(&[("instructions.release", 9)], &[], &none);
        assert!(uncounted.passed() && uncounted.compared() == 0);
    }

    #[test]
    fn what_moved_too_far_and_most_is_told_first() {
        let mut tolerances = Tolerances::default();
        tolerances.ask("polls".to_owned(), Tolerance::Any);
        let was = [("events", 100), ("handshakes", 0), ("polls", 10), ("wire_bytes", 100)];
        let now = [("events", 101), ("handshakes", 1), ("polls", 90), ("wire_bytes", 50)];
        let comparison = compared(&was, &now, &tolerances);
        let order: Vec<&str> = comparison.moved().iter().map(|(_, moved)| moved.figure.as_str()).collect();
        assert_eq!(order, ["handshakes", "wire_bytes", "events", "polls"]);
        assert_eq!((comparison.past(), comparison.compared()), (3, 4));
    }
}
