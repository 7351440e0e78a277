//! `meshsim gate`: figures of today beside those of a baseline.

mod arguments;
mod baseline;
mod compare;
mod figures;
mod junit;
mod measure;
mod table;
mod tolerance;
mod valgrind;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sim::scenario::Plan;

pub(crate) use self::arguments::GateArguments;
use self::baseline::Baseline;
use self::compare::{Comparison, ScenarioComparison, ScenarioOutcome};
use self::measure::{Measured, Subject};
use self::tolerance::Tolerances;
use self::valgrind::Counted;
use crate::command::run::within;
use crate::output::{Paint, Progress};
use crate::{Ending, files};

/// What a new baseline is made of if nothing else is named: all parts of the data path, in seconds even in a debug build.
const CHOICE: [&str; 17] = [
    "bookshop/first-look.yaml",
    "connections/half-close.yaml",
    "connections/slow-reader.yaml",
    "connections/streams-are-byte-exact.yaml",
    "control-plane/on-the-wire.yaml",
    "dns/names-mean-the-same.yaml",
    "faults/a-proxy-is-upgraded.yaml",
    "faults/loss-is-made-good.yaml",
    "load/mutual-tls-in-the-tail.yaml",
    "load/waiting-counts.yaml",
    "mtls/permissive-to-strict-cuts-plaintext.yaml",
    "routing/each-request-is-balanced.yaml",
    "routing/grpc-streams.yaml",
    "routing/retries.yaml",
    "waypoint-policy/custom-then-deny-then-allow.yaml",
    "waypoint-robustness/paths-are-read-one-way.yaml",
    "waypoint-tokens/valid-expired-forged.yaml",
];

/// Compares, tells, and writes what was asked for.
pub(crate) fn run(arguments: &GateArguments) -> io::Result<Ending> {
    let written = Baseline::read(&arguments.baseline)?;
    if written.is_none() && !arguments.update {
        let path = arguments.baseline.display();
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no baseline {path}: write it with `meshsim gate --baseline {path} --update`"),
        ));
    }
    let folder = baseline::folder(&arguments.baseline)?;
    let old = written.clone().unwrap_or_default();
    let in_baseline = |wrong| io::Error::other(format!("{}: {wrong}", arguments.baseline.display()));
    let mut tolerances = Tolerances::read(&old.tolerances).map_err(in_baseline)?;
    for allowance in &arguments.tolerances {
        tolerances.ask(allowance.figures.clone(), allowance.tolerance);
    }
    let (found, gone) = files_to_run(arguments, written.as_ref(), &folder)?;
    let subjects = match subjects(found)? {
        Ok(subjects) => subjects,
        Err(ending) => return Ok(ending),
    };
    for path in [&arguments.markdown, &arguments.junit].into_iter().flatten() {
        // Before anything is run, not after; what is there stays until there is something to put in its place.
        std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(|error| within(path, error))?;
    }
    let mut notes = Vec::new();
    let counted = counted(arguments, &mut notes);
    let progress = Progress::new(subjects.len().max(2), &Arc::default());
    let measured = measure::all(&subjects, &counted, arguments.jobs, |subject| progress.step(&subject.plan.name, 0));
    progress.end();
    let measured: BTreeMap<String, Measured> =
        subjects.into_iter().map(|subject| subject.path).zip(measured?).collect();

    let mut comparison = compared(&old, &measured, &gone, &tolerances);
    comparison.notes = notes;
    comparison.notes.extend(left_out(&old, &measured, &gone));
    comparison.notes.extend(idle(&old, &measured, &tolerances));
    tell(arguments, &comparison)?;
    if arguments.update {
        return update(arguments, old, measured, &comparison);
    }
    if comparison.passed() {
        return Ok(Ending::Held);
    }
    writeln!(io::stdout(), "if that is meant: meshsim gate --baseline {} --update", arguments.baseline.display())?;
    Ok(Ending::Failed)
}

