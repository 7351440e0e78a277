//! The command: exit statuses, streams, colours, folders, series.

mod support;

use std::io::Read;
use std::process::Stdio;

use support::{meshsim, said};

const SCENARIO: &str = "catalog/bookshop/first-look.yaml";

/// A scenario whose only expectation cannot hold.
const WRONG: &str = "
name: hopeless
description: Expects an answer nobody gives.
cluster: { nodes: 1, manifests: [../catalog/clusters/bookshop.yaml] }
steps:
  - at: 1s
    request: { from: deploy/storefront.bookshop, to: 'http://ratings.bookshop:8080/' }
    expect: { status: 418 }
";

fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
    std::fs::write(folder.path().join("it.yaml"), text).expect("a file");
    folder
}

#[test]
fn a_run_that_holds_tells_its_path_and_ends_with_status_0() {
    let (status, out, errors) = said(&meshsim().args(["run", SCENARIO]).output().expect("the command runs"));
    assert_eq!((status, errors.as_str()), (0, ""), "{out}");
    assert!(out.contains("═HBONE═▶") && out.contains("denied by policy bookshop/deny-storefront"), "{out}");
    assert!(out.contains("passed") && out.contains("digest") && !out.contains('\x1b'), "{out}");
}

#[test]
fn an_expectation_that_fails_ends_with_status_1_and_the_line_that_replays_it() {
    let folder = folder_with(WRONG);
    let file = folder.path().join("it.yaml");
    let (status, out, _) = said(&meshsim().arg("run").arg(&file).output().expect("the command runs"));
    assert_eq!(status, 1);
    assert!(out.contains("expected status 418, found status 200"), "{out}");
    let last = out.lines().last().unwrap_or_default();
    assert!(last.starts_with("replay  meshsim run ") && last.ends_with(" --seed 1"), "{last}");
}

#[test]
fn a_series_too_ends_with_the_line_that_replays_what_did_not_hold() {
    let folder = folder_with(WRONG);
    let file = folder.path().join("it.yaml");
    let (status, out, _) = said(&meshsim().arg("run").arg(&file).args(["--seeds", "3..4"]).output().expect("it runs"));
    let last = out.lines().last().unwrap_or_default();
    assert!(status == 1 && last.starts_with("replay  meshsim run ") && last.ends_with(" --seed 3"), "{out}");
}

#[test]
fn results_that_cannot_be_written_are_told_before_anything_runs() {
    for option in ["--json", "--report"] {
        let output = meshsim().args(["run", SCENARIO, option, "Cargo.toml/x"]).output().expect("the command runs");
        let (status, out, errors) = said(&output);
        assert_eq!((status, out.as_str()), (2, ""), "{errors}");
        assert!(errors.starts_with("meshsim: Cargo.toml/x: "), "{errors}");
    }
}

#[test]
fn colours_are_for_those_who_ask() {
    let colours = |when: &str, no_color: &str| {
        let mut command = meshsim();
        command.args(["run", SCENARIO, "--color", when]).env("NO_COLOR", no_color);
        said(&command.output().expect("the command runs")).1.contains('\x1b')
    };
    assert!(colours("always", "1") && !colours("auto", "") && !colours("never", ""));
}

#[test]
fn a_folder_means_all_its_scenarios_and_a_series_is_one_line_each() {
    let mut command = meshsim();
    command.args(["run", "catalog/bookshop", "--seeds", "1..3"]);
    let (status, out, _) = said(&command.output().expect("the command runs"));
    assert_eq!(status, 0, "{out}");
    assert_eq!(out.matches("seed ").count() % 3, 0, "{out}");
    assert!(out.contains("all held"), "{out}");
}

#[test]
fn json_and_page_are_written_where_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("result.json");
    let mut command = meshsim();
    command.args(["run", SCENARIO, "--json"]).arg(&json).arg("--report").arg(folder.path());
    let (status, out, _) = said(&command.output().expect("the command runs"));
    assert_eq!(status, 0, "{out}");
    let record: sim::record::RunRecord =
        serde_json::from_slice(&std::fs::read(&json).expect("a file")).expect("a run record");
    assert_eq!(record.scenario, "first-look");
    assert!(folder.path().join("first-look-seed-1.html").is_file(), "{out}");
}

#[test]
fn a_reader_who_leaves_early_is_no_error() {
    let mut command = meshsim();
    let mut child =
        command.args(["list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command runs");
    drop(child.stdout.take());
    let status = child.wait().expect("an end");
    let mut errors = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut errors).expect("text");
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn list_names_every_scenario_with_the_sentence_it_proves() {
    let (status, out, _) = said(&meshsim().arg("list").output().expect("the command runs"));
    assert_eq!(status, 0);
    assert_eq!(out.lines().count(), 3 * support::scenarios().len(), "{out}");
    assert!(out.contains("first-look"), "{out}");
}

#[test]
fn help_shows_examples_and_a_wrong_argument_ends_with_status_2() {
    let (status, out, _) = said(&meshsim().arg("--help").output().expect("the command runs"));
    assert!(status == 0 && out.contains("Examples:") && out.starts_with("Ambient service meshes"), "{out}");
    for arguments in [
        &["run"][..],
        &["run", SCENARIO, "--seeds", "9..1"],
        &["run", SCENARIO, "--seeds", "0..18446744073709551615"],
        &["run", SCENARIO, "--until", "soon"],
        &[],
    ] {
        assert_eq!(said(&meshsim().args(arguments).output().expect("the command runs")).0, 2, "{arguments:?}");
    }
}
