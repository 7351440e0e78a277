//! `meshsim parity`.

mod exceptions;

use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use clap::Args;
use proxy_core::host::TokioRuntime;
use sim::loopback::Block;
use sim::scenario::parity::{Comparison, compare, senseless};
use sim::scenario::quantity::Time;
use sim::scenario::{LiveOptions, Plan, RunOptions, run_live};

use self::exceptions::Exceptions;
use super::live::processors;
use crate::cli::Colour;
use crate::output::Paint;
use crate::{Ending, files};

const EXAMPLES: &str = "\
Examples:
  meshsim parity scenarios/catalog/bookshop/first-look.yaml
  meshsim parity scenarios/catalog --longest 20s               all of a folder that last at most 20 s
  meshsim parity scenarios/catalog/policy --jobs 16            that many meshes at once

Exit status: 0 if every step agrees or is listed as an exception, 1 if one differs, 2 if the input is wrong.";

/// Run scenarios simulated and on real sockets, and compare what they come to
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ParityArguments {
    /// Scenario files, or folders to search for them
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Pass over scenarios that last longer: on real sockets time is real
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) longest: Time,

    /// Simulate under this many seeds: what some come to and others do not makes no difference
    #[arg(long, value_name = "N", default_value = "8")]
    pub(crate) seeds: NonZeroUsize,

    /// How many scenarios at once [default: four for each processor]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// Every step, not only those that differ
    #[arg(long, short)]
    pub(crate) verbose: bool,

    /// Colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Colour,
}

/// What came of a scenario.
enum Parity {
    Compared(Vec<Comparison>),
    Skipped(String),
    Impossible(String),
}

#[derive(Default)]
struct Counts {
    agreed: usize,
    excepted: usize,
    differed: usize,
    scenarios: usize,
    skipped: usize,
    impossible: usize,
}

/// Compares every scenario.
pub(crate) fn run(arguments: &ParityArguments) -> io::Result<Ending> {
    let files = files::scenarios(&arguments.paths)?;
    let mut plans = Vec::new();
    let mut wrong = Vec::new();
    for file in &files {
        match Plan::load(file) {
            Ok(plan) => plans.push(plan),
            Err(diagnostics) => wrong.extend(diagnostics),
        }
    }
    if !wrong.is_empty() {
        for diagnostic in wrong {
            writeln!(io::stderr(), "{diagnostic}")?;
        }
        return Ok(Ending::WrongInput);
    }
    let paint = Paint::new(arguments.color, io::stdout().is_terminal());
    let exceptions = Exceptions::of_the_page();
    let mut counts = Counts::default();
    work_off(&plans, arguments, |plan, parity| tell(plan, parity, arguments, &exceptions, paint, &mut counts))?;
    let words = format!(
        "{} scenarios: {} steps agree, {} differ as listed, {} differ; {} scenarios passed over\n",
        counts.scenarios, counts.agreed, counts.excepted, counts.differed, counts.skipped
    );
    io::stdout().lock().write_all(format!("\n{words}").as_bytes())?;
    Ok(match counts {
        Counts { impossible: 1.., .. } => Ending::WrongInput,
        Counts { differed: 1.., .. } => Ending::Failed,
        _ => Ending::Held,
    })
}

/// Compares several at once, and hands them on in order.
fn work_off(
    plans: &[Plan],
    arguments: &ParityArguments,
    mut take: impl FnMut(&Plan, Parity) -> io::Result<()>,
) -> io::Result<()> {
    let jobs = arguments.jobs.map_or_else(|| processors() * 4, usize::from).min(plans.len());
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((number, plan)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    plans.get(number).map(|plan| (number, plan))
                } {
                    if sender.send((number, one(plan, arguments))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early = std::collections::BTreeMap::new();
        let mut due = 0;
        for (number, parity) in receiver {
            early.insert(number, parity);
            while let Some(parity) = early.remove(&due) {
                take(&plans[due], parity)?;
                due += 1;
            }
        }
        Ok(())
    })
}

fn one(plan: &Plan, arguments: &ParityArguments) -> Parity {
    if let Some(why) = senseless(plan, arguments.longest.0) {
        return Parity::Skipped(why);
    }
    match both(plan, arguments) {
        Ok(compared) => Parity::Compared(compared),
        Err(error) => Parity::Impossible(error),
    }
}

fn both(plan: &Plan, arguments: &ParityArguments) -> Result<Vec<Comparison>, String> {
    let seeds = (0..arguments.seeds.get() as u64).map(|more| plan.seed.saturating_add(more));
    let simulated = seeds
        .map(|seed| sim::scenario::run(plan, &RunOptions { seed: Some(seed), ..RunOptions::default() }))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let runtime = TokioRuntime::new(processors().min(2)).map_err(|error| format!("cannot start threads: {error}"))?;
    let live = runtime.drive(|host| {
        let block = Block::choose(&host).map_err(|error| error.to_string())?;
        let options = RunOptions::default();
        run_live(plan, &options, LiveOptions::default(), host, block).map_err(|error| error.to_string())
    })?;
    Ok(compare(&simulated, &live))
}

fn tell(
    plan: &Plan,
    parity: Parity,
    arguments: &ParityArguments,
    exceptions: &Exceptions,
    paint: Paint,
    counts: &mut Counts,
) -> io::Result<()> {
    let mut text = String::new();
    match parity {
        Parity::Skipped(why) => {
            counts.skipped += 1;
            text.push_str(&paint.faint(format!("- {}: passed over: {why}\n", plan.name)));
        }
        Parity::Impossible(error) => {
            counts.impossible += 1;
            text.push_str(&format!("{} {}: {error}\n", paint.bad("✗"), plan.name));
        }
        Parity::Compared(compared) => {
            counts.scenarios += 1;
            let mut lines = String::new();
            let mut differs = false;
            for comparison in &compared {
                let excepted = exceptions.reason(&plan.name, comparison.number);
                let (word, shown) = match (comparison.agrees(), excepted) {
                    (true, _) => {
                        counts.agreed += 1;
                        ("agree".to_owned(), arguments.verbose)
                    }
                    (false, Some(reason)) => {
                        counts.excepted += 1;
                        (format!("excepted: {reason}"), true)
                    }
                    (false, None) => {
                        counts.differed += 1;
                        differs = true;
                        (paint.bad("differ"), true)
                    }
                };
                if !shown {
                    continue;
                }
                lines.push_str(&format!("    {:>3}  {}  {word}\n", comparison.number, comparison.summary));
                for difference in &comparison.differences {
                    lines.push_str(&format!("           {}\n", difference.replace('\n', "\n           ")));
                }
            }
            let glyph = if differs { paint.bad("✗") } else { paint.good("✓") };
            text.push_str(&format!("{glyph} {}  {} compared\n{lines}", plan.name, compared.len()));
        }
    }
    io::stdout().lock().write_all(text.as_bytes())
}
