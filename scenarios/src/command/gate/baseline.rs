//! [`Baseline`]: the figures to compare with, as a file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::run::within;

/// Version of the file; grows when a field changes meaning.
const FORMAT: u32 = 1;

/// The figures of one scenario, by name.
pub(crate) type Figures = BTreeMap<String, u64>;

/// The file: everything sorted, so that a change of it can be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    /// Version of this format.
    pub(crate) format: u32,
    /// How far figures may move, by name; `*` stands for anything. Values as `Tolerance` reads them.
    #[serde(default)]
    pub(crate) tolerances: BTreeMap<String, Value>,
    /// By path of the scenario, relative to the folder of this file.
    pub(crate) scenarios: BTreeMap<String, BaselineScenario>,
}

/// One scenario of a baseline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaselineScenario {
    /// The seed it ran with.
    pub(crate) seed: u64,
    /// What was counted.
    pub(crate) figures: Figures,
}

impl Default for Baseline {
    fn default() -> Self {
        Baseline { format: FORMAT, tolerances: BTreeMap::new(), scenarios: BTreeMap::new() }
    }
}

impl Baseline {
    /// What stands in a file; nothing if there is no such file.
    ///
    /// # Errors
    /// A file that cannot be read, or that is no baseline; says where, and what to do.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Baseline>> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(within(path, error)),
        };
        let wrong = |words: String| io::Error::new(io::ErrorKind::InvalidData, words);
        // The version first: a later one may have other fields.
        let format = serde_json::from_slice::<Value>(&text).ok().and_then(|value| value.get("format")?.as_u64());
        if let Some(format) = format.filter(|format| *format != u64::from(FORMAT)) {
            let words = format!(
                "{}: a baseline of format {format}, this meshsim reads {FORMAT}: take the meshsim that wrote it, or \
                 remove the file and write it anew with --update",
                path.display()
            );
            return Err(wrong(words));
        }
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            let place = format!("{}:{}:{}", path.display(), error.line(), error.column());
            let words = error.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            wrong(format!("{place}: no baseline: {words}: mend it, or remove the file and write it anew with --update"))
        })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// A path that cannot be written.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text).map_err(|error| within(path, error))
    }
}

/// The folder that paths in a baseline start from.
///
/// # Errors
/// It is not there.
pub(crate) fn folder(baseline: &Path) -> io::Result<PathBuf> {
    let folder = baseline.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().map_err(|error| within(folder, error))
}

/// How the baseline in `folder` calls a scenario file.
///
/// # Errors
/// The file is not there.
pub(crate) fn key(folder: &Path, file: &Path) -> io::Result<String> {
    let file = file.canonicalize().map_err(|error| within(file, error))?;
    Ok(relative(folder, &file))
}

/// The way from a folder to a file, with `/`; both absolute and without detours.
fn relative(folder: &Path, file: &Path) -> String {
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) =
        (folder.components().collect(), file.components().collect());
    let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - shared);
    let down = to[shared..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<String>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_baseline() {
        let way = |file| relative(Path::new("/a/b"), Path::new(file));
        assert_eq!(way("/a/b/c/d.yaml"), "c/d.yaml");
        assert_eq!(way("/a/d.yaml"), "../d.yaml");
        assert_eq!(way("/x/d.yaml"), "../../x/d.yaml");
    }

    #[test]
    fn what_was_written_is_read_back_and_what_is_none_is_told_with_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gate.json");
        assert_eq!(Baseline::read(&path).expect("no error"), None);
        let figures = [("events".to_owned(), 7)].into();
        let mut baseline = Baseline::default();
        baseline.tolerances.insert("*".to_owned(), Value::from("1%"));
        baseline.scenarios.insert("a.yaml".to_owned(), BaselineScenario { seed: 1, figures });
        baseline.write(&path).expect("written");
        assert_eq!(Baseline::read(&path).expect("a baseline"), Some(baseline));
        for (text, due) in [
            ("{\n  \"format\": 1,\n  oops", "gate.json:3:3: no baseline: key must be a string"),
            ("{\"format\": 9}", "a baseline of format 9, this meshsim reads 1"),
            ("{\"format\": 1, \"scenarios\": {\"a\": {\"seed\": 1, \"figures\": {\"events\": -1}}}}", "gate.json:1:"),
            ("[]", "gate.json:1:"),
        ] {
            std::fs::write(&path, text).expect("written");
            let error = Baseline::read(&path).expect_err("no baseline").to_string();
            assert!(error.contains(due) && error.contains("--update"), "{error}");
        }
    }
}
