//! `meshsim sweep` and `meshsim merge`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use sim::record::Verdict;
use sim::scenario::Plan;
use sim::scenario::draft::Draft;
use sim::scenario::sightings::GOALS;
use sim::scenario::swarm::{SeedResult, SweepError, run_seed};

use super::twice::{self, Twice};
use crate::Ending;
use crate::cli::{MergeArguments, SweepArguments};
use crate::command::run::within;
use crate::output::Progress;

/// So many failing seeds are told in full.
const TOLD: usize = 5;

/// Runs one scenario under many seeds, each with faults and settings of its own.
pub(crate) fn run(arguments: &SweepArguments) -> io::Result<Ending> {
    let Some((plan, draft)) = read(&arguments.scenario)? else { return Ok(Ending::WrongInput) };
    let mut results = match &arguments.out {
        Some(path) if arguments.resume && path.exists() => results_of(path)?,
        _ => Vec::new(),
    };
    let known: BTreeSet<u64> = results.iter().map(|result| result.seed).collect();
    let (first, last) = match (arguments.seeds, arguments.lasts) {
        (Some(seeds), _) => (seeds.first, seeds.last),
        (None, Some(_)) => (1, u64::MAX),
        (None, None) => (1, 100),
    };
    let mine = |seed: &u64| {
        let ours = arguments.shard.is_none_or(|shard| (seed - first) % shard.of == shard.number % shard.of);
        ours && !known.contains(seed)
    };
    let count = if last == u64::MAX { 0 } else { (first..=last).filter(mine).count() };
    let mut file = arguments.out.as_deref().map(|path| Lines::open(path, arguments.resume)).transpose()?;
    let started = Instant::now();
    let in_time = || arguments.lasts.is_none_or(|lasts| started.elapsed() < lasts.0);
    let progress = Progress::new(count.max(2), &Arc::new(AtomicU64::new(0)));
    let mut bad = 0;
    let mut wrong = None;
    let mut parted = Vec::new();
    let one = |seed| match arguments.twice {
        false => run_seed(&plan, &draft, seed).map_err(Trouble::Wrong),
        true => match twice::run(&arguments.scenario, seed) {
            Ok(Twice::Same(result)) => Ok(*result),
            Ok(Twice::Parted(words)) => Err(Trouble::Parted(words)),
            Ok(Twice::Failed(words)) => Err(Trouble::NotRun(words)),
            Err(error) => Err(Trouble::NotRun(format!("seed {seed}: cannot start another process: {error}"))),
        },
    };
    work_off((first..=last).filter(mine), arguments.jobs.map(usize::from), in_time, one, |result| {
        match result {
            Ok(result) => {
                if let Some(file) = &mut file {
                    file.add(&result)?;
                }
                bad += usize::from(result.verdict != Verdict::Passed);
                results.push(result);
            }
            Err(Trouble::Parted(words)) => {
                bad += 1;
                parted.push(words);
            }
            Err(Trouble::NotRun(words)) => wrong = wrong.take().or(Some(words)),
            Err(Trouble::Wrong(error)) => wrong = wrong.take().or(Some(error.to_string())),
        }
        progress.step(&plan.name, bad);
        Ok(())
    })?;
    progress.end();
    if let Some(error) = wrong {
        writeln!(io::stderr(), "{error}")?;
        return Ok(Ending::WrongInput);
    }
    if arguments.lines {
        write_lines(&mut io::stdout().lock(), &results)?;
        return Ok(ending(results.iter().map(|result| result.verdict)));
    }
    let in_order = results.is_sorted_by_key(|result| result.seed);
    results.sort_by_key(|result| result.seed);
    if let Some(path) = arguments.out.as_deref().filter(|_| !in_order) {
        replace(path, &results)?;
    }
    let ending = tell(&results, Some(&arguments.scenario))?;
    if !arguments.twice {
        return Ok(ending);
    }
    let mut out = io::stdout().lock();
    parted.iter().take(TOLD).try_for_each(|words| writeln!(out, "{words}"))?;
    writeln!(out, "{} seeds run twice, {} went two ways", results.len() + parted.len(), parted.len())?;
    Ok(if parted.is_empty() { ending } else { Ending::Failed })
}

