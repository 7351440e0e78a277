//! `meshsim explain`.

use std::io::{self, IsTerminal, Write};

use sim::record::{RequestResult, RunRecord, StepResult};
use sim::scenario::{Plan, RunOptions};

use crate::Ending;
use crate::cli::ExplainArguments;
use crate::output::{Paint, Text};

/// Runs a scenario, and tells of its requests who decided what on their way.
pub(crate) fn run(arguments: &ExplainArguments) -> io::Result<Ending> {
    let plan = match Plan::load(&arguments.scenario) {
        Ok(plan) => plan,
        Err(wrong) => {
            for diagnostic in wrong {
                writeln!(io::stderr(), "{diagnostic}")?;
            }
            return Ok(Ending::WrongInput);
        }
    };
    let options = RunOptions { seed: arguments.seed, explain: true, ..RunOptions::default() };
    let record = match sim::scenario::run(&plan, &options) {
        Ok(record) => record,
        Err(error) => {
            writeln!(io::stderr(), "{error}")?;
            return Ok(Ending::WrongInput);
        }
    };
    let all = requests(&record);
    let wanted: Vec<&(usize, &StepResult, &RequestResult)> = match arguments.request {
        None => all.iter().collect(),
        Some(number) => match all.get(number.get() - 1) {
            Some(one) => vec![one],
            None => {
                let count = all.len();
                writeln!(io::stderr(), "{}: there is no request {number}: there are {count}", plan.file)?;
                return Ok(Ending::WrongInput);
            }
        },
    };
    let mut out = io::stdout().lock();
    if arguments.json {
        let requests: Vec<&RequestResult> = wanted.iter().map(|(_, _, request)| *request).collect();
        serde_json::to_writer_pretty(&mut out, &requests)?;
        writeln!(out)?;
        return Ok(Ending::Held);
    }
    let text = Text::new(Paint::new(arguments.color, io::stdout().is_terminal()));
    for (number, step, request) in wanted {
        out.write_all(text.explained(*number, step, request).as_bytes())?;
    }
    Ok(Ending::Held)
}

/// All requests with their numbers, in order of steps.
fn requests(record: &RunRecord) -> Vec<(usize, &StepResult, &RequestResult)> {
    let steps = record.steps.iter().filter(|step| step.kind == "request");
    let all = steps.flat_map(|step| step.requests.iter().map(move |request| (step, request)));
    (1..).zip(all).map(|(number, (step, request))| (number, step, request)).collect()
}
