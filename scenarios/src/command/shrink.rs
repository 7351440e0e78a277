//! `meshsim shrink`.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use sim::scenario::Plan;
use sim::scenario::draft::Draft;
use sim::scenario::replay::Artefact;
use sim::scenario::shrink::{breaks, shrink};
use sim::scenario::swarm::{broken, drafted, run_draft};

use super::sweep;
use crate::Ending;
use crate::cli::ShrinkArguments;
use crate::command::run::within;

/// Without `--for`.
const PATIENCE: Duration = Duration::from_secs(300);

/// Finds the smallest scenario that fails the same way.
pub(crate) fn run(arguments: &ShrinkArguments) -> io::Result<Ending> {
    let (plan, mut draft, saved) = if arguments.scenario.extension().is_some_and(|end| end == "json") {
        let bytes = std::fs::read(&arguments.scenario).map_err(|error| within(&arguments.scenario, error))?;
        match artefact(&bytes) {
            Ok((plan, draft, seed)) => (plan, draft, Some(seed)),
            Err(wrong) => return wrong_input(&wrong),
        }
    } else {
        let Some((plan, draft)) = sweep::read(&arguments.scenario)? else { return Ok(Ending::WrongInput) };
        (plan, draft, None)
    };
    // A saved run has drawn all it draws; a seed that is asked for is one of a sweep, or the plain run's if that fails only.
    let seed = arguments.seed.or(saved).unwrap_or(plan.seed);
    draft.root.insert("seed".to_owned(), seed.into());
    let mut what = None;
    if let (Some(_), None) = (arguments.seed, &saved) {
        let (drawn, of_sweep) = match drafted(&plan, &draft, seed) {
            Ok((drawn, draft, _)) => (drawn, draft),
            Err(error) => return wrong_input(&error.to_string()),
        };
        // As a sweep judges it: what may excuse a missed expectation does.
        what = failure(&of_sweep, drawn.excuses_nothing())?;
        if what.is_some() {
            draft = of_sweep;
        }
    }
    if what.is_none() {
        what = failure(&draft, true)?;
    }
    let Some(what) = what else {
        writeln!(io::stderr(), "meshsim: nothing to shrink: with seed {seed} everything holds")?;
        return Ok(Ending::WrongInput);
    };
    let before = draft.text().lines().count();
    let (started, patience) = (Instant::now(), arguments.lasts.map_or(PATIENCE, |lasts| lasts.0));
    let watched = sweep::is_watched();
    let small = shrink(&draft, &what, &mut |runs, lines| {
        if watched {
            let _ = write!(io::stderr(), "\r  {runs} runs, {lines} lines that break {what} ");
        }
        started.elapsed() < patience
    });
    if watched {
        writeln!(io::stderr())?;
    }
    let text = small.text();
    // What is handed on is what was read back from its own text, and fails.
    let again = Plan::parse("shrunk.yaml", &text, arguments.scenario.parent().unwrap_or(".".as_ref()));
    let holds = again.ok().and_then(|plan| Draft::of(&plan).ok()).is_none_or(|again| !breaks(&again, &what));
    if holds {
        return wrong_input("meshsim: what was found does not fail when it is read back; it is not written");
    }
    match &arguments.out {
        Some(path) => std::fs::write(path, &text).map_err(|error| within(path, error))?,
        None => io::stdout().lock().write_all(text.as_bytes())?,
    }
    let lines = text.lines().count();
    writeln!(io::stderr(), "{what} is broken by {lines} lines; there were {before}, without their manifests")?;
    Ok(Ending::Held)
}

/// What a draft breaks first.
fn failure(draft: &Draft, expectations: bool) -> io::Result<Option<String>> {
    match run_draft(draft, None) {
        Ok(record) => Ok(broken(&record, expectations).into_iter().next()),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}

fn artefact(bytes: &[u8]) -> Result<(Plan, Draft, u64), String> {
    let words =
        |wrong: Vec<sim::cluster::Diagnostic>| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let artefact = Artefact::read(bytes)?;
    let plan = artefact.plan().map_err(words)?;
    let mut draft = Draft::of(&plan).map_err(words)?;
    if artefact.seeded_order {
        draft.root.insert("tuning".to_owned(), serde_json::json!({ "task_order": "drawn" }));
    }
    Ok((plan, draft, artefact.seed))
}

fn wrong_input(words: &str) -> io::Result<Ending> {
    writeln!(io::stderr(), "{words}")?;
    Ok(Ending::WrongInput)
}
