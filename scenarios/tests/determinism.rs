//! The same bytes in another process, at every log level; other bytes under another seed.

mod support;

use support::{meshsim, said};

const SCENARIO: &str = "catalog/bookshop/first-look.yaml";

/// The digest and the whole result of a run in a process of its own.
fn result(arguments: &[&str], log: Option<&str>) -> (String, String) {
    let mut command = meshsim();
    command.args(["run", SCENARIO, "--json", "-"]).args(arguments);
    if let Some(log) = log {
        command.env("RUST_LOG", log);
    }
    let (status, json, errors) = said(&command.output().expect("the command runs"));
    assert_eq!(status, 0, "{errors}");
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    (value["digest"].as_str().expect("a digest").to_owned(), json)
}

#[test]
fn another_process_and_another_log_level_give_the_same_result() {
    let plain = result(&[], None);
    assert_eq!(plain, result(&[], None));
    assert_eq!(plain, result(&[], Some("trace")));
}

#[test]
fn another_seed_gives_another_digest() {
    assert_ne!(result(&["--seed", "1"], None).0, result(&["--seed", "2"], None).0);
}

#[test]
fn a_run_that_stops_early_is_the_start_of_the_whole_run() {
    let (_, whole) = result(&[], None);
    let (_, part) = result(&["--until", "2.4s"], None);
    let steps = |json: &str| {
        let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
        value["steps"].as_array().expect("steps").clone()
    };
    let (whole, part) = (steps(&whole), steps(&part));
    assert!(!part.is_empty() && part.len() < whole.len());
    assert_eq!(part[..], whole[..part.len()]);
}
