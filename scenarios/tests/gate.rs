//! `meshsim gate`: what it notices, what it says, how it ends.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{meshsim, said};

/// A stream of a mebibyte through a tunnel, and a load.
const SCENARIO: &str = "
name: gated
description: A large body and a few small ones, so that there is something to count.
cluster: { nodes: 2, manifests: [CATALOGUE/clusters/bookshop.yaml] }
steps:
  - at: 1s
    request: { from: deploy/storefront.bookshop, to: 'http://ratings.bookshop:8080/', body_size: 1MiB }
    expect: { status: 200 }
load:
  - { name: steady, from: deploy/storefront.bookshop, to: 'http://ratings.bookshop:8080/', rate: 20/s, during: 2s..4s }
";

struct Gate(tempfile::TempDir);

impl Gate {
    /// A scenario and its baseline, in a folder of their own.
    fn new() -> Self {
        let gate = Gate(tempfile::tempdir().expect("a folder"));
        gate.scenario("it.yaml", "");
        let (status, out, errors) = gate.run(&["--update", "SCENARIO"]);
        assert_eq!((status, errors.as_str()), (0, ""), "{out}");
        assert!(out.contains("it.yaml: taken in") && out.contains("of 1 scenario"), "{out}");
        gate
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn scenario(&self, name: &str, more: &str) {
        let text = SCENARIO.replace("CATALOGUE", &support::catalogue().display().to_string()) + more;
        std::fs::write(self.0.path().join(name), text).expect("a file");
    }

    /// Runs the gate in the folder of the package, as CI does: not where the baseline is.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = meshsim();
        command.args(["gate", "--baseline", &self.path("gate.json")]);
        for argument in arguments {
            command.arg(if *argument == "SCENARIO" { self.path("it.yaml") } else { (*argument).to_owned() });
        }
        said(&command.output().expect("the command runs"))
    }

    fn edit(&self, change: impl FnOnce(&mut Value)) {
        let path = self.path("gate.json");
        let mut value: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
        change(&mut value);
        std::fs::write(path, value.to_string()).expect("a file");
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(path)).expect("a file")
}

#[test]
fn what_did_not_change_passes_ten_times_out_of_ten() {
    let gate = Gate::new();
    for _ in 0..10 {
        let (status, out, _) = gate.run(&[]);
        assert!(status == 0 && out.starts_with("passed") && out.contains("none moved"), "{out}");
    }
    let before = read(&gate.path("gate.json"));
    assert_eq!(gate.run(&["--update"]).0, 0);
    assert_eq!(read(&gate.path("gate.json")), before, "renewing what did not change changes nothing");
}

#[test]
fn smaller_windows_are_noticed_ten_times_out_of_ten_and_told_everywhere() {
    let gate = Gate::new();
    gate.scenario("it.yaml", "tuning: { window: 16KiB }\n");
    for _ in 0..10 {
        let (status, out, _) = gate.run(&[]);
        assert!(status == 1 && out.contains("packets_sent") && out.contains("requests.latency_ns.max"), "{out}");
        assert!(out.lines().last().is_some_and(|last| last.contains("--update")), "{out}");
    }
    let (markdown, junit) = (gate.path("summary.md"), gate.path("gate.xml"));
    std::fs::write(&markdown, "what another step wrote\n").expect("a file");
    assert_eq!(gate.run(&["--markdown", &markdown, "--junit", &junit]).0, 1);
    let markdown = read(&markdown);
    assert!(markdown.starts_with("what another step wrote\n### Regression gate: failed"), "{markdown}");
    assert!(markdown.contains("| ❌ | it.yaml | packets_sent |"), "{markdown}");
    let junit = read(&junit);
    assert!(junit.contains("<testcase classname=\"it.yaml\" name=\"packets_sent\">\n      <failure"), "{junit}");
    let (status, out, _) = gate.run(&["--tolerance", "*=any"]);
    assert!(status == 0 && out.contains("moved within tolerance"), "{out}");
    assert_eq!(gate.run(&["--update"]).0, 0);
    assert_eq!(gate.run(&[]).0, 0, "renewed");
}

