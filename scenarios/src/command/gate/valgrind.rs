//! What valgrind counts of a run, where it is installed: instructions and allocations.
//!
//! These belong to the build (and, where libraries choose their code by processor, to the processor): figures of debug and
//! release builds have names of their own.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::baseline::Figures;

/// Which build this is.
const BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// Something valgrind counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Instructions executed.
    Instructions,
    /// Allocations, and bytes asked for.
    Allocations,
}

/// Whether a figure is valgrind's.
pub(crate) fn counts(figure: &str) -> bool {
    figure.starts_with("instructions.") || figure.starts_with("allocations.") || figure.starts_with("allocated_bytes.")
}

/// Whether valgrind can be run at all.
pub(crate) fn is_here() -> bool {
    let asked = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Runs a scenario in a process of its own and counts; all of it counts, reading the files included.
///
/// # Errors
/// Valgrind fails, or says something else than expected: its last words.
pub(crate) fn count(counted: Counted, scenario: &Path) -> io::Result<Figures> {
    let tool: &[&str] = match counted {
        Counted::Instructions => &["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"],
        Counted::Allocations => &["--tool=dhat", "--dhat-out-file=/dev/null"],
    };
    let mut command = Command::new("valgrind");
    command.args(tool).arg(std::env::current_exe()?).arg("run").arg(scenario);
    command.args(["--quiet", "--color", "never", "--jobs", "1"]);
    // The environment lies on the stack that is counted on.
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let figures = match counted {
        Counted::Instructions => instructions(&said),
        Counted::Allocations => allocations(&said),
    };
    figures.filter(|_| output.status.success()).ok_or_else(|| {
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        io::Error::other(format!("valgrind on {}: {} and said: {last}", scenario.display(), output.status))
    })
}

fn instructions(said: &str) -> Option<Figures> {
    let executed = said.lines().find_map(|line| number(after(line, &["I", "refs:"])?))?;
    Some([(format!("instructions.{BUILD}"), executed)].into())
}

fn allocations(said: &str) -> Option<Figures> {
    let total = said.lines().find_map(|line| after(line, &["Total:"]))?;
    let (bytes, blocks) = total.split_once("bytes in")?;
    let figures =
        [(format!("allocated_bytes.{BUILD}"), number(bytes)?), (format!("allocations.{BUILD}"), number(blocks)?)];
    Some(figures.into())
}

/// What follows these words in a line such as `==123== I   refs:      1,234`.
fn after<'a>(line: &'a str, words: &[&str]) -> Option<&'a str> {
    let mut rest = line.strip_prefix("==")?.split_once("==")?.1;
    for word in words {
        rest = rest.trim_start().strip_prefix(word)?;
    }
    Some(rest)
}

/// The number a text begins with, its digits in groups.
fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_valgrind_says_is_read() {
        let said = "==7== Cachegrind\n==7== \n==7== I   refs:      1,234,567\n";
        assert_eq!(instructions(said).expect("a figure").into_values().next(), Some(1_234_567));
        let said = "==7== Total:     12,345 bytes in 67 blocks\n==7== At t-gmax: 1 bytes in 1 blocks\n";
        assert_eq!(allocations(said).expect("figures").into_values().collect::<Vec<_>>(), [12_345, 67]);
        assert_eq!(instructions("illegal instruction"), None);
        assert_eq!(allocations("==7== Total: none"), None);
    }
}
