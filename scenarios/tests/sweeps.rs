//! Sweeps and shrinking, as a person uses them.

mod support;

use std::path::Path;

use support::{meshsim, said};

const SCENARIO: &str = "catalog/bookshop/first-look.yaml";

/// Its load expects what nobody answers, and nothing else in it matters.
const WRONG: &str = "
name: hopeless
description: Expects an answer nobody gives.
cluster: { nodes: 2, manifests: [../catalog/clusters/bookshop.yaml] }
steps:
  - { at: 1s, request: { from: deploy/storefront.bookshop, to: 'http://catalogue.bookshop:8080/', count: 30 } }
  - { at: 1s, fault: { loss: { share: 1% }, for: 1s } }
  - at: 2s
    request: { from: deploy/storefront.bookshop, to: 'http://ratings.bookshop:8080/', count: 10 }
    expect: { status: 418 }
";

fn sweep(seeds: &str, out: &Path, more: &[&str]) -> (i32, String) {
    let mut command = meshsim();
    command.args(["sweep", SCENARIO, "--seeds", seeds, "--out"]).arg(out).args(more);
    let (status, out, _) = said(&command.output().expect("the command runs"));
    (status, out)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}

#[test]
fn shards_put_together_are_the_whole_sweep() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let (status, whole) = sweep("1..9", &file("whole"), &[]);
    assert_eq!(status, 0, "{whole}");
    assert!(whole.contains("fault in force") && whole.ends_with("9 seeds, 0 did not hold\n"), "{whole}");
    sweep("1..9", &file("a"), &["--shard", "1/2"]);
    sweep("1..9", &file("b"), &["--shard", "2/2", "--jobs", "1"]);
    let mut command = meshsim();
    command.arg("merge").args([file("a"), file("b")]).arg("--out").arg(file("merged"));
    let (status, merged, _) = said(&command.output().expect("the command runs"));
    assert_eq!((status, &merged), (0, &whole));
    assert_eq!(text(&file("merged")), text(&file("whole")));
}

#[test]
fn a_sweep_that_was_cut_off_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("results");
    let (_, told) = sweep("1..6", &file, &[]);
    let whole = text(&file);
    // In the middle of the third line.
    let cut = whole.match_indices('\n').nth(1).expect("lines").0 + 40;
    std::fs::write(&file, &whole[..cut]).expect("a file");
    assert_eq!(sweep("1..6", &file, &["--resume"]).1, told);
    assert_eq!(text(&file), whole);
}

#[test]
fn a_shrunk_scenario_is_short_and_fails_by_itself() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
    let (large, small) = (folder.path().join("large.yaml"), folder.path().join("small.yaml"));
    std::fs::write(&large, WRONG).expect("a file");
    let mut command = meshsim();
    command.arg("shrink").arg(&large).arg("--out").arg(&small);
    let (status, _, errors) = said(&command.output().expect("the command runs"));
    assert_eq!(status, 0, "{errors}");
    let shrunk = text(&small);
    assert!(!shrunk.contains("fault") && !shrunk.contains("storefront.bookshop, to: \"http://catalogue"), "{shrunk}");
    assert!(shrunk.lines().count() < 60, "{shrunk}");
    let (status, out, _) = said(&meshsim().arg("run").arg(&small).output().expect("the command runs"));
    assert_eq!(status, 1, "{out}");
    assert!(out.contains("expected status 418"), "{out}");
}

#[test]
fn what_holds_cannot_be_shrunk() {
    let output = meshsim().args(["shrink", SCENARIO, "--seed", "1"]).output().expect("the command runs");
    let (status, _, errors) = said(&output);
    assert!(status == 2 && errors.contains("everything holds"), "{errors}");
}

#[test]
fn a_sweep_runs_every_seed_in_two_processes_and_finds_no_difference() {
    let mut command = meshsim();
    command.args(["sweep", SCENARIO, "--seeds", "1..6", "--twice"]);
    let (status, out, error) = said(&command.output().expect("the command runs"));
    assert_eq!(status, 0, "{out}{error}");
    assert!(out.ends_with("6 seeds run twice, 0 went two ways\n"), "{out}");
}

#[test]
fn going_on_adds_whole_lines_and_leaves_those_there_are_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("results");
    sweep("1..3", &file, &[]);
    let before = text(&file);
    // Half a line that ends within a character.
    let half = [before.as_bytes(), b"{\"seed\":4,\"x\":\"\xc3"].concat();
    std::fs::write(&file, half).expect("a file");
    sweep("1..5", &file, &["--resume"]);
    let after = text(&file);
    assert!(after.starts_with(&before) && after.lines().count() == 5, "{after}");
}
