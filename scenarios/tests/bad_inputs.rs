//! Each class of wrong input gives exit status 2 and says where, what, and what to do.

mod support;

use std::fmt::Write;

use support::{meshsim, said};

/// A scenario that is right but for what is put in place of its last lines.
const RIGHT: &str = "\
name: wrong
description: One thing in here is wrong.
cluster:
  nodes: 2
  manifests: [shop.yaml]
";

const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } }
---
apiVersion: v1
kind: Service
metadata: { name: server, namespace: shop }
spec: { selector: { app: server }, ports: [{ name: http, port: 8080 }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: server, namespace: shop }
spec:
  selector: { matchLabels: { app: server } }
  template:
    metadata: { labels: { app: server } }
    spec: { containers: [{ name: server, image: server, ports: [{ containerPort: 8080 }] }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: client, namespace: shop }
spec:
  selector: { matchLabels: { app: client } }
  template:
    metadata: { labels: { app: client } }
    spec: { containers: [{ name: client, image: client }] }
";

/// What is wrong, and the lines that are.
const CASES: &[(&str, &str)] = &[
    (
        "an unknown field of a step",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, too: 'http://server:8080' } }]",
    ),
    ("an unknown field at the top", "step: []"),
    ("a step without an action", "steps: [{ at: 1s }]"),
    (
        "a step with two actions",
        "steps: [{ at: 1s, scale: { object: deploy/server.shop, replicas: 1 }, restart: deploy/server.shop }]",
    ),
    (
        "a service that does not exist",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://serverr:8080' } }]",
    ),
    (
        "a service elsewhere",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server.default:8080' } }]",
    ),
    (
        "a client that does not exist",
        "steps: [{ at: 1s, request: { from: deploy/clint.shop, to: 'http://server:8080' } }]",
    ),
    (
        "a namespace that does not exist",
        "steps: [{ at: 1s, request: { from: deploy/client.shopp, to: 'http://server:8080' } }]",
    ),
    ("a kind that does not exist", "steps: [{ at: 1s, restart: deploi/server.shop }]"),
    ("a kind without pods", "steps: [{ at: 1s, request: { from: service/server.shop, to: 'http://server:8080' } }]"),
    ("a target without a scheme", "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'server:8080' } }]"),
    (
        "a target of the wrong scheme",
        "steps: [{ at: 1s, connect: { from: deploy/client.shop, to: 'http://server:8080' } }]",
    ),
    ("a time that cannot be read", "steps: [{ at: soon, restart: deploy/server.shop }]"),
    (
        "a rate that cannot be read",
        "load: [{ name: l, from: deploy/client.shop, to: 'http://server:8080', rate: fast, during: 0s..1s }]",
    ),
    (
        "a span that runs backwards",
        "load: [{ name: l, from: deploy/client.shop, to: 'http://server:8080', rate: 1/s, during: 2s..1s }]",
    ),
    (
        "a reason that does not exist",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080' }, expect: { reason: policy_denid } }]",
    ),
    (
        "an expectation that means nothing there",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080' }, expect: { closed_by: server } }]",
    ),
    ("a stream nobody holds", "steps: [{ at: 1s, check: held, expect: { open: true } }]"),
    ("a manifest that does not exist", "steps: [{ at: 1s, apply: nowhere.yaml }]"),
    (
        "a wrong field in a manifest in place",
        "steps:\n  - at: 1s\n    apply: |\n      apiVersion: security.istio.io/v1\n      kind: AuthorizationPolicy\n      \
         metadata: { name: p, namespace: shop }\n      spec: { acton: DENY }",
    ),
    ("an object to delete that does not exist", "steps: [{ at: 1s, delete: authorizationpolicy/none.shop }]"),
    ("a fault that is none", "steps: [{ at: 1s, fault: { for: 3s } }]"),
    ("a fault that is two", "steps: [{ at: 1s, fault: { proxy_crash: node/node-1, control_plane: gone } }]"),
    ("a fault at a node that does not exist", "steps: [{ at: 1s, fault: { partition: { a: node/node-9 } } }]"),
    ("a fault in a zone that does not exist", "steps: [{ at: 1s, fault: { partition: { a: zone/z } } }]"),
    ("a fault of more than all", "steps: [{ at: 1s, fault: { loss: { share: 101% } } }]"),
    ("a fault that happens once, for a while", "steps: [{ at: 1s, fault: { lose: deploy/client.shop, for: 3s } }]"),
    ("a fault that lasts no time", "steps: [{ at: 1s, fault: { proxy_crash: node/node-1, for: 0 } }]"),
    ("a wrong clock that is right", "steps: [{ at: 1s, fault: { clock: { node: node/node-1 } } }]"),
    ("an invariant that does not exist", "invariants: [{ off: I99, because: it is not there }]"),
    ("an invariant switched off without a reason", "invariants: [{ off: I1, because: '' }]"),
    ("text that is not YAML", "steps: [{ at: 1s"),
    ("a key written twice", "steps: []\nsteps: []"),
    (
        "a path with a line break",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: \"http://server:8080/a\\r\\nb: c\" } }]",
    ),
    (
        "a status without an answer",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080' }, expect: { status: 200, outcome: refused } }]",
    ),
    (
        "a status of what is denied",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080' }, expect: { status: 200, denied: true } }]",
    ),
    (
        "a refusal that is none",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080' }, expect: { denied: false, reason: policy_denied } }]",
    ),
    (
        "a denial for another reason",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080' }, expect: { denied: true, reason: connect_failed } }]",
    ),
    (
        "more successes than requests",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080', count: 4 }, expect: { status: 200, success: '> 4' } }]",
    ),
    (
        "a policy that never exists",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080' }, expect: { denied: shop/nobody-wrote-this } }]",
    ),
    ("a step in a year", "steps: [{ at: 9000h, restart: deploy/server.shop }]"),
    (
        "a load that ends in a year",
        "load: [{ name: l, from: deploy/client.shop, to: 'http://server:8080', rate: 1/min, during: 0s..9000h }]",
    ),
    (
        "a header of HTTP/1.1 over HTTP/2",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080', http: h2c, headers: { Connection: close } } }]",
    ),
    ("port 0", "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:0' } }]"),
    (
        "a status that is none, in a list",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080' } , expect: { status: [200, 9999] } }]",
    ),
    (
        "no status at all",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080' } , expect: { status: [] } }]",
    ),
    (
        "more requests than anyone waits for",
        "steps: [{ at: 1s, request: { from: deploy/client.shop, to: 'http://server:8080' , count: 1000000000 } }]",
    ),
    (
        "a load nobody waits for",
        "load: [{ name: l, from: deploy/client.shop, to: 'http://server:8080', rate: 1000000000/s, during: 0s..1s }]",
    ),
    (
        "a load without room",
        "load: [{ name: l, from: deploy/client.shop, to: 'http://server:8080', rate: 1/s, during: 0s..1s, concurrency: 0 }]",
    ),
    (
        "nothing read to its end",
        "steps: [{ at: 1s, connect: { from: deploy/client.shop, to: 'tcp://server:8080', read: nothing } }]",
    ),
    (
        "a stream closed twice",
        "steps: [{ at: 1s, connect: { from: deploy/client.shop, to: 'tcp://server:8080', hold: true, as: h } }, { at: 2s, close: { connection: h } }, { at: 3s, close: { connection: h } }]",
    ),
    (
        "bytes for a stream that was closed",
        "steps: [{ at: 1s, connect: { from: deploy/client.shop, to: 'tcp://server:8080', hold: true, as: h } }, { at: 2s, close: { connection: h } }, { at: 3s, exchange: { on: h } }]",
    ),
    ("an invariant switched off twice", "invariants: [{ off: I1, because: a }, { off: I1, because: b }]"),
    ("packets that are too small", "network: { cross_node: { latency: 1ms, mtu: 1 } }"),
];

