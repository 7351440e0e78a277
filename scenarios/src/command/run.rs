//! `meshsim run`.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use sim::pcap::Capture;
use sim::record::{RunRecord, Verdict};
use sim::scenario::replay::Artefact;
use sim::scenario::{Plan, RunError, RunOptions, Timeline};

use crate::cli::RunArguments;
use crate::output::{Paint, Progress, Text};
use crate::output::{captures, saves};
use crate::{Ending, files};

/// One run to make.
struct Job {
    plan: usize,
    seed: Option<u64>,
}

/// What came of a job, and how long it took by the clock on the wall.
struct Done {
    result: Result<(RunRecord, io::Result<()>), RunError>,
    wall: std::time::Duration,
}

/// Runs every scenario under every seed.
pub(crate) fn run(arguments: &RunArguments) -> io::Result<Ending> {
    let files = files::scenarios(&arguments.paths)?;
    let mut plans = Vec::new();
    let mut wrong = Vec::new();
    for file in &files {
        match Plan::load(file) {
            Ok(plan) => plans.push(plan),
            Err(diagnostics) => wrong.extend(diagnostics),
        }
    }
    // Nothing is run while something is wrong: results of half the scenarios look like results of all.
    if !wrong.is_empty() {
        let mut out = io::stderr().lock();
        for diagnostic in wrong {
            writeln!(out, "{diagnostic}")?;
        }
        return Ok(Ending::WrongInput);
    }
    let seeds: Vec<Option<u64>> = match arguments.seeds {
        Some(range) => (range.first..=range.last).map(Some).collect(),
        None => vec![arguments.seed],
    };
    let jobs: Vec<Job> = (0..plans.len()).flat_map(|plan| seeds.iter().map(move |&seed| Job { plan, seed })).collect();
    can_write(arguments)?;
    if arguments.save.as_deref().is_some_and(|path| jobs.len() > 1 && !saves::is_folder(path)) {
        writeln!(io::stderr(), "meshsim: `--save` takes a folder for {} runs: end it in `/`", jobs.len())?;
        return Ok(Ending::WrongInput);
    }
    let single = arguments.pcap.as_ref().map(|_| "--pcap").or(arguments.perfetto.as_ref().map(|_| "--perfetto"));
    if let Some(option) = single.filter(|_| jobs.len() > 1) {
        writeln!(io::stderr(), "meshsim: `{option}` takes one run, these are {}", jobs.len())?;
        return Ok(Ending::WrongInput);
    }
    let timeline = arguments.perfetto.as_ref().map(|_| Timeline::default());
    let captures = match &arguments.pcap {
        None => Vec::new(),
        Some(path) => vec![captures::open(path, &plans[0].name)?],
    };
    let reached = Arc::default();
    let mut show = Show::new(arguments, jobs.len(), &reached);
    work_off(&plans, &jobs, arguments, (&captures, timeline.as_ref()), &reached, |done| show.one(done))?;
    for capture in &captures {
        capture.finish().map_err(|error| within(arguments.pcap.as_deref().unwrap_or(Path::new("-")), error))?;
    }
    if let (Some(path), Some(timeline)) = (&arguments.perfetto, &timeline) {
        std::fs::write(path, timeline.to_json()).map_err(|error| within(path, error))?;
    }
    show.end()
}

/// Says before anything is run, not after, that results cannot be written where they are wanted.
fn can_write(arguments: &RunArguments) -> io::Result<()> {
    if let Some(folder) = &arguments.report {
        std::fs::create_dir_all(folder).map_err(|error| within(folder, error))?;
    }
    if let Some(file) = arguments.json.as_deref().filter(|file| *file != Path::new("-")) {
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
        opened.map_err(|error| within(file, error))?;
    }
    Ok(())
}

