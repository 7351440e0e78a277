//! House rules a compiler does not know: short files, folders that import one way, nothing left lying about.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines a file may have. One that outgrows this is asking to be two nouns.
const LINES_MAX: usize = 500;

/// Packages whose folders import only those listed before them in the map at the head of `lib.rs`.
const LAYERED: [&str; 2] = ["proxy-core", "sim"];

/// Words that must not stay, spelled so that this file does not contain them.
const LEFTOVERS: [&str; 5] = [
    concat!("db", "g!("),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("#[ig", "nore"),
];

/// Imports against the order that are wanted, each with its reason.
const EXCEPTIONS: [(&str, &str); 2] = [
    ("identity", "tls"),       // a workload's certificate holds its private key
    ("identity", "telemetry"), // the certificate store tells what it fetched
];

#[test]
fn files_are_short_and_nothing_is_left_lying_about() {
    let mut wrong = Vec::new();
    for file in sources(&root()) {
        let text = fs::read_to_string(&file).expect("a source file");
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{}: {lines} lines, more than {LINES_MAX}: is it two nouns?", name(&file)));
        }
        for (number, line) in text.lines().enumerate() {
            for leftover in LEFTOVERS.into_iter().filter(|leftover| line.contains(leftover)) {
                wrong.push(format!("{}:{}: `{leftover}` was left here", name(&file), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn folders_import_one_way() {
    let mut wrong = Vec::new();
    for package in LAYERED {
        let source = root().join(package).join("src");
        let order = map(&source.join("lib.rs"));
        for (place, folder) in order.iter().enumerate() {
            let mut files = sources(&source.join(folder));
            files.push(source.join(format!("{folder}.rs")));
            for file in files.into_iter().filter(|file| file.is_file() && !is_test(file)) {
                let text = fs::read_to_string(&file).expect("a source file");
                // Tests at the end of a file may look at anything.
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
                {
                    for later in order.iter().skip(place + 1) {
                        let wanted = EXCEPTIONS.contains(&(folder.as_str(), later.as_str()));
                        if !wanted && line.contains(&format!("crate::{later}::")) {
                            wrong.push(format!(
                                "{}:{}: `{folder}` comes before `{later}` in the map",
                                name(&file),
                                number + 1
                            ));
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Folders in the order of the map: lines such as ``//! - [`name`]: …`` in `lib.rs`.
fn map(library: &Path) -> Vec<String> {
    let text = fs::read_to_string(library).expect("a library root");
    let folders: Vec<String> =
        text.lines().filter_map(|line| Some(line.strip_prefix("//! - [`")?.split_once('`')?.0.to_owned())).collect();
    assert!(folders.len() > 5, "{} has no map", library.display());
    folders
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn name(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

fn is_test(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "tests") || file.file_stem().is_some_and(|stem| stem == "tests")
}

/// Every Rust file below `folder`, in order of name; build output is passed over.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let skipped =
                path.file_name().is_some_and(|name| name == "target" || name.to_string_lossy().starts_with('.'));
            if !skipped {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
