//! Running one seed in two processes of its own, to see that nothing outside the seed decides what happens.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use sim::scenario::swarm::SeedResult;

/// What came of it.
pub(super) enum Twice {
    /// Both went the same way.
    Same(Box<SeedResult>),
    /// They did not, in words.
    Parted(String),
    /// One could not be run, in the words of its process.
    Failed(String),
}

/// Runs `seed` of a scenario's sweep in two processes, one after the other. They differ in all that must not matter: where
/// their memory lies, when they run, and how much they say.
pub(super) fn run(scenario: &Path, seed: u64) -> io::Result<Twice> {
    let mut results = Vec::new();
    for talk in ["off", "error"] {
        let command = std::env::current_exe()?;
        let mut command = Command::new(command);
        command.arg("sweep").arg(scenario).args(["--jobs", "1", "--lines", "--seeds", &format!("{seed}..{seed}")]);
        let output = command.env("RUST_LOG", talk).stdin(Stdio::null()).output()?;
        let line = String::from_utf8_lossy(&output.stdout);
        match serde_json::from_str::<SeedResult>(line.trim()) {
            Ok(result) => results.push(result),
            Err(_) => {
                let said = String::from_utf8_lossy(&output.stderr);
                return Ok(Twice::Failed(format!("seed {seed}: its process ended without a result\n{}", said.trim())));
            }
        }
    }
    let (second, first) = (results.pop(), results.pop());
    Ok(match (first, second) {
        (Some(first), Some(second)) if first == second => Twice::Same(Box::new(first)),
        (first, second) => {
            let digest = |result: Option<SeedResult>| result.map(|result| result.digest).unwrap_or_default();
            let (first, second) = (digest(first), digest(second));
            Twice::Parted(format!("seed {seed} went two ways in two processes: digests {first} and {second}"))
        }
    })
}
