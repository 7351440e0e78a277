//! What scenarios can say about requests that pass a waypoint, said and held true.

use std::path::Path;

use sim::record::Verdict;
use sim::scenario::{Plan, RunOptions, run};

const SCENARIO: &str = r#"
name: at-waypoints
description: A request through a waypoint shows its path, its route, its policy and its tries.
cluster:
  nodes: 2
  manifests:
    - |
      apiVersion: v1
      kind: Namespace
      metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint } }
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: Gateway
      metadata: { name: waypoint, namespace: shop, labels: { istio.io/waypoint-for: service } }
      spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: { name: canary, namespace: shop }
      spec:
        parentRefs: [{ group: "", kind: Service, name: both }]
        rules:
          - backendRefs: [{ name: a, port: 80, weight: 80 }, { name: b, port: 80, weight: 20 }]
            retry: { attempts: 2, codes: [503] }
      ---
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata: { name: steady, namespace: shop }
      spec:
        parentRefs: [{ group: "", kind: Service, name: b }]
        rules: [{ name: again, backendRefs: [{ name: b, port: 80 }], retry: { attempts: 2, codes: [503] } }]
      ---
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: { name: read-only, namespace: shop }
      spec:
        targetRefs: [{ group: "", kind: Service, name: a }]
        action: DENY
        rules: [{ to: [{ operation: { methods: [DELETE] } }] }]
      ---
      apiVersion: v1
      kind: Service
      metadata: { name: both, namespace: shop }
      spec: { selector: { tier: server }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
      ---
      apiVersion: v1
      kind: Service
      metadata: { name: a, namespace: shop }
      spec: { selector: { app: a }, ports: [{ name: http, port: 80, targetPort: 8080 }, { name: grpc, port: 7070, targetPort: 8080 }] }
      ---
      apiVersion: v1
      kind: Service
      metadata: { name: b, namespace: shop }
      spec: { selector: { app: b }, ports: [{ name: http, port: 80, targetPort: 8080 }, { name: grpc, port: 7070 }] }
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: a, namespace: shop }
      spec:
        selector: { matchLabels: { app: a } }
        template:
          metadata: { labels: { app: a, tier: server } }
          spec: { containers: [{ name: a, image: a, ports: [{ containerPort: 8080 }] }] }
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: b, namespace: shop }
      spec:
        selector: { matchLabels: { app: b } }
        template:
          metadata: { labels: { app: b, tier: server } }
          spec: { containers: [{ name: b, image: b, ports: [{ containerPort: 8080 }, { containerPort: 7070 }] }] }
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: client, namespace: shop }
      spec:
        selector: { matchLabels: { app: client } }
        template:
          metadata: { labels: { app: client } }
          spec: { containers: [{ name: client, image: client }] }
apps:
  - { workload: deploy/b.shop, fail: { tries: 1, with: 503 } }
steps:
  - { at: 4s, inspect: gateway/waypoint.shop, expect: { conditions: { Programmed: True } } }
  - { at: 4s, inspect: httproute/canary.shop, expect: { conditions: { Accepted: { status: True, parent: service/both } } } }
  - at: 5s
    request: { from: deploy/client.shop, to: "http://a.shop/x", explain: true }
    expect: { status: 200, via: [ztunnel, waypoint, ztunnel], backend: deploy/a.shop, attempts: 1 }
  - at: 6s
    request: { from: deploy/client.shop, to: "http://a.shop/x", method: DELETE, explain: true }
    expect: { status: 403, via: [ztunnel, waypoint], denied: shop/read-only, reason: policy_denied, body: "RBAC: access denied" }
  - at: 7s
    request: { from: deploy/client.shop, to: "http://both.shop/", count: 200, concurrency: 10, keep_alive: true }
    expect:
      - { split: { weights: { deploy/a.shop: 80, deploy/b.shop: 20 } }, via: [ztunnel, waypoint, ztunnel] }
      - { status: 200, share: 100% }
  - at: 12s
    request: { from: deploy/client.shop, to: "http://b.shop/x", explain: true }
    expect: { status: 200, attempts: 2, received: [{ by: deploy/b.shop, path: /x, times: 2 }] }
  - at: 13s
    request: { from: deploy/client.shop, to: "http://a.shop:7070", grpc: { message: hi } }
    expect: { grpc: { status: OK, messages: 1 }, via: [ztunnel, waypoint, ztunnel] }
"#;

#[test]
fn a_scenario_sees_the_waypoint_its_route_policy_and_tries() {
    let plan = Plan::parse("waypoints.yaml", SCENARIO, Path::new(".")).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    let record = run(&plan, &RunOptions::default()).expect("a run");
    let failures: Vec<_> = record.steps.iter().flat_map(|step| &step.failures).collect();
    assert!(failures.is_empty(), "{failures:#?}\n{:#?}", record.notices);
    assert_ne!(record.verdict, Verdict::Crashed);
    let words = |step: usize| {
        let decisions = record.steps[step].requests[0].decisions.iter();
        decisions.flat_map(|decision| decision.words.clone()).collect::<Vec<_>>().join("\n")
    };
    assert!(words(2).contains("no route is attached"), "{}", words(2));
    assert!(words(3).contains("denied by policy shop/read-only rule 0"), "{}", words(3));
    assert!(words(5).contains("HTTPRoute shop/steady rule 0 (again) matches"), "{}", words(5));
    assert!(words(5).contains("try 2, after"), "{}", words(5));
}
