//! What a run says that nobody asked about: pods that are nowhere, steps that fail with nobody saying what should come of them.

mod support;

use std::path::Path;

use sim::record::{RunRecord, Verdict};
use sim::scenario::{Plan, RunOptions, run};
use support::{meshsim, said};

fn ran(text: &str) -> RunRecord {
    let plan = Plan::parse("it.yaml", text, Path::new(".")).expect("a scenario that can be read");
    run(&plan, &RunOptions::default()).expect("a run")
}

#[test]
fn pods_that_fit_no_node_are_named_with_the_reason_and_the_place() {
    let record = ran("
name: nowhere
description: Pods nobody can place.
cluster:
  nodes: 2
  manifests:
    - |
      { apiVersion: v1, kind: Pod, metadata: { name: lost }, spec: { nodeName: node-9, containers: [ { name: a } ] } }
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: picky }
      spec:
        replicas: 3
        selector: { matchLabels: { app: picky } }
        template:
          metadata: { labels: { app: picky } }
          spec: { nodeSelector: { disk: ssd }, containers: [ { name: a } ] }
steps: []
");
    let [lost, picky] = &record.notices[..] else { panic!("{:#?}", record.notices) };
    assert!(lost.contains("it.yaml:8:") && lost.contains("default/lost"), "{lost}");
    assert!(lost.contains("there is no node `node-9`; did you mean `node-1`?"), "{lost}");
    assert!(picky.contains("it.yaml:12:") && picky.contains("and 2 more like it"), "{picky}");
    assert!(picky.contains("no node has the labels of its nodeSelector, disk=ssd"), "{picky}");
    assert_eq!(record.verdict, Verdict::Passed);
}

#[test]
fn a_failure_nobody_asked_about_is_shown_as_one_and_fails_nothing() {
    let text = "
name: unasked
description: An answer nobody would want.
cluster:
  nodes: 1
  manifests:
    - |
      { apiVersion: v1, kind: Pod, metadata: { name: a }, spec: { containers: [ { name: a, ports: [ { containerPort: 80 } ] } ] } }
apps: [ { workload: pod/a.default, status: 503 } ]
steps:
  - { at: 1s, request: { from: pod/a.default, to: 'http://{pod/a.default}/' } }
";
    let record = ran(text);
    assert!(record.steps[0].failed_unasked() && record.steps[0].held);
    assert_eq!(record.verdict, Verdict::Passed);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("unasked.yaml");
    std::fs::write(&file, text).expect("written");
    let (status, stdout, _) = said(&meshsim().arg("run").arg(&file).output().expect("runs"));
    assert_eq!(status, 0);
    assert!(stdout.lines().any(|line| line.starts_with("  ! ") && line.contains("GET http://")), "{stdout}");
}
