//! [`Exceptions`]: differences that are known, each with its reason.

/// The page that lists them: what is written there is what counts.
const PAGE: &str = include_str!("../../../catalog/PARITY.md");

/// Differences that are known.
pub(crate) struct Exceptions(Vec<Exception>);

struct Exception {
    scenario: String,
    /// Number of the step, or all of them.
    step: Option<usize>,
    reason: String,
}

impl Exceptions {
    /// Those of the page.
    pub(crate) fn of_the_page() -> Self {
        Exceptions::read(PAGE)
    }

    /// Reads rows `| scenario | step | reason |`; what is no such row is prose.
    fn read(page: &str) -> Self {
        let row = |line: &str| {
            let mut cells = line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
            let (scenario, step, reason) = (cells.next()?, cells.next()?, cells.next()?);
            let step = match step {
                "all" => None,
                number => Some(number.parse().ok()?),
            };
            Some(Exception { scenario: scenario.to_owned(), step, reason: reason.to_owned() })
        };
        Exceptions(page.lines().filter_map(row).collect())
    }

    /// Why this step of a scenario may differ.
    pub(crate) fn reason(&self, scenario: &str, step: usize) -> Option<&str> {
        let fits = |exception: &&Exception| {
            exception.scenario == scenario && exception.step.is_none_or(|excepted| excepted == step)
        };
        self.0.iter().find(fits).map(|exception| exception.reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_exceptions_and_all_else_is_prose() {
        let page = "# Title\n| scenario | step | reason |\n|---|---|---|\n| a | 3 | slow |\n| b | all | odd |\n";
        let exceptions = Exceptions::read(page);
        assert_eq!(exceptions.reason("a", 3), Some("slow"));
        assert_eq!(exceptions.reason("a", 4), None);
        assert_eq!(exceptions.reason("b", 9), Some("odd"));
        assert_eq!(exceptions.0.len(), 2);
    }
}
