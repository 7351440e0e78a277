//! `meshsim replay`.

use std::io::{self, IsTerminal, Write};

use sim::scenario::replay::Artefact;

use crate::Ending;
use crate::cli::ReplayArguments;
use crate::command::run::within;
use crate::output::{Paint, Text};

/// Runs a saved run again, and says whether it went the same way.
pub(crate) fn run(arguments: &ReplayArguments) -> io::Result<Ending> {
    let bytes = std::fs::read(&arguments.file).map_err(|error| within(&arguments.file, error))?;
    let artefact = match Artefact::read(&bytes) {
        Ok(artefact) => artefact,
        Err(wrong) => return wrong_input(&format!("{}: {wrong}", arguments.file.display())),
    };
    let plan = match artefact.plan() {
        Ok(plan) => plan,
        Err(diagnostics) => {
            let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            return wrong_input(&lines.join("\n"));
        }
    };
    let started = std::time::Instant::now();
    let replayed = match artefact.replay(&plan, arguments.until.map(|time| time.0)) {
        Ok(replayed) => replayed,
        Err(error) => return wrong_input(&error.to_string()),
    };
    let mut out = io::stdout().lock();
    if arguments.trace {
        let wanted = arguments.node.as_deref();
        let here = |event: &&sim::scenario::replay::LoggedEvent| wanted.is_none_or(|node| event.node == node);
        for event in replayed.log.events.iter().filter(here) {
            writeln!(out, "{event}")?;
        }
    } else {
        let text = Text::new(Paint::new(arguments.color, out.is_terminal()));
        out.write_all(text.whole(&replayed.record, started.elapsed()).as_bytes())?;
    }
    match &replayed.divergence {
        None => {
            let so_far = if arguments.until.is_some() { " as far as it went" } else { "" };
            writeln!(out, "reproduced bit for bit{so_far}: {}", replayed.record.digest)?;
            Ok(Ending::Held)
        }
        Some(divergence) => {
            writeln!(out, "{divergence}")?;
            if artefact.meshsim != replayed.record.meshsim {
                let (saved, now) = (&artefact.meshsim, &replayed.record.meshsim);
                writeln!(out, "it was saved by meshsim {saved}, this is {now}: another version may behave otherwise")?;
            }
            Ok(Ending::Failed)
        }
    }
}

fn wrong_input(words: &str) -> io::Result<Ending> {
    writeln!(io::stderr(), "{words}")?;
    Ok(Ending::WrongInput)
}