/// Makes one sweep of several parts of it.
pub(crate) fn merge(arguments: &MergeArguments) -> io::Result<Ending> {
    let mut merged: BTreeMap<u64, SeedResult> = BTreeMap::new();
    for path in &arguments.files {
        for result in results_of(path)? {
            if let Some(other) = merged.get(&result.seed).filter(|other| **other != result) {
                let seed = other.seed;
                writeln!(io::stderr(), "{}: seed {seed} went otherwise than in an earlier file", path.display())?;
                return Ok(Ending::WrongInput);
            }
            merged.insert(result.seed, result);
        }
    }
    let results: Vec<SeedResult> = merged.into_values().collect();
    if let Some(path) = &arguments.out {
        replace(path, &results)?;
    }
    tell(&results, None)
}

/// A scenario as plan and as plain data. What is wrong with it is said.
pub(crate) fn read(path: &Path) -> io::Result<Option<(Plan, Draft)>> {
    let read = Plan::load(path).and_then(|plan| {
        let draft = Draft::of(&plan)?;
        Ok((plan, draft))
    });
    match read {
        Ok(read) => Ok(Some(read)),
        Err(wrong) => {
            let mut out = io::stderr().lock();
            for diagnostic in wrong {
                writeln!(out, "{diagnostic}")?;
            }
            Ok(None)
        }
    }
}

fn write_lines(out: &mut impl Write, results: &[SeedResult]) -> io::Result<()> {
    for result in results {
        let mut line = serde_json::to_vec(result)?;
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()
}

/// Puts all results in the place of a file, or leaves it as it is: nothing in between.
fn replace(path: &Path, results: &[SeedResult]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = Path::new(&name);
    let mut file = std::fs::File::create(new).map_err(|error| within(new, error))?;
    write_lines(&mut file, results)?;
    drop(file);
    std::fs::rename(new, path).map_err(|error| within(path, error))
}

/// The file of results of a sweep under way. Whole lines are only ever added to it: whoever is killed in the middle leaves
/// all that was there before, and at most a part of a last line.
struct Lines(std::fs::File);

impl Lines {
    /// A new file; or to go on, the one there is, without what was half written.
    fn open(path: &Path, resume: bool) -> io::Result<Lines> {
        let words = |error| within(path, error);
        let mut options = std::fs::OpenOptions::new();
        if !resume {
            std::fs::File::create(path).map_err(words)?;
        }
        let file = options.create(true).append(true).open(path).map_err(words)?;
        if resume {
            let text = std::fs::read(path).map_err(words)?;
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            file.set_len(whole as u64).map_err(words)?;
        }
        Ok(Lines(file))
    }

    fn add(&mut self, result: &SeedResult) -> io::Result<()> {
        write_lines(&mut self.0, std::slice::from_ref(result))
    }
}

/// What a file of results holds. A last line that was cut short does not count.
fn results_of(path: &Path) -> io::Result<Vec<SeedResult>> {
    let text = std::fs::read(path).map_err(|error| within(path, error))?;
    let mut results = Vec::new();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &text[..end]);
    for (number, line) in String::from_utf8_lossy(whole).lines().enumerate() {
        let result = serde_json::from_str(line).map_err(|error| {
            let place = format!("{}:{}: {error}; it should be a line of `meshsim sweep`", path.display(), number + 1);
            io::Error::new(io::ErrorKind::InvalidData, place)
        })?;
        results.push(result);
    }
    Ok(results)
}

/// Why a seed has no result.
enum Trouble {
    Wrong(SweepError),
    /// It went two ways.
    Parted(String),
    /// Its process could not be run.
    NotRun(String),
}

type Result1 = Result<SeedResult, Trouble>;

