//! From paths on the command line to scenario files.

use std::io;
use std::path::{Path, PathBuf};

/// The scenarios that come with meshsim: where they are in a checkout.
pub(crate) fn catalogue() -> PathBuf {
    let near = ["scenarios/catalog", "catalog"].map(PathBuf::from);
    near.into_iter().find(|path| path.is_dir()).unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog"))
}

/// All scenario files: those named, and those in folders that are named, in order of their paths. Manifests that lie in
/// the same folders are left out.
///
/// # Errors
/// A path that cannot be read, or a folder without scenarios.
pub(crate) fn scenarios(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let before = found.len();
        search(path, &mut found)?;
        if found.len() == before {
            let text = format!("there are no scenarios in {}", path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
    }
    Ok(found)
}

fn search(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let in_folder = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    let entries: io::Result<Vec<PathBuf>> =
        std::fs::read_dir(folder).map_err(in_folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries.map_err(in_folder)?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            search(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
            && sim::scenario::looks_like_scenario(&path)
        {
            found.push(path);
        }
    }
    Ok(())
}
