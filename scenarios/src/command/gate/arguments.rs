//! The command line of `meshsim gate`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::tolerance::Tolerance;
use crate::cli::Colour;

const EXAMPLES: &str = "\
Examples:
  meshsim gate --baseline gate.json --update shop.yaml     write a baseline for a scenario (or a folder of them)
  meshsim gate --baseline gate.json                        compare with it; status 1 if something moved
  meshsim gate --baseline gate.json --tolerance 'load.*=2%' --tolerance polls=any
  meshsim gate --baseline gate.json --markdown \"$GITHUB_STEP_SUMMARY\" --junit gate.xml
  meshsim gate --baseline gate.json --instructions         with valgrind: instructions executed, too
  meshsim gate --baseline gate.json --update               the figures of today are the baseline from now on

Figures are functions of scenario, seed and build of meshsim, not of the machine: without tolerance, the least difference
is told. The baseline file holds tolerances as well: \"tolerances\": { \"load.*\": \"2%\", \"polls\": \"any\" }.

Exit status: 0 if nothing moved past its tolerance, 1 if something did, 2 if the input is wrong.";

/// Compare exact figures of scenarios with a baseline
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GateArguments {
    /// Scenario files, or folders to search for them [default: those of the baseline; for a new one, a choice of the
    /// catalogue]
    #[arg(value_name = "SCENARIO")]
    pub(crate) paths: Vec<PathBuf>,

    /// What to compare with. JSON, sorted, paths relative to it
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: PathBuf,

    /// Write today's figures to the baseline, after telling what moved; tolerances stay
    #[arg(long)]
    pub(crate) update: bool,

    /// How far figures may move, before what the baseline says: exact with 0, or 5, 2%, any. Stars stand for anything
    #[arg(long = "tolerance", value_name = "FIGURE=TOLERANCE")]
    pub(crate) tolerances: Vec<Allowance>,

    /// Count executed instructions, too; needs valgrind, and takes some fifty times as long
    #[arg(long)]
    pub(crate) instructions: bool,

    /// Count allocations and their bytes, too; needs valgrind, and takes some fifty times as long
    #[arg(long)]
    pub(crate) allocations: bool,

    /// Write what moved as Markdown, for the summary of a CI job
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    /// Write every comparison as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Show all that moved, not only what moved most
    #[arg(long)]
    pub(crate) all: bool,

    /// How many runs at once [default: one for each processor]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// Colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Colour,
}

/// How far figures of some names may move.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    pub(crate) figures: String,
    pub(crate) tolerance: Tolerance,
}

impl FromStr for Allowance {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` says nothing about a figure: write it like wire_bytes=2% or 'load.*=0'");
        let (figures, tolerance) = text.rsplit_once('=').ok_or_else(wrong)?;
        Ok(Allowance { figures: figures.to_owned(), tolerance: tolerance.parse()? })
    }
}