#[test]
fn every_class_of_wrong_input_gives_one_clear_diagnostic() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("shop.yaml"), SHOP).expect("a file");
    let mut all = String::new();
    for (what, lines) in CASES {
        std::fs::write(folder.path().join("it.yaml"), format!("{RIGHT}{lines}\n")).expect("a file");
        let output = meshsim().current_dir(folder.path()).args(["run", "it.yaml"]).output().expect("the command runs");
        let (status, out, errors) = said(&output);
        assert_eq!((status, out.as_str()), (2, ""), "{what}: {errors}");
        let _ = write!(all, "## {what}\n{}\n", errors.trim_end());
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_wrong_cluster_is_told_where_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = [
        ("a manifest that is not there", "cluster: { manifests: [none.yaml] }"),
        ("too many nodes", "cluster: { nodes: 5000 }"),
        ("two nodes of one name", "cluster: { nodes: [{ name: a }, { name: a }] }"),
        ("a node without a proper name", "cluster: { nodes: [{ name: A B }] }"),
        ("a trust domain that is none", "cluster: { trust_domain: not a/domain }"),
        ("a cluster domain that is none", "cluster: { cluster_domain: '...' }"),
        ("a root namespace that is none", "cluster: { root_namespace: '' }"),
        ("no address family", "cluster: { ip_families: [] }"),
        ("an address family twice", "cluster: { ip_families: [ipv4, ipv4] }"),
        ("a file that is not one", "cluster: { manifests: [{ namespace: x }] }"),
    ];
    let mut all = String::new();
    for (what, lines) in cases {
        let text = format!("name: n\ndescription: Wrong from the start.\n{lines}\n");
        std::fs::write(folder.path().join("it.yaml"), text).expect("a file");
        let output = meshsim().current_dir(folder.path()).args(["run", "it.yaml"]).output().expect("the command runs");
        let (status, _, errors) = said(&output);
        assert_eq!(status, 2, "{what}: {errors}");
        let _ = write!(all, "## {what}\n{}\n", errors.trim_end());
    }
    insta::assert_snapshot!(all);
}

