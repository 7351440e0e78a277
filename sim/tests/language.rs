//! What scenarios can say about applications, requests and answers, said and held true in a mesh without waypoints.

use std::path::Path;

use sim::record::{RequestResult, RunRecord, Verdict};
use sim::scenario::{Plan, RunOptions, run};

/// Namespace `shop` in the mesh: `client`, and `a` and `b` behind Service `both`.
const SHOP: &str = r#"
name: language
description: What scenarios can say.
cluster:
  nodes: 2
  manifests:
    - |
      apiVersion: v1
      kind: Namespace
      metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } }
      ---
      apiVersion: v1
      kind: Service
      metadata: { name: both, namespace: shop }
      spec: { selector: { tier: server }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
      ---
      apiVersion: v1
      kind: Service
      metadata: { name: a, namespace: shop }
      spec:
        selector: { app: a }
        ports: [{ name: http, port: 80, targetPort: 8080 }, { name: grpc, port: 7070 }, { name: tcp, port: 9000 }]
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: a, namespace: shop }
      spec:
        selector: { matchLabels: { app: a } }
        template:
          metadata: { labels: { app: a, tier: server } }
          spec: { containers: [{ name: a, image: a, ports: [{ containerPort: 8080 }, { containerPort: 7070 }, { containerPort: 9000 }] }] }
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: b, namespace: shop }
      spec:
        selector: { matchLabels: { app: b } }
        template:
          metadata: { labels: { app: b, tier: server } }
          spec: { containers: [{ name: b, image: b, ports: [{ containerPort: 8080 }] }] }
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: client, namespace: shop }
      spec:
        selector: { matchLabels: { app: client } }
        template:
          metadata: { labels: { app: client } }
          spec: { containers: [{ name: client, image: client }] }
"#;

