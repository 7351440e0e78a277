//! What the tests of the command share.

#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of the catalogue.
pub(crate) fn catalogue() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog")
}

/// Every scenario of the catalogue, in order of their paths.
pub(crate) fn scenarios() -> Vec<PathBuf> {
    let mut found = Vec::new();
    search(&catalogue(), &mut found);
    found.sort();
    assert!(!found.is_empty(), "the catalogue is empty");
    found
}

fn search(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            search(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml")
            && sim::scenario::looks_like_scenario(&path)
        {
            found.push(path);
        }
    }
}

/// The command, in the folder of this package, without the caller's settings.
pub(crate) fn meshsim() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshsim"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("RUST_LOG").env_remove("NO_COLOR");
    command
}

/// What came out of it, as text: exit status, stdout, stderr.
pub(crate) fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}
