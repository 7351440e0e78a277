//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sim::scenario::quantity::Time;

use crate::command::control_plane::ControlPlaneArguments;
use crate::command::gate::GateArguments;
use crate::command::live::LiveArguments;
use crate::command::parity::ParityArguments;
use crate::command::waypoint::WaypointArguments;
use crate::command::ztunnel::ZtunnelArguments;

const EXAMPLES: &str = "\
Examples:
  meshsim run scenarios/catalog/bookshop/first-look.yaml
  meshsim run scenarios/catalog                            all scenarios of a folder
  meshsim run shop.yaml --seeds 1..200                     the same under 200 seeds
  meshsim run shop.yaml --seed 7 --until 5.2s              replay, and stop there
  meshsim run shop.yaml --json - | jq .verdict             for other programs
  meshsim run shop.yaml --pcap shop.pcapng                 for Wireshark, decrypted
  meshsim run shop.yaml --seeds 1..200 --save failures/     keep what failed, to run again:
  meshsim replay failures/shop-17.json --trace --node node-2
  meshsim run shop.yaml --report out                       a page to look at
  meshsim sweep shop.yaml --seeds 1..1000                  the same, with faults each seed draws
  meshsim shrink shop.yaml --seed 17 --out small.yaml      the smallest scenario that fails like seed 17
  meshsim gate --baseline gate.json                        what moved since: packets, bytes, latencies, handshakes
  meshsim explain shop.yaml --request 3                    who decided what on its way
  meshsim list                                             what there is, and what it proves

Exit status: 0 if everything held, 1 if an expectation or an invariant of safety did not, 2 if the input is wrong,
3 if only an invariant of liveness did not hold, 4 if a run crashed.";

/// Ambient service meshes in virtual time, from ordinary Kubernetes YAML. Same input, same seed, same bytes.
#[derive(Debug, Parser)]
#[command(name = "meshsim", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scenarios and say what came of them
    Run(RunArguments),
    /// Run a scenario and tell of its requests which route, rule and policy decided at each hop
    Explain(ExplainArguments),
    /// Name the scenarios there are, each with the sentence it proves
    List(ListArguments),
    /// Run a saved run again, bit for bit, or say where the two part
    Replay(ReplayArguments),
    /// Run a scenario under many seeds, each with faults, settings and task order of its own
    Sweep(SweepArguments),
    /// Put the results of a sweep's shards together
    Merge(MergeArguments),
    /// Find the smallest scenario that fails the same way
    Shrink(ShrinkArguments),
    /// Compare exact figures of scenarios with a baseline
    Gate(GateArguments),
    /// Print the JSON Schema of scenario files
    Schema(SchemaArguments),
    /// Bring the mesh of a scenario up on this machine, on real sockets and in real time
    Live(Box<LiveArguments>),
    /// Run scenarios simulated and on real sockets, and compare what they come to
    Parity(ParityArguments),
    /// One node proxy on real sockets, for one workload
    Ztunnel(Box<ZtunnelArguments>),
    /// One waypoint on real sockets, with routes and policies from manifests
    Waypoint(Box<WaypointArguments>),
    /// A control plane on a real port: configuration and certificates for proxies, from manifests
    ControlPlane(Box<ControlPlaneArguments>),
}

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArguments {
    /// Scenario files, or folders to search for them
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Seed, instead of the scenario's own
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,

    /// Run each scenario under all these seeds, both ends included
    #[arg(long, value_name = "A..B")]
    pub(crate) seeds: Option<Seeds>,

    /// Write results as JSON to a file, or to stdout for `-`; several runs become a list
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write a page for each run into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) report: Option<PathBuf>,

    /// Write what goes over the wires to a pcapng file, TLS secrets included; a folder (or a path that ends in `/`) gets a
    /// file for each pod and proxy. One run only
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,

    /// Write what happened when, in virtual time, as a trace for ui.perfetto.dev. One run only
    #[arg(long, value_name = "FILE")]
    pub(crate) perfetto: Option<PathBuf>,

    /// Save the run, with all it depends on, for `meshsim replay`; a folder (or a path that ends in `/`) gets a file for each
    /// run that did not hold
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,

    /// Stop at this virtual time, e.g. 5.2s
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Time>,

    /// Order of tasks that are ready at the same instant
    #[arg(long, value_enum, default_value_t, value_name = "ORDER")]
    pub(crate) task_order: TaskOrder,

    /// How configuration and certificates travel to the proxies, instead of each scenario's own way
    #[arg(long, value_enum, value_name = "WAY")]
    pub(crate) delivery: Option<Delivery>,

    /// How many runs at once, if there are several [default: one for each processor]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// Only what did not hold, and the last line
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// Colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Colour,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArguments {
    /// Scenario file
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: PathBuf,

    /// Only the request of this number, counted from 1 over all steps
    #[arg(long, value_name = "N")]
    pub(crate) request: Option<NonZeroUsize>,

    /// Seed, instead of the scenario's own
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// As JSON instead
    #[arg(long)]
    pub(crate) json: bool,

    /// Colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Colour,
}