fn ran(rest: &str) -> RunRecord {
    let plan = Plan::parse("language.yaml", &format!("{SHOP}{rest}"), Path::new("."));
    let plan = plan.unwrap_or_else(|wrong| {
        panic!("{}", wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    });
    run(&plan, &RunOptions::default()).expect("a run")
}

fn holds(rest: &str) -> RunRecord {
    let record = ran(rest);
    let failures: Vec<_> = record.steps.iter().flat_map(|step| &step.failures).collect();
    assert_eq!(record.verdict, Verdict::Passed, "{failures:#?}\n{:#?}\n{:#?}", record.violations, record.notices);
    record
}

fn first(record: &RunRecord) -> &RequestResult {
    &record.steps[0].requests[0]
}

fn wrong_with(rest: &str) -> String {
    match Plan::parse("language.yaml", &format!("{SHOP}{rest}"), Path::new(".")) {
        Ok(_) => panic!("this can be read: {rest}"),
        Err(wrong) => wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn applications_answer_with_headers_trailers_texts_and_slow_bodies() {
    let record = holds(
        r#"
apps:
  - { workload: deploy/a.shop, port: 8080, status: 418, headers: { x-a: [one, two], content-type: text/html },
      trailers: { x-end: now }, text: "a short text", body_rate: 100, delay: { mostly: 5ms, sometimes: 1s, share: 0.1% } }
steps:
  - at: 1s
    request: { from: deploy/client.shop, to: "http://a.shop/", query: { q: "a b&c" } }
    expect:
      - { status: 418, body: a short text, headers: { x-a: two, content-type: text/html }, trailers: { x-end: now } }
      - { backend: deploy/a.shop, source_ip: preserved, without_headers: [x-b], echo: { path: "/?q=a%20b%26c" } }
  - at: 3s
    request: { from: deploy/client.shop, to: "http://a.shop/", http: h2c }
    expect: { status: 418, body: a short text, trailers: { x-end: now }, backend: deploy/a.shop }
"#,
    );
    let took = first(&record).ended_ns - first(&record).at_ns;
    // Twelve bytes at a hundred a second, one at a time, the last without a pause after it.
    assert!((110_000_000..130_000_000).contains(&took), "{took}");
}

#[test]
fn the_first_tries_fail_and_each_path_counts_for_itself() {
    holds(
        r#"
apps:
  - { workload: deploy/a.shop, fail: { tries: 2, counted_by: path, with: 503 } }
  - { workload: deploy/b.shop, fail: { tries: 1, counted_by: path, with: reset } }
steps:
  - at: 1s
    request: { from: deploy/client.shop, to: "http://a.shop/x", count: 4 }
    expect:
      - { only: 1..2, status: 503 }
      - { only: 3.., status: 200, attempts: 1 }
  - { at: 2s, request: { from: deploy/client.shop, to: "http://a.shop/y" }, expect: { status: 503 } }
  - at: 3s
    request: { from: deploy/client.shop, to: "http://{deploy/b.shop}:8080/", count: 2 }
    expect: [{ only: 1, outcome: closed_early }, { only: 2, status: 200 }]
"#,
    );
}

#[test]
fn grpc_calls_are_echoed_message_by_message() {
    let record = holds(
        r#"
apps:
  - { workload: deploy/b.shop, grpc: { status: UNAVAILABLE, message: "not now, später" }, trailers: { x-why: rest } }
steps:
  - at: 1s
    request: { from: deploy/client.shop, to: "http://a.shop:7070", grpc: { service: shop.Reviews, method: Get, metadata: { x-m: [a, b] }, message: hello } }
    expect:
      - { status: 200, grpc: { status: OK, messages: 1 }, backend: deploy/a.shop, body_contains: '"message":"hello"' }
      - { echo: { path: /shop.Reviews/Get, method: POST, proto: HTTP/2, headers: { x-m: "a,b" } }, attempts: 1 }
  - at: 2s
    request: { from: deploy/client.shop, to: "http://a.shop:7070", grpc: { stream: 20, message: x } }
    expect: { grpc: { status: 0, messages: 20 }, backend: deploy/a.shop }
  - at: 3s
    request: { from: deploy/client.shop, to: "http://{deploy/b.shop}:8080", grpc: {} }
    expect: { grpc: { status: UNAVAILABLE, message: "not now, später", messages: 0 }, headers: { x-why: rest } }
  - { at: 4s, request: { from: deploy/client.shop, to: "http://a.shop:7070/", http: h2c }, expect: { status: 200, echo: { proto: HTTP/2 } } }
"#,
    );
    assert!(record.steps[2].requests[0].explanation.starts_with("gRPC UNAVAILABLE: not now, später, 200"));
}

#[test]
fn websockets_are_opened_and_echo() {
    holds(
        r#"
steps:
  - at: 1s
    request: { from: deploy/client.shop, to: "http://a.shop/chat", websocket: { messages: [hello, wide world] } }
    expect: { status: 101, messages: 2, body: "hello\nwide world", backend: deploy/a.shop, echo: { path: /chat } }
  - { at: 2s, request: { from: deploy/client.shop, to: "http://a.shop/", websocket: { messages: 50 } }, expect: { messages: 50 } }
"#,
    );
}

#[test]
fn a_server_that_speaks_first_is_heard_first() {
    holds(
        r#"
apps:
  - { workload: deploy/a.shop, port: 9000, role: speaks_first }
steps:
  - at: 1s
    connect: { from: deploy/client.shop, to: "tcp://a.shop:9000", send: 10KiB, server_first: true }
    expect: { outcome: completed, via: [ztunnel, ztunnel], backend: deploy/a.shop }
"#,
    );
}

#[test]
fn requests_share_one_http2_connection_and_run_side_by_side() {
    let record = holds(
        r#"
apps:
  - { workload: deploy/a.shop, delay: 100ms }
steps:
  - at: 1s
    request: { from: deploy/client.shop, to: "http://a.shop/", http: h2c, keep_alive: true, count: 21, concurrency: 10 }
    expect: { status: 200, backend: deploy/a.shop }
  - at: 4s
    request: { from: deploy/client.shop, to: "http://a.shop/", count: 20, concurrency: 20 }
    expect: { status: 200, within: 150ms }
"#,
    );
    let step = &record.steps[0].requests;
    let end = step.iter().map(|request| request.ended_ns).max().unwrap_or_default();
    // One opens the connection, then ten at a time.
    assert!(end < 1_350_000_000, "{end}");
}

#[test]
fn answers_share_out_as_chance_allows() {
    holds(
        r#"
apps:
  - { workload: deploy/a.shop, errors: { share: 20%, with: 500 } }
steps:
  - at: 1s
    request: { from: deploy/client.shop, to: "http://both.shop/", count: 400, concurrency: 20 }
    expect:
      - { split: { weights: { deploy/a.shop: 50, deploy/b.shop: 50 } } }
      - { split: { weights: { deploy/a.shop: 1, deploy/b.shop: 1, deploy/client.shop: 0 }, tolerance: 10% } }
      - { status: 200, share: 90% }
      - { status: 500, share: 10%, tolerance: 5% }
      - { received: [{ by: deploy/a.shop, path: /, times: "<= 1" }], attempts: 1 }
"#,
    );
}

#[test]
fn a_split_that_is_not_there_is_told_with_its_bounds() {
    let record = ran(r#"
steps:
  - at: 1s
    request: { from: deploy/client.shop, to: "http://both.shop/", count: 200, concurrency: 20 }
    expect:
      - { split: { weights: { deploy/a.shop: 90, deploy/b.shop: 10 } } }
      - { backend: deploy/a.shop, share: 90% }
      - { only: 201.., status: 200 }
      - { only: 7, received: [{ by: deploy/client.shop, host: both }], attempts: 2 }
"#);
    let failures = &record.steps[0].failures;
    assert!(failures[0].starts_with("expected 90 of 100 answers from Deployment `shop/a` (from 1"), "{failures:#?}");
    assert!(failures[2].starts_with("expected 90% of 200 as described (from 1"), "{failures:#?}");
    assert_eq!(failures[3], "expected a request of number 201, and there is none");
    assert!(failures[4].starts_with("request 7: expected 2 tries and copies to reach a server"), "{failures:#?}");
}

#[test]
fn tokens_are_signed_and_key_sets_served() {
    let record = holds(
        r#"
keys: { main: RS256, next: { algorithm: ES256, id: main-2 }, third: EdDSA }
apps:
  - { workload: deploy/a.shop, jwks: [main, next] }
steps:
  - at: 1s
    request: { from: deploy/client.shop, to: "http://a.shop/keys" }
    expect: { status: 200, body_contains: ['"kid":"main"', '"kid":"main-2"', '"alg":"ES256"'], headers: { content-type: application/json } }
  - at: 2s
    request: { from: deploy/client.shop, to: "http://{deploy/b.shop}:8080/", token: { key: main, issuer: me, subject: you, audience: [a, b], claims: { groups: [x], deep: { y: 1 } } } }
    expect: { status: 200 }
  - at: 3s
    request: { from: deploy/client.shop, to: "http://{deploy/b.shop}:8080/", token: { key: third, query: access_token, expired_for: 1m } }
    expect: { status: 200, body_contains: "/?access_token=ey" }
"#,
    );
    let body: serde_json::Value = serde_json::from_str(&record.steps[1].requests[0].body).expect("an echo");
    let token = body["headers"]["authorization"].as_str().and_then(|value| value.strip_prefix("Bearer "));
    let parts: Vec<&str> = token.expect("a token").split('.').collect();
    // The claims' beginning, in base64url: {"iss":"me","sub":"you","aud":["a","b"],
    assert!(
        parts.len() == 3 && parts[1].starts_with("eyJpc3MiOiJtZSIsInN1YiI6InlvdSIsImF1ZCI6WyJhIiwiYiJd"),
        "{parts:?}"
    );
}

#[test]
fn an_authorization_provider_decides_by_one_header() {
    holds(
        r#"
apps:
  - { workload: deploy/a.shop, role: ext_authz }
steps:
  - at: 1s
    request: { from: deploy/client.shop, to: "http://a.shop/any", headers: { x-ext-authz: allow } }
    expect: { status: 200, headers: { x-ext-authz-check-result: allowed } }
  - at: 2s
    request: { from: deploy/client.shop, to: "http://a.shop/any" }
    expect: { status: 403, headers: { x-ext-authz-check-result: denied }, body_contains: x-ext-authz }
  - at: 3s
    request: { from: deploy/client.shop, to: "http://a.shop:7070", grpc: { service: envoy.service.auth.v3.Authorization, method: Check } }
    expect: { grpc: { status: OK, messages: 1 } }
"#,
    );
}

#[test]
fn who_decided_what_is_told_on_request() {
    let record = holds(
        r#"
steps:
  - { at: 1s, request: { from: deploy/client.shop, to: "http://a.shop/", explain: true }, expect: { status: 200 } }
  - { at: 2s, request: { from: deploy/client.shop, to: "http://a.shop/" }, expect: { status: 200 } }
"#,
    );
    let decisions = &first(&record).decisions;
    assert_eq!(decisions.len(), 2);
    assert!(decisions[0].at.ends_with("outbound") && decisions[1].at.ends_with("inbound"));
    let all = decisions.iter().flat_map(|decision| &decision.words).cloned().collect::<Vec<_>>().join("\n");
    for words in [
        "an address of service shop/a.shop.svc.cluster.local",
        "sent on over HBONE to shop/a-",
        "no ALLOW policy applies",
    ] {
        assert!(all.contains(words), "`{words}` is missing in\n{all}");
    }
    assert!(record.steps[1].requests[0].decisions.is_empty());
}

#[test]
fn what_cannot_mean_anything_is_told_where_it_is_written() {
    let step = |request: &str, expect: &str| {
        format!(
            "steps: [{{ at: 1s, request: {{ from: deploy/client.shop, to: 'http://a.shop/', {request} }}, expect: {expect} }}]"
        )
    };
    let cases = [
        (step("token: { issuer: me }", "{}"), "it is not clear which key signs this token"),
        (format!("keys: {{ main: RS256 }}\n{}", step("token: { key: mian }", "{}")), "did you mean `main`?"),
        (format!("keys: {{ main: RS128 }}\n{}", step("", "{}")), "RS128"),
        ("keys: { a: RS256, b: RS256, c: RS256, d: RS256 }".to_owned(), "at most 3 RSA keys"),
        (step("grpc: {}, method: PUT", "{}"), "a gRPC call has no `method`"),
        (step("grpc: {}, websocket: { messages: 1 }", "{}"), "either `grpc` or `websocket`"),
        (step("websocket: { messages: 1 }, http: h2c", "{}"), "a WebSocket begins with a GET"),
        (step("concurrency: 0", "{}"), "`concurrency` is at least 1"),
        (step("count: 2", "[{ status: 200 }, { share: 50%, success: 1 }]"), "either `success` or `share`"),
        (step("count: 2", "{ split: { weights: { deploy/a.shop: 0 } } }"), "at least one weight above zero"),
        (step("count: 2", "{ split: { weights: { deploy/aa.shop: 1 } } }"), "no deployment `aa`"),
        (step("", "{ grpc: { status: UNAVAIBLE } }"), "did you mean `UNAVAILABLE`?"),
        (step("", "{ only: 0 }"), "requests are counted from 1"),
        (step("", "{ only: 5..2 }"), "a range ends after it begins"),
        (step("", "{ policy: shop/none }"), "no manifest and no step makes a policy `shop/none`"),
        (step("", "{ tolerance: 3% }"), "`tolerance` belongs to `share`"),
        (step("", "{ conditions: { Accepted: True } }"), "`conditions` means nothing for a request"),
        ("apps: [{ workload: deploy/a.shop, fail: { tries: 1, with: 99 } }]".to_owned(), "from 200 to 599"),
        ("apps: [{ workload: deploy/a.shop, errors: { share: 120% } }]".to_owned(), "`120%` is not a share"),
        ("apps: [{ workload: deploy/a.shop, jwks: [main], text: x }]".to_owned(), "either `text` or `jwks`"),
    ];
    for (rest, expected) in cases {
        let wrong = wrong_with(&rest);
        assert!(wrong.contains(expected), "`{expected}` is missing in\n{wrong}\nof {rest}");
        assert!(wrong.lines().next().is_some_and(|line| line.starts_with("language.yaml:")), "{wrong}");
    }
}
