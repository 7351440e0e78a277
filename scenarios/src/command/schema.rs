//! `meshsim schema`.

use std::io::{self, Write};

use sim::scenario::schema;

use crate::Ending;
use crate::cli::SchemaArguments;

/// Prints the schema of scenario files.
pub(crate) fn run(arguments: &SchemaArguments) -> io::Result<Ending> {
    let mut out = io::stdout().lock();
    if arguments.markdown {
        out.write_all(schema::markdown().as_bytes())?;
    } else {
        serde_json::to_writer_pretty(&mut out, &schema::json_schema())?;
        writeln!(out)?;
    }
    Ok(Ending::Held)
}