/// The files to run, by what the baseline calls them, and what the baseline names and is not there.
fn files_to_run(
    arguments: &GateArguments,
    baseline: Option<&Baseline>,
    folder: &Path,
) -> io::Result<(BTreeMap<String, PathBuf>, BTreeSet<String>)> {
    let named = match (arguments.paths.is_empty(), baseline) {
        (true, Some(baseline)) => {
            let all = baseline.scenarios.keys().map(|path| (path.clone(), folder.join(path)));
            let (there, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = all.partition(|(_, file)| file.is_file());
            return Ok((there, gone.into_keys().collect()));
        }
        (true, None) => CHOICE.map(|path| files::catalogue().join(path)).to_vec(),
        (false, _) => files::scenarios(&arguments.paths)?,
    };
    let keyed: io::Result<BTreeMap<String, PathBuf>> =
        named.into_iter().map(|file| Ok((baseline::key(folder, &file)?, file))).collect();
    Ok((keyed?, BTreeSet::new()))
}

/// Reads every scenario; what is wrong with any is told, and ends it.
fn subjects(files: BTreeMap<String, PathBuf>) -> io::Result<Result<Vec<Subject>, Ending>> {
    let (mut subjects, mut wrong) = (Vec::new(), Vec::new());
    for (path, file) in files {
        match Plan::load(&file) {
            Ok(plan) => subjects.push(Subject { path, file, plan }),
            Err(diagnostics) => wrong.extend(diagnostics),
        }
    }
    for diagnostic in &wrong {
        writeln!(io::stderr(), "{diagnostic}")?;
    }
    Ok(if wrong.is_empty() { Ok(subjects) } else { Err(Ending::WrongInput) })
}

/// What valgrind is to count.
fn counted(arguments: &GateArguments, notes: &mut Vec<String>) -> Vec<Counted> {
    let asked = [(arguments.instructions, Counted::Instructions), (arguments.allocations, Counted::Allocations)];
    let asked: Vec<Counted> = asked.into_iter().filter(|(asked, _)| *asked).map(|(_, counted)| counted).collect();
    if !asked.is_empty() && !valgrind::is_here() {
        notes
            .push("valgrind is not installed: instructions and allocations were not counted, only the rest".to_owned());
        return Vec::new();
    }
    asked
}

fn compared(
    old: &Baseline,
    measured: &BTreeMap<String, Measured>,
    gone: &BTreeSet<String>,
    tolerances: &Tolerances,
) -> Comparison {
    let outcome = |path: &String, measured: &Measured| match (old.scenarios.get(path), measured) {
        (_, Measured::DidNotHold { verdict, replay }) => {
            ScenarioOutcome::DidNotHold { verdict: verdict.clone(), replay: replay.clone() }
        }
        (None, Measured::Counted(_)) => ScenarioOutcome::New,
        (Some(was), Measured::Counted(now)) if was.seed != now.seed => {
            ScenarioOutcome::Reseeded { was: was.seed, now: now.seed }
        }
        (Some(was), Measured::Counted(now)) => {
            ScenarioOutcome::Compared(compare::figures(&was.figures, &now.figures, tolerances))
        }
    };
    let mut scenarios: BTreeMap<&String, ScenarioOutcome> =
        measured.iter().map(|(path, measured)| (path, outcome(path, measured))).collect();
    scenarios.extend(gone.iter().map(|path| (path, ScenarioOutcome::Gone)));
    let scenarios = scenarios.into_iter();
    let scenarios = scenarios.map(|(path, outcome)| ScenarioComparison { path: path.clone(), outcome }).collect();
    Comparison { scenarios, notes: Vec::new() }
}

/// Scenarios of the baseline that nobody asked for.
fn left_out(old: &Baseline, measured: &BTreeMap<String, Measured>, gone: &BTreeSet<String>) -> Option<String> {
    let left = old.scenarios.keys().filter(|path| !measured.contains_key(*path) && !gone.contains(*path)).count();
    let what = crate::output::units::plural(left, "further scenario");
    (left > 0).then(|| format!("{what} of the baseline left out, as asked"))
}

/// Tolerances of figures that do not exist.
fn idle(old: &Baseline, measured: &BTreeMap<String, Measured>, tolerances: &Tolerances) -> Option<String> {
    let counted = measured.values().filter_map(|measured| match measured {
        Measured::Counted(counted) => Some(counted),
        Measured::DidNotHold { .. } => None,
    });
    let figures: BTreeSet<&str> = counted
        .chain(old.scenarios.values())
        .flat_map(|scenario| scenario.figures.keys().map(String::as_str))
        .collect();
    let idle = tolerances.idle(&Vec::from_iter(figures));
    let quoted: Vec<String> = idle.into_iter().map(|pattern| format!("`{pattern}`")).collect();
    (!quoted.is_empty()).then(|| format!("no figure is called {}: its tolerance does nothing", quoted.join(" or ")))
}

fn tell(arguments: &GateArguments, comparison: &Comparison) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let paint = Paint::new(arguments.color, out.is_terminal());
    let words = if arguments.update { table::moved } else { table::text };
    out.write_all(words(comparison, arguments.all, paint).as_bytes())?;
    out.flush()?;
    if let Some(path) = &arguments.markdown {
        // A summary of a CI job is written by several: it goes to the end.
        let mut file = std::fs::OpenOptions::new().append(true).open(path).map_err(|error| within(path, error))?;
        let text = table::markdown(comparison, &arguments.baseline.display().to_string());
        file.write_all(text.as_bytes()).map_err(|error| within(path, error))?;
    }
    if let Some(path) = &arguments.junit {
        std::fs::write(path, junit::document(comparison)).map_err(|error| within(path, error))?;
    }
    Ok(())
}

