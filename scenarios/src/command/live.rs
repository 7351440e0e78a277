//! `meshsim live`.

use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use proxy_core::host::TokioRuntime;
use proxy_core::ztunnel::SOCKS5_PORT;
use proxy_core::{Host, TokioHost};
use sim::cluster::ObjectReference;
use sim::loopback::{Block, Stop};
use sim::record::{RunRecord, Verdict};
use sim::scenario::quantity::Time;
use sim::scenario::{Entries, Forward, LiveOptions, Plan, RunOptions, Settled, pod_owner, run_live};

use super::run::within;
use crate::Ending;
use crate::cli::Colour;
use crate::output::{Paint, Text};

const EXAMPLES: &str = "\
Examples:
  meshsim live scenarios/catalog/bookshop/first-look.yaml      the steps of a scenario, on real sockets
  meshsim live shop.yaml --for 10m                             the same, and the mesh stays for ten minutes
  meshsim live shop.yaml --serve                               and the mesh stays until Ctrl-C, for clients from outside:
  curl --socks5-hostname 127.0.0.1:15080 --proxy-user deploy/storefront.shop: http://orders.shop:8080/
  meshsim live shop.yaml --serve --listen 127.0.0.1:8080=deploy/storefront.shop,http://orders.shop:8080
  curl http://127.0.0.1:8080/

Ctrl-C drains and prints the report; a second one does not wait for the drain.";

/// Bring the mesh of a scenario up on this machine: real sockets, real time, same steps, same expectations
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LiveArguments {
    /// Scenario file
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: std::path::PathBuf,

    /// Stay up after the steps, until Ctrl-C; a scenario without steps always does
    #[arg(long, conflicts_with = "lasts")]
    pub(crate) serve: bool,

    /// Stay up for this long after the steps
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) lasts: Option<Time>,

    /// Listen for SOCKS5 here: a client is the pod it names as its user, or the one whose address it comes from
    /// [default: 127.0.0.1:15080 if the mesh stays]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) socks5: Option<std::net::SocketAddr>,

    /// The pod that other clients of SOCKS5 are, e.g. deploy/storefront.shop
    #[arg(long = "as", value_name = "OBJECT", value_parser = pod_owner)]
    pub(crate) otherwise: Option<ObjectReference>,

    /// Listen here and go there as a pod, e.g. 127.0.0.1:8080=deploy/storefront.shop,tcp://orders.shop:9000
    #[arg(long, value_name = "AT=OBJECT,TO")]
    pub(crate) listen: Vec<Forward>,

    /// Use the addresses 127.N.0.0/16 [default: the first block from 127.64.0.0/16 on that no other mesh has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=254))]
    pub(crate) block: Option<u8>,

    /// Threads that carry the mesh [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,

    /// Write the result as JSON to a file, or to stdout for `-`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<std::path::PathBuf>,

    /// Write a page about the run into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) report: Option<std::path::PathBuf>,

    /// Only what did not hold, and the last line
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// Colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Colour,
}

/// Brings the mesh up, takes the steps, tells what came of them.
pub(crate) fn run(arguments: &LiveArguments) -> io::Result<Ending> {
    let plan = match Plan::load(&arguments.scenario) {
        Ok(plan) => plan,
        Err(wrong) => {
            for diagnostic in wrong {
                writeln!(io::stderr(), "{diagnostic}")?;
            }
            return Ok(Ending::WrongInput);
        }
    };
    if let Some(folder) = &arguments.report {
        std::fs::create_dir_all(folder).map_err(|error| within(folder, error))?;
    }
    let stay = match (arguments.serve || plan.steps.is_empty() && plan.loads.is_empty(), arguments.lasts) {
        (_, Some(lasts)) => Some(lasts.0),
        (true, None) => Some(std::time::Duration::MAX),
        (false, None) => None,
    };
    let default = stay.map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, SOCKS5_PORT)));
    let entries = Entries {
        socks5: arguments.socks5.or(default),
        otherwise: arguments.otherwise.clone(),
        forwards: arguments.listen.clone(),
    };
    let stop = Stop::default();
    let threads = arguments.threads.map_or_else(processors, usize::from);
    let started = Instant::now();
    let runtime = TokioRuntime::new(threads)?;
    let record = runtime.drive(|host| {
        let block = match arguments.block {
            None => Block::choose(&host),
            Some(second) => Block::exactly(&host, second),
        };
        let block = block.map_err(|error| error.to_string())?;
        listen_for_signals(&host, &stop);
        let quiet = arguments.quiet;
        let live = LiveOptions {
            stop: stop.clone(),
            stay,
            entries,
            tell: Some(Arc::new(|wrong| {
                let _ = writeln!(io::stderr(), "meshsim: {wrong}");
            })),
            settled: Some(Box::new(move |settled| {
                if stay.is_some() && !quiet {
                    // Whoever reads our output may have seen enough.
                    let _ = io::stderr().lock().write_all(in_words(settled).as_bytes());
                }
            })),
        };
        run_live(&plan, &RunOptions::default(), live, host, block).map_err(|error| error.to_string())
    });
    match record {
        Ok(record) => show(arguments, &record, started.elapsed()),
        Err(wrong) => {
            writeln!(io::stderr(), "meshsim: {wrong}")?;
            Ok(Ending::WrongInput)
        }
    }
}

pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Ctrl-C and SIGTERM ask for the end, each time they come.
fn listen_for_signals(host: &TokioHost, stop: &Stop) {
    let (stop, signals) = (stop.clone(), host.clone());
    host.spawn("signals", async move {
        while signals.interrupted().await.is_ok() {
            stop.ask();
        }
    });
}

/// Where everything is, for whoever is outside.
fn in_words(settled: &Settled) -> String {
    let entries = &settled.entries;
    let mut text = String::from("The mesh is up. Pods:\n");
    let width = settled.pods.iter().map(|pod| pod.name.len()).max().unwrap_or(0);
    for pod in &settled.pods {
        let ports: Vec<String> = pod
            .ports
            .iter()
            .map(|(port, place)| if port == place { port.to_string() } else { format!("{port} at {place}") })
            .collect();
        let member = if pod.captured { "in the mesh" } else { "outside" };
        text.push_str(&format!(
            "  {:width$}  {:15}  {:15}  {member:11}  {}\n",
            pod.name,
            pod.place.to_string(),
            pod.address.to_string(),
            ports.join(", ")
        ));
    }
    if let Some(at) = entries.socks5 {
        text.push_str(&format!("SOCKS5 at {at}"));
        if let Some(pod) = settled.pods.iter().find(|pod| pod.captured) {
            let (namespace, name) = pod.name.split_once('/').unwrap_or_default();
            text.push_str(&format!(", e.g. curl --socks5-hostname {at} --proxy-user pod/{name}.{namespace}: http://…"));
        }
        text.push('\n');
    }
    for forward in &entries.forwards {
        text.push_str(&format!("{} goes to {} as {}\n", forward.at, forward.to, forward.from));
    }
    if !settled.whole {
        text.push_str("Not everything has followed from the manifests yet.\n");
    }
    text
}

fn show(arguments: &LiveArguments, record: &RunRecord, wall: std::time::Duration) -> io::Result<Ending> {
    let to_stdout = arguments.json.as_deref() == Some(Path::new("-"));
    let terminal = if to_stdout { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
    let text = Text::new(Paint::new(arguments.color, terminal));
    let passed = record.verdict == Verdict::Passed;
    let mut words = if arguments.quiet && passed { String::new() } else { text.whole(record, wall) };
    if let Some(folder) = &arguments.report {
        let page = reports::render(record, folder, 0).map_err(|error| within(folder, error))?;
        words.push_str(&text.page(&page));
    }
    if to_stdout {
        io::stderr().lock().write_all(words.as_bytes())?
    } else {
        io::stdout().lock().write_all(words.as_bytes())?
    }
    if let Some(path) = &arguments.json {
        let mut json = serde_json::to_vec_pretty(record)?;
        json.push(b'\n');
        if to_stdout {
            io::stdout().lock().write_all(&json)?;
        } else {
            std::fs::write(path, json).map_err(|error| within(path, error))?;
        }
    }
    Ok(match record.verdict {
        Verdict::Passed => Ending::Held,
        Verdict::Failed => Ending::Failed,
        Verdict::Stalled => Ending::Stalled,
        Verdict::Crashed => Ending::Crashed,
    })
}
