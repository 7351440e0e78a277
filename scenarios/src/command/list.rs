//! `meshsim list`.

use std::io::{self, Write};

use sim::scenario::Plan;

use crate::cli::ListArguments;
use crate::{Ending, files};

/// Names every scenario and what it proves.
pub(crate) fn run(arguments: &ListArguments) -> io::Result<Ending> {
    let paths = if arguments.paths.is_empty() { vec![files::catalogue()] } else { arguments.paths.clone() };
    let mut ending = Ending::Held;
    let mut out = io::stdout().lock();
    for file in files::scenarios(&paths)? {
        match Plan::load(&file) {
            Ok(plan) => writeln!(out, "{}\n    {}\n    {}", plan.name, plan.description, file.display())?,
            Err(wrong) => {
                ending = Ending::WrongInput;
                for diagnostic in wrong {
                    writeln!(io::stderr(), "{diagnostic}")?;
                }
            }
        }
    }
    Ok(ending)
}