/// Writes today's figures. What valgrind counted once and did not count today stays.
fn update(
    arguments: &GateArguments,
    mut new: Baseline,
    measured: BTreeMap<String, Measured>,
    comparison: &Comparison,
) -> io::Result<Ending> {
    let mut out = io::stdout().lock();
    let path = arguments.baseline.display();
    let mut held = true;
    for scenario in &comparison.scenarios {
        match &scenario.outcome {
            ScenarioOutcome::Compared(_) => {}
            ScenarioOutcome::New => writeln!(out, "{}: taken in", scenario.path)?,
            ScenarioOutcome::Reseeded { was, now } => {
                writeln!(out, "{}: of seed {now} now, before of {was}", scenario.path)?;
            }
            ScenarioOutcome::Gone => {
                writeln!(out, "{}: dropped, it is not there any more", scenario.path)?;
                new.scenarios.remove(&scenario.path);
            }
            ScenarioOutcome::DidNotHold { verdict, replay } => {
                held = false;
                writeln!(out, "{}: {verdict}: {replay}", scenario.path)?;
            }
        }
    }
    if !held {
        writeln!(out, "{path} is left as it was: not every scenario held")?;
        return Ok(Ending::Failed);
    }
    for (path, measured) in measured {
        let Measured::Counted(mut today) = measured else { continue };
        let before = new.scenarios.remove(&path).unwrap_or_default();
        for (figure, value) in before.figures.into_iter().filter(|(figure, _)| valgrind::counts(figure)) {
            today.figures.entry(figure).or_insert(value);
        }
        new.scenarios.insert(path, today);
    }
    new.write(&arguments.baseline)?;
    let figures: usize = new.scenarios.values().map(|scenario| scenario.figures.len()).sum();
    let (scenarios, figures) = (
        crate::output::units::plural(new.scenarios.len(), "scenario"),
        crate::output::units::plural(figures, "figure"),
    );
    writeln!(out, "{path} holds {figures} of {scenarios}")?;
    Ok(Ending::Held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_of_this_repository_is_of_the_choice() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json");
        let baseline = Baseline::read(&path).expect("a baseline").expect("a file");
        let due: Vec<String> = CHOICE.iter().map(|path| format!("catalog/{path}")).collect();
        assert_eq!(baseline.scenarios.into_keys().collect::<Vec<_>>(), due);
    }

    #[test]
    fn the_choice_of_the_catalogue_is_there_and_in_order() {
        assert!(CHOICE.is_sorted());
        for path in CHOICE {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog").join(path);
            assert!(sim::scenario::looks_like_scenario(&file), "{path}");
        }
    }
}
