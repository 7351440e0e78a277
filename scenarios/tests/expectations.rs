//! Every expectation can fail, and then says what was expected, what was found and why.

mod support;

use std::fmt::Write;

use sim::record::{RunRecord, Verdict};
use sim::scenario::{Plan, RunOptions, run};

/// One step or load each, with an expectation that does not hold.
const SCENARIO: &str = r#"
name: nothing-as-expected
description: Every expectation of this scenario is wrong.
cluster: { nodes: 2, manifests: [clusters/bookshop.yaml, policies/strict.yaml] }
apps:
  - { workload: deploy/billing.outside, status: 503, delay: 20ms }
steps:
  - { at: 1s, request: &ask { from: deploy/storefront.bookshop, to: "http://ratings.bookshop:8080/r?x=1" }, expect: { status: [404, 410] } }
  - { at: 2s, request: *ask, expect: { outcome: refused } }
  - { at: 3s, request: *ask, expect: { via: [ztunnel] } }
  - { at: 4s, request: *ask, expect: { identity: none } }
  - { at: 5s, request: *ask, expect: { identity: "spiffe://cluster.local/ns/bookshop/sa/orders" } }
  - { at: 6s, request: *ask, expect: { denied: true } }
  - { at: 7s, request: *ask, expect: { denied: bookshop/istio_converted_other } }
  - { at: 8s, request: *ask, expect: { reason: policy_denied } }
  - { at: 9s, request: *ask, expect: { backend: deploy/orders.bookshop } }
  - { at: 10s, request: *ask, expect: { source_ip: 10.9.9.9 } }
  - { at: 11s, request: *ask, expect: { headers: { content-type: text/html } } }
  - { at: 12s, request: *ask, expect: { body_contains: [storefront, no such text] } }
  - { at: 13s, request: *ask, expect: { echo: { path: /other, method: POST, headers: { x-a: b }, proto: HTTP/2, host: else, without: [user-agent] } } }
  - { at: 14s, request: *ask, expect: { within: 1us } }
  - { at: 15s, request: { from: deploy/storefront.bookshop, to: "http://billing.outside:8080/", count: 4 }, expect: { status: 200, success: ">= 75%" } }
  - { at: 16s, request: { from: deploy/storefront.bookshop, to: "http://billing.outside:8080/", count: 8 }, expect: { status: 200 } }
  - { at: 17s, request: *ask, expect: { backends: { deploy/catalogue.bookshop: ">= 50%" } } }
  - { at: 18s, request: { from: deploy/passerby.outside, to: "http://ratings.bookshop:8080/" }, expect: { denied: false, status: 200 } }
  - { at: 19s, connect: { from: deploy/storefront.bookshop, to: "tcp://orders.bookshop:9000", hold: true, as: held }, expect: { via: [] } }
  - { at: 20s, check: held, expect: { open: false, closed_by: server, closed_within: 1s } }
  - { at: 21s, exchange: { on: held, send: 1KiB }, expect: { outcome: timed_out } }
  - { at: 22s, close: { connection: held } }
  - { at: 23s, check: held, expect: { open: true, closed_by: ztunnel } }
load:
  - name: sad
    from: deploy/storefront.bookshop
    to: "http://billing.outside:8080/"
    rate: 50/s
    during: 1s..2s
    expect: { success: ">= 99%", sent: 51, backends: { deploy/billing.outside: 1 } }
  - name: slow
    from: deploy/storefront.bookshop
    to: "http://billing.outside:8080/"
    rate: 50/s
    during: 1s..2s
    expect: { status: 503, p50: "<= 1ms", p99: "<= 1ms", max: "< 20ms" }
"#;

fn complaints(record: &RunRecord) -> String {
    let mut text = String::new();
    for step in &record.steps {
        let _ = writeln!(text, "line {}: {}", step.line, step.summary);
        for failure in &step.failures {
            let _ = writeln!(text, "    {failure}");
        }
    }
    for load in &record.load {
        let _ = writeln!(text, "load {}", load.name);
        for failure in &load.failures {
            let _ = writeln!(text, "    {failure}");
        }
    }
    text
}

#[test]
fn what_was_expected_what_was_found_and_why() {
    let plan = Plan::parse("it.yaml", SCENARIO, &support::catalogue()).expect("a scenario that can be read");
    let record = run(&plan, &RunOptions::default()).expect("a run");
    assert_eq!(record.verdict, Verdict::Failed);
    let wrong = |step: &&sim::record::StepResult| step.held != (step.kind == "close");
    let wrong: Vec<&str> = record.steps.iter().filter(wrong).map(|step| &*step.summary).collect();
    assert!(wrong.is_empty(), "these held: {wrong:?}");
    assert!(record.load.iter().all(|load| !load.held));
    assert!(record.violations.is_empty(), "{:?}", record.violations);
    insta::assert_snapshot!(complaints(&record));
}