#[derive(Args, Debug)]
pub(crate) struct SweepArguments {
    /// Scenario file
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: PathBuf,

    /// These seeds, both ends included [default: 1..100]
    #[arg(long, value_name = "A..B", conflicts_with = "lasts")]
    pub(crate) seeds: Option<Seeds>,

    /// As many seeds as can be run in this time, from 1 on
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) lasts: Option<Time>,

    /// Write a line of JSON for each seed to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Go on where the file of `--out` ends
    #[arg(long, requires = "out")]
    pub(crate) resume: bool,

    /// Only this part of the seeds, e.g. 3/16
    #[arg(long, value_name = "K/N")]
    pub(crate) shard: Option<Shard>,

    /// Run each seed twice, each time in a process of its own, and fail if the two differ in anything
    #[arg(long)]
    pub(crate) twice: bool,

    /// Print results as lines of JSON and nothing else
    #[arg(long, hide = true, conflicts_with_all = ["out", "twice"])]
    pub(crate) lines: bool,

    /// How many runs at once [default: one for each processor]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
}

#[derive(Args, Debug)]
pub(crate) struct MergeArguments {
    /// Files that `meshsim sweep --out` wrote
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Write the results of all to this file, in order of seeds
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ShrinkArguments {
    /// Scenario file, or a run saved by `meshsim run --save` (ends in .json)
    #[arg(value_name = "SCENARIO|SAVED RUN")]
    pub(crate) scenario: PathBuf,

    /// Seed of a sweep under which it fails; default the scenario's own
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Stop looking for smaller ones after this time [default: 5m]
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) lasts: Option<Time>,

    /// Write the scenario to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// One of several parts of a sweep, counted from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shard {
    pub(crate) number: u64,
    pub(crate) of: u64,
}

impl FromStr for Shard {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no part of a sweep: write it like 3/16, from 1/16 to 16/16");
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let (number, of) = (number.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        if number == 0 || number > of { Err(wrong()) } else { Ok(Shard { number, of }) }
    }
}

#[derive(Args, Debug)]
pub(crate) struct ListArguments {
    /// Scenario files or folders [default: the catalogue]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArguments {
    /// What `meshsim run --save` wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Stop at this virtual time, e.g. 5.2s
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Time>,

    /// Print every packet that arrives, is dropped or changed, instead of results
    #[arg(long)]
    pub(crate) trace: bool,

    /// Of this node only
    #[arg(long, value_name = "NAME", requires = "trace")]
    pub(crate) node: Option<String>,

    /// Colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Colour,
}

#[derive(Args, Debug)]
pub(crate) struct SchemaArguments {
    /// As a page to read instead
    #[arg(long)]
    pub(crate) markdown: bool,
}

/// Order of tasks that are ready at the same instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TaskOrder {
    /// First woken, first run
    #[default]
    Fifo,
    /// Drawn from the seed, to explore interleavings
    Seeded,
}

impl From<TaskOrder> for sim::exec::TaskOrder {
    fn from(order: TaskOrder) -> Self {
        match order {
            TaskOrder::Fifo => sim::exec::TaskOrder::Fifo,
            TaskOrder::Seeded => sim::exec::TaskOrder::Seeded,
        }
    }
}

/// How configuration and certificates travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Delivery {
    /// After a drawn delay, not on the network
    Modelled,
    /// Delta discovery and signing requests over gRPC and TLS, from a control plane on the network
    Wire,
}

impl From<Delivery> for sim::mesh::Delivery {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Modelled => sim::mesh::Delivery::Modelled,
            Delivery::Wire => sim::mesh::Delivery::Wire,
        }
    }
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The most seeds for one command.
const MOST_SEEDS: u64 = 1_000_000;

/// A range of seeds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeds {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl FromStr for Seeds {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a range of seeds: write it like 1..200");
        let (first, last) = text.split_once("..").ok_or_else(wrong)?;
        let last = last.strip_prefix('=').unwrap_or(last);
        let (first, last): (u64, u64) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
        if last.saturating_sub(first) >= MOST_SEEDS {
            return Err(format!("{text} are more than {MOST_SEEDS} seeds, the most for one command"));
        }
        if last < first { Err(format!("the seeds {text} end before they begin")) } else { Ok(Seeds { first, last }) }
    }
}