#[test]
fn tolerances_of_the_baseline_count_and_survive_renewal() {
    let gate = Gate::new();
    gate.edit(|value| {
        let figures = &mut value["scenarios"]["it.yaml"]["figures"];
        figures["events"] = (figures["events"].as_u64().expect("a number") + 1).into();
    });
    assert_eq!(gate.run(&[]).0, 1);
    gate.edit(|value| value["tolerances"] = serde_json::json!({ "events": "5%", "evnts": 3 }));
    let (status, out, _) = gate.run(&[]);
    assert!(status == 0 && out.contains("no figure is called `evnts`"), "{out}");
    assert_eq!(gate.run(&["--tolerance", "events=0"]).0, 1, "the command line comes first");
    assert_eq!(gate.run(&["--update"]).0, 0);
    assert!(read(&gate.path("gate.json")).contains("\"5%\""));
}

#[test]
fn what_comes_goes_or_fails_is_told_with_the_next_step() {
    let gate = Gate::new();
    gate.scenario("new.yaml", "");
    let (status, out, _) = gate.run(&["SCENARIO", &gate.path("new.yaml")]);
    assert!(status == 1 && out.contains("new.yaml: new: the baseline does not know it; --update"), "{out}");
    assert_eq!(gate.run(&["SCENARIO", &gate.path("new.yaml"), "--update"]).0, 0);
    let (status, out, _) = gate.run(&["SCENARIO"]);
    assert!(status == 0 && out.contains("1 further scenario of the baseline left out"), "{out}");
    std::fs::remove_file(gate.path("new.yaml")).expect("removed");
    let (status, out, _) = gate.run(&[]);
    assert!(status == 1 && out.contains("new.yaml: in the baseline, and not there"), "{out}");
    assert_eq!(gate.run(&["--update"]).0, 0);
    gate.edit(|value| {
        let figures = value["scenarios"]["it.yaml"]["figures"].as_object_mut().expect("a map");
        figures.remove("events");
        figures.insert("gone".to_owned(), 1.into());
    });
    let (status, out, _) = gate.run(&[]);
    assert!(status == 1 && out.contains(" new  exact") && out.contains(" missing  exact"), "{out}");
    gate.scenario("it.yaml", "seed: 2\n");
    assert!(gate.run(&[]).1.contains("its seed was 1 and is 2"));
    let kept = read(&gate.path("gate.json"));
    let hopeless = read(&gate.path("it.yaml")).replace("status: 200", "status: 418");
    std::fs::write(gate.path("it.yaml"), hopeless).expect("a file");
    let (status, out, _) = gate.run(&["--update"]);
    assert!(status == 1 && out.contains("not every scenario held"), "{out}");
    assert_eq!(read(&gate.path("gate.json")), kept);
}

#[test]
fn wrong_input_ends_with_status_2_and_says_what_to_do() {
    let gate = Gate::new();
    gate.edit(|value| value["tolerances"] = serde_json::json!({ "events": "-1%" }));
    let (status, _, errors) = gate.run(&[]);
    assert!(status == 2 && errors.contains("tolerances, `events`: `-1%` is no tolerance"), "{errors}");
    std::fs::write(gate.path("gate.json"), "{\n  \"format\": 1,").expect("a file");
    let (status, out, errors) = gate.run(&[]);
    assert!(status == 2 && out.is_empty() && errors.contains("gate.json:2:"), "{errors}");
    std::fs::remove_file(gate.path("gate.json")).expect("removed");
    let (status, _, errors) = gate.run(&[]);
    assert!(status == 2 && errors.contains("there is no baseline") && errors.contains("--update"), "{errors}");
    assert_eq!(gate.run(&["--tolerance", "events"]).0, 2);
    assert_eq!(gate.run(&["--update", "--junit", "/no/such/folder/x", "SCENARIO"]).0, 2);
    std::fs::write(gate.path("it.yaml"), "name: 7\n").expect("a file");
    assert_eq!(gate.run(&["--update", "SCENARIO"]).0, 2);
}