/// Runs seeds on all processors, and hands results on in order of seeds.
fn work_off(
    seeds: impl Iterator<Item = u64> + Send,
    jobs: Option<usize>,
    in_time: impl Fn() -> bool + Sync,
    one: impl Fn(u64) -> Result1 + Sync,
    mut take: impl FnMut(Result1) -> io::Result<()>,
) -> io::Result<()> {
    let workers = jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let seeds = std::sync::Mutex::new(seeds.enumerate());
    let stop = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::sync_channel(workers * 64);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (sender, seeds, stop, in_time, one) = (sender.clone(), &seeds, &stop, &in_time, &one);
            scope.spawn(move || {
                while stop.load(Ordering::Relaxed) == 0 && in_time() {
                    let next = seeds.lock().ok().and_then(|mut seeds| seeds.next());
                    let Some((number, seed)) = next else { break };
                    if sender.send((number, one(seed))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut due = 0;
        for (number, result) in receiver {
            early.insert(number, result);
            while let Some(result) = early.remove(&due) {
                due += 1;
                if let Err(error) = take(result) {
                    stop.store(1, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(())
    })
}

/// What came of a sweep, for people.
fn tell(results: &[SeedResult], scenario: Option<&Path>) -> io::Result<Ending> {
    let mut out = io::stdout().lock();
    let bad: Vec<&SeedResult> = results.iter().filter(|result| result.verdict != Verdict::Passed).collect();
    for result in bad.iter().take(TOLD) {
        writeln!(out, "seed {} broke {}", result.seed, result.broken.join(", "))?;
        let drawn = serde_json::to_value(&result.drawn)?;
        for fault in drawn.get("faults").and_then(|it| it.as_array()).into_iter().flatten() {
            writeln!(out, "    fault   {fault}")?;
        }
        for (word, list) in [("step", "steps"), ("load", "load")] {
            for item in drawn.get(list).and_then(|it| it.as_array()).into_iter().flatten() {
                writeln!(out, "    {word:<7} {item}")?;
            }
        }
        let listed = ["faults", "steps", "load"];
        for (name, value) in drawn.as_object().into_iter().flatten().filter(|(name, _)| !listed.contains(&&***name)) {
            writeln!(out, "    {name:<7} {value}")?;
        }
        if let Some(scenario) = scenario {
            writeln!(out, "    smaller: meshsim shrink {} --seed {}", scenario.display(), result.seed)?;
        }
    }
    if bad.len() > TOLD {
        writeln!(out, "and {} more seeds", bad.len() - TOLD)?;
    }
    writeln!(out, "reached, by seeds and times:")?;
    for goal in GOALS {
        let seeds = results.iter().filter(|result| result.goals.contains_key(goal)).count();
        let times: u64 = results.iter().filter_map(|result| result.goals.get(goal)).sum();
        let never = if seeds == 0 { "  never" } else { "" };
        writeln!(out, "    {goal:<32} {seeds:>7} {times:>9}{never}")?;
    }
    let mut by_what: BTreeMap<&str, usize> = BTreeMap::new();
    for what in bad.iter().flat_map(|result| &result.broken) {
        *by_what.entry(what).or_insert(0) += 1;
    }
    let words: Vec<String> = by_what.iter().map(|(what, seeds)| format!("{what} in {seeds}")).collect();
    let of_what = if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) };
    writeln!(out, "{} seeds, {} did not hold{of_what}", results.len(), bad.len())?;
    Ok(ending(bad.iter().map(|result| result.verdict)))
}

/// As of several runs.
fn ending(verdicts: impl Iterator<Item = Verdict>) -> Ending {
    let mut ending = Ending::Held;
    for verdict in verdicts {
        ending = match (verdict, ending) {
            (_, Ending::Crashed) | (Verdict::Crashed, _) => Ending::Crashed,
            (_, Ending::Failed) | (Verdict::Failed, _) => Ending::Failed,
            (Verdict::Stalled, _) => Ending::Stalled,
            (Verdict::Passed, ending) => ending,
        };
    }
    ending
}

/// Whether words on stderr are seen by a person.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}
