use std::path::Path;

use super::*;

const PAIR: &str = r#"
name: pair
description: Two pods talk.
cluster:
  nodes: 2
  manifests:
    - |
      apiVersion: v1
      kind: Namespace
      metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } }
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: client, namespace: shop }
      spec:
        selector: { matchLabels: { app: client } }
        template:
          metadata: { labels: { app: client } }
          spec: { containers: [{ name: c, image: c }] }
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: server, namespace: shop }
      spec:
        selector: { matchLabels: { app: server } }
        template:
          metadata: { labels: { app: server } }
          spec: { containers: [{ name: s, image: s, ports: [{ containerPort: 8080 }] }] }
      ---
      apiVersion: v1
      kind: Service
      metadata: { name: server, namespace: shop }
      spec: { selector: { app: server }, ports: [{ port: 80, targetPort: 8080 }] }
steps:
  - at: 1s
    request: { from: deploy/client.shop, to: "http://server.shop/", count: 5 }
    expect: { status: 200 }
  - { at: 4s, request: { from: deploy/client.shop, to: "http://server.shop/" } }
"#;

fn pair() -> (Plan, Draft) {
    let plan = Plan::parse("pair.yaml", PAIR, Path::new(".")).expect("a scenario");
    let draft = Draft::of(&plan).expect("the same as data");
    (plan, draft)
}

#[test]
fn a_draft_says_what_its_scenario_said() {
    let (_, draft) = pair();
    let again = draft.plan().unwrap_or_else(|wrong| panic!("{wrong:#?}\n{}", draft.text()));
    assert_eq!(Draft::of(&again).expect("data").root, draft.root, "{}", draft.text());
}

#[test]
fn draws_are_the_seeds_alone_and_end_within_the_span() {
    let (plan, draft) = pair();
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let drawn = draw(&plan, seed);
        assert_eq!(drawn, draw(&plan, seed));
        assert!(drawn.faults.iter().all(|fault| is_within(&plan, fault)), "{drawn:#?}");
        let (_, draft, _) = drafted(&plan, &draft, seed).expect("a draft");
        draft.plan().unwrap_or_else(|wrong| panic!("{wrong:#?}\n{}", draft.text()));
        kinds.extend(drawn.faults.iter().map(|it| {
            format!(
                "{:?}",
                serde_json::to_value(&it.fault)
                    .map(|it| it.as_object().and_then(|it| it.keys().find(|key| *key != "for").cloned()))
            )
        }));
    }
    assert!(kinds.len() >= 17, "{kinds:?}");
}

#[test]
fn a_seed_has_one_result_that_survives_writing() {
    let (plan, draft) = pair();
    let result = run_seed(&plan, &draft, 3).expect("a result");
    assert_eq!(result, run_seed(&plan, &draft, 3).expect("a result"));
    let line = serde_json::to_string(&result).expect("JSON");
    assert_eq!(serde_json::from_str::<SeedResult>(&line).expect("a result"), result);
}

/// A scenario in which a stream is under way when its client dies.
fn orphaned() -> Draft {
    let (_, mut draft) = pair();
    let steps = draft.list("steps");
    steps.push(json!({
        "at": "5s",
        "connect": { "from": "deploy/client.shop", "to": "tcp://server.shop:80", "send": "64KiB", "read": "1KiB" },
    }));
    steps.push(json!({ "at": "5500ms", "fault": { "crash": { "pods": "deploy/client.shop" }, "for": "1s" } }));
    draft
}

#[test]
fn a_stream_ends_with_its_client() {
    let record = run_draft(&orphaned(), None).expect("a run");
    assert_eq!(record.verdict, Verdict::Passed, "{record:#?}");
    assert!(record.virtual_time_ns < 60_000_000_000, "{}", record.virtual_time_ns);
    let stream = &record.steps[2].requests[0];
    assert_eq!(stream.outcome, crate::record::Outcome::Failed, "{stream:#?}");
}

#[test]
fn a_run_without_end_is_one_that_crashed() {
    let (plan, _) = pair();
    let record = run(&plan, &RunOptions { events_max: Some(200), ..RunOptions::default() }).expect("a record");
    assert_eq!((record.verdict, record.counters["events"]), (Verdict::Crashed, 201));
    assert_eq!(broken(&record, false), ["I12", "crash"]);
    let evidence = format!("{:?}", record.violations);
    assert!(evidence.contains("event limit") && evidence.contains("live tasks"), "{evidence}");
}

#[test]
fn requests_end_with_their_client_and_nobody_waits_for_a_dial_of_the_dead() {
    let (_, mut draft) = pair();
    let steps = draft.list("steps");
    steps.push(json!({ "at": "5s", "fault": { "partition": { "a": "deploy/server.shop" }, "for": "60s" } }));
    let request = json!({ "from": "deploy/client.shop", "to": "http://server.shop/", "count": 500 });
    steps.push(json!({ "at": "6s", "request": request }));
    steps.push(json!({ "at": "7s", "fault": { "crash": { "pods": "deploy/client.shop" }, "for": "1s" } }));
    let request = json!({ "from": "deploy/client.shop", "to": "http://server.shop/" });
    steps.push(json!({ "at": "200s", "request": request }));
    let record = run_draft(&draft, None).expect("a run");
    assert!(record.violations.is_empty(), "{:#?}", record.violations);
    assert!(record.virtual_time_ns < 250_000_000_000, "{}", record.virtual_time_ns);
}