#[test]
fn files_that_are_no_scenarios_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut all = String::new();
    let cases: [(&str, &[u8]); 6] = [
        ("manifest.yaml", b"apiVersion: v1\nkind: Namespace\nmetadata: { name: a }\n"),
        ("empty.yaml", b""),
        ("list.yaml", b"- 1\n- 2\n"),
        ("binary.yaml", &[0xff, 0xfe, 0x00]),
        ("nameless.yaml", b"name: ''\ndescription: ' '\ncluster: {}\n"),
        ("two.yaml", b"name: a\n---\nname: b\n"),
    ];
    for (name, bytes) in cases {
        std::fs::write(folder.path().join(name), bytes).expect("a file");
        let output = meshsim().current_dir(folder.path()).args(["run", name]).output().expect("the command runs");
        let (status, _, errors) = said(&output);
        assert_eq!(status, 2, "{name}: {errors}");
        let _ = write!(all, "## {name}\n{}\n", errors.trim_end());
    }
    let output = meshsim().current_dir(folder.path()).args(["run", "none.yaml"]).output().expect("the command runs");
    let (status, _, errors) = said(&output);
    assert_eq!(status, 2, "{errors}");
    let _ = write!(all, "## none.yaml\n{}\n", errors.trim_end());
    insta::assert_snapshot!(all);
}

/// Numbers that look random and never change.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// The text with a few of its lines or letters lost, doubled, moved or replaced.
fn damaged(text: &str, dice: &mut Dice) -> String {
    const STRANGE: [&str; 14] =
        ["", "-1", "null", "~", "[]", "{}", "99999999999999999999", "\u{0}", "é", "'", "&a", "*a", "1e400", "0x7f"];
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=dice.below(3) {
        let at = dice.below(lines.len());
        match dice.below(5) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[dice.below(lines.len())].clone()),
            2 => {
                let other = dice.below(lines.len());
                lines.swap(at, other);
            }
            3 => {
                let words: Vec<&str> = lines[at].split(' ').collect();
                let which = dice.below(words.len());
                let word = |(number, word)| if number == which { STRANGE[dice.below(STRANGE.len())] } else { word };
                let changed: Vec<&str> = words.into_iter().enumerate().map(word).collect();
                lines[at] = changed.join(" ");
            }
            _ => {
                let mut letters: Vec<char> = lines[at].chars().collect();
                if !letters.is_empty() {
                    letters.remove(dice.below(letters.len()));
                }
                lines[at] = letters.into_iter().collect();
            }
        }
        if lines.is_empty() {
            break;
        }
    }
    lines.join("\n")
}

#[test]
fn no_damage_to_a_scenario_makes_reading_it_panic() {
    let mut dice = Dice(1);
    for path in support::scenarios() {
        let text = std::fs::read_to_string(&path).expect("a scenario");
        let folder = path.parent().expect("a folder");
        for _ in 0..25 {
            let damaged = damaged(&text, &mut dice);
            if let Err(wrong) = sim::scenario::Plan::parse("it.yaml", &damaged, folder) {
                assert!(
                    !wrong.is_empty() && wrong.iter().all(|diagnostic| !diagnostic.message.is_empty()),
                    "{damaged}"
                );
            }
        }
    }
}
