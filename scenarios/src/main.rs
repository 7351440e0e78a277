//! The `meshsim` command: ambient service meshes in virtual time, from ordinary Kubernetes YAML.

mod cli;
mod command;
mod files;
mod output;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use self::cli::{Cli, Command};

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Everything held.
    Held,
    /// An expectation or an invariant of safety did not hold.
    Failed,
    /// An invariant of liveness did not hold, and nothing else.
    Stalled,
    /// A run crashed.
    Crashed,
    /// The input is wrong.
    WrongInput,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if !matches!(cli.command, Command::Ztunnel(_) | Command::Waypoint(_) | Command::ControlPlane(_)) {
        log_if_asked();
    }
    let ended = match cli.command {
        Command::Run(arguments) => command::run::run(&arguments),
        Command::Explain(arguments) => command::explain::run(&arguments),
        Command::List(arguments) => command::list::run(&arguments),
        Command::Replay(arguments) => command::replay::run(&arguments),
        Command::Sweep(arguments) => command::sweep::run(&arguments),
        Command::Merge(arguments) => command::sweep::merge(&arguments),
        Command::Shrink(arguments) => command::shrink::run(&arguments),
        Command::Gate(arguments) => command::gate::run(&arguments),
        Command::Schema(arguments) => command::schema::run(&arguments),
        Command::Live(arguments) => command::live::run(&arguments),
        Command::Parity(arguments) => command::parity::run(&arguments),
        Command::Ztunnel(arguments) => command::ztunnel::run(&arguments),
        Command::Waypoint(arguments) => command::waypoint::run(&arguments),
        Command::ControlPlane(arguments) => command::control_plane::run(&arguments),
    };
    match ended {
        Ok(Ending::Held) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::from(1),
        Ok(Ending::WrongInput) => ExitCode::from(2),
        Ok(Ending::Stalled) => ExitCode::from(3),
        Ok(Ending::Crashed) => ExitCode::from(4),
        // Whoever read our output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "meshsim: {error}");
            ExitCode::from(2)
        }
    }
}

/// Logs go to stderr, and only if `RUST_LOG` asks for them: they are for looking into meshsim itself, and change nothing.
fn log_if_asked() {
    if std::env::var_os("RUST_LOG").is_none() {
        return;
    }
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).without_time();
    let _ = subscriber.try_init();
}
