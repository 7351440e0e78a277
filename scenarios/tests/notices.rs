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

#[test]
fn labels_and_targets_that_mean_nothing_are_mentioned() {
    let record = ran("
name: slips
description: Slips of the pen that are no errors.
cluster:
  nodes: 1
  manifests:
    - |
      { apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio.io/dataplane-mode: ambeint } } }
      ---
      { apiVersion: v1, kind: Service, metadata: { name: server, namespace: shop }, spec: { ports: [ { port: 80 } ] } }
      ---
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: { name: p, namespace: shop }
      spec: { targetRefs: [ { kind: Service, name: serverr, group: '' } ] }
steps: []
");
    let said = |words: &str| record.notices.iter().any(|notice| notice.contains(words));
    assert!(said("`istio.io/dataplane-mode: ambeint` enrolls nobody"), "{:#?}", record.notices);
    assert!(said("did you mean `ambient`?"), "{:#?}", record.notices);
    assert!(said("service `serverr` in namespace `shop`, does not exist"), "{:#?}", record.notices);
    assert!(said("did you mean `server`?"), "{:#?}", record.notices);
}

#[test]
fn scenarios_of_one_name_have_a_page_each() {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, description) in [("a.yaml", "The first."), ("b.yaml", "The second.")] {
        let text = format!("name: same\ndescription: {description}\ncluster: {{ nodes: 1 }}\nsteps: []\n");
        std::fs::write(folder.path().join(file), text).expect("written");
    }
    let pages = folder.path().join("pages");
    let command = meshsim().arg("run").arg(folder.path()).arg("--report").arg(&pages).output().expect("runs");
    assert_eq!(said(&command).0, 0, "{:?}", said(&command));
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).expect("a page");
    assert!(page("same-seed-1.html").contains("The first.") && page("same-2-seed-1.html").contains("The second."));
}
