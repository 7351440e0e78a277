//! What is said about each class of bad manifest, and where. Every case is applied to the same small cluster.

mod istio;
mod kubernetes;
mod traffic;

use proptest::prelude::*;
use proxy_core::host::Instant;
use sim::cluster::{ApplyOptions, Cluster, ClusterConfig, Diagnostic, yaml};

/// What is there already.
const BEFORE: &str = "
{ apiVersion: v1, kind: Namespace, metadata: { name: shop } }
---
{ apiVersion: v1, kind: ServiceAccount, metadata: { name: cashier, namespace: shop } }
---
{ apiVersion: v1, kind: Service, metadata: { name: till, namespace: shop }, spec: { clusterIP: 10.96.1.1, ports: [ { port: 80 } ] } }
";

fn apply(text: &str) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let mut cluster = Cluster::new(ClusterConfig::with_nodes(2));
    let options = ApplyOptions::default();
    let before = yaml::parse("before.yaml", BEFORE)?;
    cluster.apply(&before, &options, Instant::START)?;
    let documents = yaml::parse("bad.yaml", text)?;
    cluster.apply(&documents, &options, Instant::START).map(|applied| applied.notices)
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The errors of text that has some.
fn errors(text: &str) -> String {
    match apply(text) {
        Ok(notices) => panic!("nothing wrong; notices:\n{}", lines(&notices)),
        Err(wrong) => lines(&wrong),
    }
}

/// The notices of text without errors.
fn notices(text: &str) -> String {
    apply(text).map(|notices| lines(&notices)).unwrap_or_else(|wrong| panic!("{}", lines(&wrong)))
}

/// A deployment with a line replaced.
fn deployment(from: &str, to: &str) -> String {
    const TEXT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  labels:
    app: web
spec:
  replicas: 2
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
    spec:
      serviceAccountName: cashier
      containers:
      - name: web
        image: web:1
        ports:
        - containerPort: 8080
          name: http
";
    assert!(TEXT.contains(from), "{from}");
    TEXT.replacen(from, to, 1)
}

fn service(from: &str, to: &str) -> String {
    const TEXT: &str = "apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
spec:
  clusterIP: 10.96.1.2
  selector:
    app: web
  ports:
  - port: 80
    name: http
    targetPort: http
  - port: 90
    name: other
";
    assert!(TEXT.contains(from), "{from}");
    TEXT.replacen(from, to, 1)
}

fn policy(spec: &str) -> String {
    format!("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{ name: p }}\nspec:\n{spec}")
}

#[test]
fn the_good_objects_of_this_file_are_good() {
    assert_eq!(notices(&format!("{}---\n{}", deployment("", ""), service("", ""))), "");
}

#[test]
fn everything_wrong_with_a_file_is_reported_and_nothing_is_applied() {
    let text = format!(
        "{}---\n{}---\n{}",
        deployment("serviceAccountName: cashier", "serviceAccountName: nobody"),
        service("", ""),
        service("namespace: shop", "namespace: nowhere")
    );
    insta::assert_snapshot!(errors(&text), @r"
    bad.yaml:18:27: no service account `nobody` in namespace `shop`
      hint: apply a ServiceAccount `nobody` in namespace `shop` before, or in the same file
    bad.yaml:46:14: no namespace `nowhere`
      hint: apply a Namespace `nowhere` before, or in the same file
    bad.yaml:48:14: virtual address `10.96.1.2` belongs to Service `shop/web` already
      hint: leave `clusterIP` out to be given a free one
    ");
    let mut cluster = Cluster::new(ClusterConfig::default());
    let documents = yaml::parse("bad.yaml", &text).unwrap();
    assert!(cluster.apply(&documents, &ApplyOptions::default(), Instant::START).is_err());
    assert_eq!((cluster.services().count(), cluster.controllers().count()), (0, 0));
}

proptest! {
    #[test]
    fn no_mutation_of_a_manifest_panics(edits in proptest::collection::vec((0usize..2000, any::<char>(), 0u8..4), 1..6)) {
        let rules = "  rules: [ { from: [ { source: { ipBlocks: [ 10.0.0.0/8 ] } } ], to: [ { operation: { ports: ['80'] } } ] } ]\n";
        let text = format!("{}---\n{}---\n{}", deployment("", ""), service("", ""), policy(rules));
        let mut characters: Vec<char> = text.chars().collect();
        for (place, character, what) in edits {
            let place = place % characters.len().max(1);
            match what {
                0 if place < characters.len() => characters[place] = character,
                1 => characters.insert(place, character),
                2 if place < characters.len() => { characters.remove(place); }
                // Swapping lines' worth of text makes structure errors.
                3 if place + 20 < characters.len() => characters[place..place + 20].reverse(),
                _ => {}
            }
        }
        let text: String = characters.into_iter().collect();
        if let Ok(documents) = yaml::parse("bad.yaml", &text) {
            let mut cluster = Cluster::new(ClusterConfig::default());
            let _ = cluster.apply(&documents, &ApplyOptions::default(), Instant::START);
            cluster.step(Instant::from_nanos(100_000_000_000));
        }
    }
}
