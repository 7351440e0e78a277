//! Every scenario of the catalogue holds, and twice the same bytes come of it.

mod support;

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use sim::record::{RunRecord, Verdict};
use sim::scenario::{Plan, RunOptions, run};

const THREADS: usize = 2;

/// What is wrong with one scenario, if anything.
fn judge(path: &Path) -> Option<String> {
    let plan = match Plan::load(path) {
        Ok(plan) => plan,
        Err(wrong) => return Some(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    };
    let attempt = || run(&plan, &RunOptions::default()).map_err(|error| error.to_string());
    let first = match attempt() {
        Ok(record) => record,
        Err(error) => return Some(error),
    };
    let second = match attempt() {
        Ok(record) => record,
        Err(error) => return Some(error),
    };
    if first.verdict != Verdict::Passed {
        return Some(complaints(&first));
    }
    if first.digest != second.digest {
        return Some(format!("two runs, two digests: {} and {}", first.digest, second.digest));
    }
    (first != second).then(|| "two runs with one digest and two records".to_owned())
}

fn complaints(record: &RunRecord) -> String {
    let mut text = String::new();
    for step in record.steps.iter().filter(|step| !step.held) {
        let _ = writeln!(text, "line {}: {}: {}", step.line, step.summary, step.failures.join("; "));
    }
    for load in record.load.iter().filter(|load| !load.held) {
        let _ = writeln!(text, "load {}: {}", load.name, load.failures.join("; "));
    }
    for violation in &record.violations {
        let _ = writeln!(text, "{} broken at {} ns: {}", violation.invariant, violation.at_ns, violation.claim);
    }
    let _ = write!(text, "{:?}: {}\n{}", record.verdict, record.notices.join("; "), record.replay);
    text
}

#[test]
fn every_scenario_holds_and_repeats_itself() {
    let paths = support::scenarios();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = path.strip_prefix(support::catalogue()).unwrap_or(path).display().to_string();
                    let complaint = judge(path);
                    println!("{} {name}", if complaint.is_none() { "ok    " } else { "FAILED" });
                    wrong.lock().extend(complaint.map(|complaint| format!("{name}\n{complaint}")));
                }
            });
        }
    });
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "{} of {} scenarios:\n\n{}", wrong.len(), paths.len(), wrong.join("\n\n"));
}

#[test]
fn every_scenario_has_a_name_of_its_own_and_says_what_it_proves() {
    let mut names = std::collections::BTreeMap::new();
    for path in support::scenarios() {
        let plan = Plan::load(&path).expect("a scenario that can be read");
        assert!(plan.description.len() > 20, "{} says too little", path.display());
        if let Some(other) = names.insert(plan.name.clone(), path.clone()) {
            panic!("{} and {} are both called {}", path.display(), other.display(), plan.name);
        }
    }
}
