//! Pages are byte-for-byte what they were. After a wanted change: `MESHSIM_BLESS=1 cargo test -p reports`.

use sim::record::{
    Backend, Evidence, Hop, LoadResult, Outcome, QuantilesNs, RequestResult, RunRecord, StepResult, TopologyNode,
    TopologyPod, Verdict, Violation,
};

fn hop(direction: &str, node: &str, policy: Option<&str>) -> Hop {
    Hop {
        proxy: "ztunnel".into(),
        node: node.into(),
        direction: direction.into(),
        protocol: "hbone".into(),
        source_identity: Some("spiffe://cluster.local/ns/shop/sa/storefront".into()),
        destination: Some("10.244.1.3:15008".into()),
        authority: Some("10.244.1.3:8080".into()),
        verdict: (direction == "inbound").then(|| if policy.is_some() { "denied".into() } else { "allowed".into() }),
        policy: policy.map(String::from),
        reason: policy.map(|_| "policy_denied".into()),
    }
}

fn request(at_ns: u64, denied: bool) -> RequestResult {
    RequestResult {
        at_ns,
        ended_ns: at_ns + 2_345_678,
        client: "shop/storefront-5d9c7".into(),
        target: "GET http://ratings.shop:8080/books/<1>?q=\"x\"".into(),
        outcome: if denied { Outcome::Reset } else { Outcome::Completed },
        status: (!denied).then_some(200),
        headers: vec![("content-type".into(), "application/json".into())],
        body: "{}".into(),
        bytes_sent: 120,
        bytes_received: if denied { 0 } else { 4_321 },
        backend: (!denied).then(|| Backend {
            namespace: "shop".into(),
            pod: "ratings-7f6b8".into(),
            node: "node-2".into(),
            source_ip: "10.244.0.2".into(),
        }),
        hops: vec![hop("outbound", "node-1", None), hop("inbound", "node-2", denied.then_some("shop/deny-storefront"))],
        reason: denied.then(|| "policy_denied".into()),
        policy: denied.then(|| "shop/deny-storefront".into()),
        explanation: if denied {
            "Denied by policy shop/deny-storefront at the ztunnel of node-2.".into()
        } else {
            "Answered 200 by ratings-7f6b8 over HBONE.".into()
        },
        flow: 1,
        trailers: vec![],
        grpc: None,
        messages: None,
        copies: vec![],
        decisions: vec![],
    }
}

fn record() -> RunRecord {
    RunRecord {
        format: 1,
        meshsim: "0.1.0".into(),
        scenario: "deny-closes".into(),
        description: "A deny policy added later refuses the next request, and says which policy did.".into(),
        file: Some("deny.yaml".into()),
        seed: 7,
        tls_provider: "seeded".into(),
        digest: "00112233445566778899aabbccddeeff".into(),
        virtual_time_ns: 5_000_000_000,
        verdict: Verdict::Failed,
        steps: vec![
            StepResult {
                at_ns: 1_000_000_000,
                kind: "request".into(),
                summary: "deploy/storefront.shop asks http://ratings.shop:8080/books".into(),
                line: 12,
                held: true,
                judged: true,
                failures: vec![],
                requests: vec![request(1_000_000_000, false), request(1_010_000_000, false)],
                conditions: vec![],
            },
            StepResult {
                at_ns: 2_000_000_000,
                kind: "apply".into(),
                summary: "apply deny.yaml".into(),
                line: 14,
                held: true,
                judged: true,
                failures: vec![],
                requests: vec![],
                conditions: vec![],
            },
            StepResult {
                at_ns: 3_000_000_000,
                kind: "request".into(),
                summary: "deploy/storefront.shop asks http://ratings.shop:8080/books".into(),
                line: 15,
                held: false,
                judged: true,
                failures: vec!["expected status 200, found a reset: denied by shop/deny-storefront".into()],
                requests: vec![request(3_000_000_000, true)],
                conditions: vec![],
            },
        ],
        load: vec![LoadResult {
            name: "steady".into(),
            summary: "200/s from deploy/storefront.shop to http://ratings.shop:8080/".into(),
            sent: 1_000,
            succeeded: 990,
            failed: [("policy_denied".to_owned(), 10)].into(),
            backends: [("ratings-7f6b8".to_owned(), 600), ("ratings-x2x2x".to_owned(), 390)].into(),
            latency: QuantilesNs {
                min: 800_000,
                p50: 1_100_000,
                p90: 1_300_000,
                p99: 2_000_000,
                p999: 3_000_000,
                max: 3_100_000,
                mean: 1_150_000,
            },
            held: false,
            failures: vec!["expected success >= 99.9 %, found 99.0 %".into()],
        }],
        violations: vec![Violation {
            invariant: "I1".into(),
            claim: "no open connection exists that policy denies".into(),
            at_ns: 2_500_000_000,
            evidence: vec![Evidence { at_ns: 2_000_000_000, event: "policy shop/deny-storefront acknowledged".into() }],
            consequence: "A client that policy refuses still reaches the server.".into(),
        }],
        counters: [("events".to_owned(), 12_345), ("tls_handshakes".to_owned(), 2)].into(),
        notices: vec!["2 objects of kind HTTPRoute are not simulated".into()],
        topology: vec![TopologyNode {
            name: "node-1".into(),
            zone: "a".into(),
            pods: vec![TopologyPod {
                namespace: "shop".into(),
                name: "storefront-5d9c7".into(),
                ips: vec!["10.244.0.2".into()],
                identity: Some("spiffe://cluster.local/ns/shop/sa/storefront".into()),
                enrolled: true,
            }],
        }],
        replay: "meshsim run deny.yaml --seed 7".into(),
    }
}

#[test]
fn page_is_byte_for_byte_the_golden_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/page.html");
    let page = reports::page(&record());
    if std::env::var_os("MESHSIM_BLESS").is_some() {
        std::fs::write(path, &page).expect("the golden page can be written");
    }
    let golden = std::fs::read_to_string(path).expect("the golden page is there");
    assert!(page == golden, "the page changed; if that was wanted: MESHSIM_BLESS=1 cargo test -p reports");
}

#[test]
fn hostile_text_in_a_record_cannot_leave_its_element() {
    let mut hostile = record();
    hostile.scenario = "</title><script>alert(1)</script>".into();
    hostile.steps[0].requests[0].explanation = "<img src=x onerror=alert(1)>".into();
    let page = reports::page(&hostile);
    assert!(!page.contains("<script") && !page.contains("<img"));
}

#[test]
fn page_is_written_under_a_file_name_without_surprises() {
    let directory = std::env::temp_dir().join(format!("meshsim-report-{}", std::process::id()));
    let mut odd = record();
    odd.scenario = "../../odd name".into();
    let path = reports::render(&odd, &directory, 0).expect("the page can be written");
    assert_eq!(path.parent(), Some(directory.as_path()));
    assert_eq!(path.file_name().and_then(|name| name.to_str()), Some("------odd-name-seed-7.html"));
    std::fs::remove_dir_all(&directory).expect("the directory can be removed");
}
