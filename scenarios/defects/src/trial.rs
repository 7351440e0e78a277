//! [`Trial`]: the built copy, and what notices a defect in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Seeds of the sweep.
pub(crate) const SEEDS: u64 = 32;
/// What is swept.
const SWEPT: &str = "scenarios/catalog/bookshop/first-look.yaml";
/// Real time one scenario may take; what takes longer never ends.
const SCENARIO_SECONDS: u64 = 30;
/// Real time the sweep may take.
const SWEEP_SECONDS: u64 = 120;

/// A copy of meshsim with defects in it.
pub(crate) struct Trial {
    binary: PathBuf,
    copy: PathBuf,
    results: PathBuf,
    scenarios: Vec<PathBuf>,
}

/// What noticed a defect.
#[derive(Default)]
pub(crate) struct Caught {
    /// Invariants, `expectation`, `crash` and `endless`: in how many scenarios.
    pub(crate) by: BTreeMap<String, usize>,
    /// The first seed of the sweep that failed.
    pub(crate) seed: Option<u64>,
}

impl Caught {
    /// Whether who must notice did: in a scenario; the sweep is in addition.
    pub(crate) fn noticed_by(&self, meant_for: &str) -> bool {
        self.by.contains_key(meant_for)
    }
}

impl Trial {
    /// The binary, the copy of the workspace it was built from, and a folder for what it writes.
    pub(crate) fn new(binary: PathBuf, copy: PathBuf, results: PathBuf) -> Self {
        let mut scenarios = Vec::new();
        list(&copy.join("scenarios/catalog"), &mut scenarios);
        scenarios.sort();
        Trial { binary, copy, results, scenarios }
    }

    /// What does not hold although no defect is on: then nothing that follows means anything.
    pub(crate) fn unfounded(&self) -> Option<String> {
        let by = self.catalogue(0, "");
        (!by.is_empty()).then(|| format!("{by:?}"))
    }

    /// Runs a sweep and the catalogue with a defect on; of the catalogue what lies at a path, all if that is empty.
    pub(crate) fn of(&self, defect: u32, path: &str) -> Caught {
        Caught { by: self.catalogue(defect, path), seed: self.sweep(defect) }
    }

    fn catalogue(&self, defect: u32, path: &str) -> BTreeMap<String, usize> {
        let wanted = self.copy.join("scenarios/catalog").join(path);
        let scenarios: Vec<&PathBuf> = self.scenarios.iter().filter(|one| one.starts_with(&wanted)).collect();
        let by: Mutex<BTreeMap<String, usize>> = Mutex::default();
        let next = AtomicUsize::new(0);
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let _ = fs::create_dir_all(&self.results);
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(scenario) = scenarios.get(index) else { return };
                        for who in self.scenario(defect, index, scenario) {
                            if let Ok(mut by) = by.lock() {
                                *by.entry(who).or_default() += 1;
                            }
                        }
                    }
                });
            }
        });
        by.into_inner().unwrap_or_default()
    }

    /// Who noticed, each once.
    fn scenario(&self, defect: u32, index: usize, scenario: &Path) -> Vec<String> {
        let record = self.results.join(format!("{index}.json"));
        let _ = fs::remove_file(&record);
        let run = self.command(defect).arg("run").arg(scenario).arg("--json").arg(&record).spawn();
        if !run.is_ok_and(|child| ended_within(child, SCENARIO_SECONDS)) {
            return vec!["endless".to_owned()];
        }
        let text = fs::read_to_string(&record).unwrap_or_default();
        let Ok(record) = serde_json::from_str::<Value>(&text) else { return vec!["crash".to_owned()] };
        let list = |name: &str| record.get(name).and_then(Value::as_array).into_iter().flatten();
        let mut who: Vec<String> =
            list("violations").filter_map(|violation| Some(violation.get("invariant")?.as_str()?.to_owned())).collect();
        if list("steps").chain(list("load")).any(|one| one.get("held") == Some(&Value::Bool(false))) {
            who.push("expectation".to_owned());
        }
        who.sort();
        who.dedup();
        who
    }

    fn sweep(&self, defect: u32) -> Option<u64> {
        let out = self.results.join("sweep.jsonl");
        let _ = fs::remove_file(&out);
        let run =
            self.command(defect).args(["sweep", SWEPT, "--seeds", &format!("1..{SEEDS}"), "--out"]).arg(&out).spawn();
        let _ = run.map(|child| ended_within(child, SWEEP_SECONDS));
        let text = fs::read_to_string(&out).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let failed = lines.filter(|line| line.get("verdict").and_then(Value::as_str) != Some("passed"));
        failed.filter_map(|line| line.get("seed")?.as_u64()).min()
    }

    fn command(&self, defect: u32) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.copy).env("MESHSIM_DEFECT", defect.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Whether it ended in time; ends it otherwise.
fn ended_within(mut child: Child, seconds: u64) -> bool {
    let look = Duration::from_millis(5);
    for _ in 0..seconds * 1000 / 5 {
        match child.try_wait() {
            Ok(None) => thread::sleep(look),
            _ => return true,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn list(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_part = path.ends_with("clusters") || path.ends_with("policies");
        if path.is_dir() && !is_part {
            list(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}