/// The error with the path it is about.
pub(crate) fn within(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Makes all runs, several at once, and hands them on in order.
fn work_off(
    plans: &[Plan],
    jobs: &[Job],
    arguments: &RunArguments,
    (captures, timeline): (&[Capture], Option<&Timeline>),
    reached: &Arc<AtomicU64>,
    mut take: impl FnMut(Done) -> io::Result<()>,
) -> io::Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = arguments.jobs.map_or(processors, usize::from).min(jobs.len());
    let next = AtomicUsize::new(0);
    let stop = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (sender, next, stop, reached) = (sender.clone(), &next, &stop, reached);
            scope.spawn(move || {
                while stop.load(Ordering::Relaxed) == 0 {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else { break };
                    let options = RunOptions {
                        seed: job.seed,
                        delivery: arguments.delivery.map(Into::into),
                        until: arguments.until.map(|time| time.0),
                        task_order: arguments.task_order.into(),
                        events_max: None,
                        captures: captures.to_vec(),
                        timeline: timeline.cloned(),
                        log: None,
                        sightings: None,
                        explain: false,
                        reached: Some(reached.clone()),
                    };
                    let started = Instant::now();
                    let result = make(&plans[job.plan], &options, arguments.save.as_deref());
                    if sender.send((number, Done { result, wall: started.elapsed() })).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early = std::collections::BTreeMap::new();
        let mut due = 0;
        for (number, done) in receiver {
            early.insert(number, done);
            while let Some(done) = early.remove(&due) {
                due += 1;
                if let Err(error) = take(done) {
                    stop.store(1, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(())
    })
}

/// Makes one run, and saves it if that is asked for.
fn make(plan: &Plan, options: &RunOptions, save: Option<&Path>) -> Result<(RunRecord, io::Result<()>), RunError> {
    let Some(path) = save else { return Ok((sim::scenario::run(plan, options)?, Ok(()))) };
    let (record, artefact) = Artefact::record(plan, options)?;
    if !saves::wanted(path, &record) {
        return Ok((record, Ok(())));
    }
    let saved = saves::write(path, &record, &artefact);
    Ok((record, saved))
}

/// Shows results as they come.
struct Show<'a> {
    arguments: &'a RunArguments,
    text: Text,
    /// JSON on stdout leaves the words to stderr.
    words_to_stderr: bool,
    several: bool,
    progress: Progress,
    records: Vec<RunRecord>,
    /// Pages written so far, by scenario and seed: two scenarios may have one name.
    pages: BTreeMap<(String, u64), usize>,
    counts: Counts,
    /// The line that replays the first run that did not hold.
    replay: Option<String>,
    wall: Instant,
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    stalled: usize,
    crashed: usize,
    wrong: usize,
}

impl Counts {
    fn bad(&self) -> usize {
        self.failed + self.stalled + self.crashed
    }
}

impl<'a> Show<'a> {
    fn new(arguments: &'a RunArguments, runs: usize, reached: &Arc<AtomicU64>) -> Self {
        let words_to_stderr = arguments.json.as_deref() == Some(Path::new("-"));
        let terminal = if words_to_stderr { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        Show {
            arguments,
            text: Text::new(Paint::new(arguments.color, terminal)),
            words_to_stderr,
            several: runs > 1,
            progress: Progress::new(runs, reached),
            records: Vec::new(),
            pages: BTreeMap::new(),
            counts: Counts::default(),
            replay: None,
            wall: Instant::now(),
        }
    }

    fn say(&self, words: &str) -> io::Result<()> {
        if self.words_to_stderr {
            io::stderr().lock().write_all(words.as_bytes())
        } else {
            let mut out = io::stdout().lock();
            out.write_all(words.as_bytes())?;
            out.flush()
        }
    }

    fn one(&mut self, done: Done) -> io::Result<()> {
        let record = match done.result {
            Ok((record, saved)) => {
                saved?;
                record
            }
            Err(error) => {
                self.counts.wrong += 1;
                return self.progress.aside(|| writeln!(io::stderr(), "{error}"));
            }
        };
        match record.verdict {
            Verdict::Passed => self.counts.passed += 1,
            Verdict::Failed => self.counts.failed += 1,
            Verdict::Stalled => self.counts.stalled += 1,
            Verdict::Crashed => self.counts.crashed += 1,
        }
        let passed = record.verdict == Verdict::Passed;
        if !passed && self.replay.is_none() {
            self.replay = Some(record.replay.clone());
        }
        let words = match (self.several || self.arguments.quiet, passed) {
            (true, true) if self.arguments.quiet => String::new(),
            (true, true) => self.text.line(&record, done.wall),
            _ => self.text.whole(&record, done.wall),
        };
        self.progress.aside(|| self.say(&words))?;
        if let Some(folder) = &self.arguments.report {
            let seen = self.pages.entry((record.scenario.clone(), record.seed)).or_insert(0);
            let page = reports::render(&record, folder, std::mem::replace(seen, *seen + 1))
                .map_err(|error| within(folder, error))?;
            if !self.several {
                self.say(&self.text.page(&page))?;
            }
        }
        self.progress.step(&record.scenario, self.counts.bad());
        if self.arguments.json.is_some() {
            self.records.push(record);
        }
        Ok(())
    }

    fn end(self) -> io::Result<Ending> {
        self.progress.end();
        if self.several {
            let counts = &self.counts;
            let bad = counts.bad() + counts.wrong;
            let total = counts.passed + bad;
            self.say(&self.text.total(total, bad, self.wall.elapsed()))?;
            if let Some(replay) = &self.replay {
                self.say(&self.text.replay(replay))?;
            }
        }
        if let Some(path) = &self.arguments.json {
            let mut json = match self.records.as_slice() {
                [one] if !self.several => serde_json::to_vec_pretty(one)?,
                several => serde_json::to_vec_pretty(several)?,
            };
            json.push(b'\n');
            if self.words_to_stderr {
                io::stdout().lock().write_all(&json)?;
            } else {
                std::fs::write(path, json).map_err(|error| within(path, error))?;
            }
        }
        Ok(match self.counts {
            Counts { wrong: 1.., .. } => Ending::WrongInput,
            Counts { crashed: 1.., .. } => Ending::Crashed,
            Counts { failed: 1.., .. } => Ending::Failed,
            Counts { stalled: 1.., .. } => Ending::Stalled,
            _ => Ending::Held,
        })
    }
}
