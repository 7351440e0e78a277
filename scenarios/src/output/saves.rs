//! Saved runs.

use std::io;
use std::path::Path;

use sim::record::{RunRecord, Verdict};
use sim::scenario::replay::Artefact;

use crate::command::run::within;

/// Whether a path means a folder.
pub(crate) fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/')
}

/// Whether this run is to be saved: into a folder only what did not hold.
pub(crate) fn wanted(path: &Path, record: &RunRecord) -> bool {
    !is_folder(path) || record.verdict != Verdict::Passed
}

/// Saves it.
pub(crate) fn write(path: &Path, record: &RunRecord, artefact: &Artefact) -> io::Result<()> {
    let file = if is_folder(path) {
        std::fs::create_dir_all(path).map_err(|error| within(path, error))?;
        path.join(format!("{}-{}.json", record.scenario, record.seed))
    } else {
        path.to_owned()
    };
    let json = serde_json::to_vec(artefact)?;
    std::fs::write(&file, json).map_err(|error| within(&file, error))
}
