//! The reference evaluator and the product (translation, then the proxies' evaluation) agree on random policies.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proxy_core::host::Instant;
use proxy_core::policy::Connection;
use proxy_core::state::{SharedUpdate, Snapshot};

use super::{Attempt, Judgement, judge};
use crate::cluster::{ApplyOptions, Cluster, ClusterConfig, Redirection, yaml};
use crate::control::{Resources, diff, translate};

const PODS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: shop, labels: {app: server, tier: back}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}, {containerPort: 9090}]}]}
";

/// A list of values under a key, as flow YAML; nothing for an empty list.
fn field(key: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = String> {
    subsequence(values, 0..=values.len().min(2)).prop_map(move |chosen| {
        if chosen.is_empty() { String::new() } else { format!("{key}: [{}], ", chosen.join(", ")) }
    })
}

fn source() -> impl Strategy<Value = String> {
    let principals =
        &["'*'", "cluster.local/ns/web/sa/front", "'*/sa/front'", "'cluster.local/ns/we*'", "other/ns/web/sa/front"];
    let namespaces = &["web", "shop", "'*'", "'we*'", "'*op'"];
    let blocks = &["10.244.0.0/16", "10.0.0.7", "0.0.0.0/0", "192.168.0.0/24"];
    // All but those that begin with a star and go on: no pattern of principals says them.
    let domains = &["cluster.local", "other", "'clu*'", "'*'"];
    let domains = prop_oneof![
        2 => Just(String::new()),
        1 => (field("trustDomains", domains), field("notTrustDomains", domains)).prop_map(|(a, b)| a + &b),
    ];
    let fields = (
        field("principals", principals),
        field("notPrincipals", principals),
        field("namespaces", namespaces),
        field("notNamespaces", namespaces),
        field("ipBlocks", blocks),
        field("notIpBlocks", blocks),
        prop_oneof![6 => Just(String::new()), 1 => field("requestPrincipals", &["'*'", "issuer/subject"])],
        domains,
    );
    fields
        .prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h].concat())
        .prop_filter("a source says something", |text| !text.is_empty())
        .prop_map(|text| format!("{{source: {{{text}}}}}"))
}

fn operation() -> impl Strategy<Value = String> {
    let ports = &["'8080'", "'9090'", "'80'"];
    let layer7 = prop_oneof![4 => Just(String::new()), 1 => field("methods", &["GET", "POST"])];
    (field("ports", ports), field("notPorts", ports), layer7)
        .prop_map(|(a, b, c)| [a, b, c].concat())
        .prop_filter("an operation says something", |text| !text.is_empty())
        .prop_map(|text| format!("{{operation: {{{text}}}}}"))
}

fn condition() -> impl Strategy<Value = String> {
    let keyed = prop_oneof![
        Just(("source.namespace", &["web", "'*'", "shop"][..])),
        Just(("source.principal", &["'cluster.local/ns/web/sa/front'", "'*'"][..])),
        Just(("source.ip", &["10.0.0.0/8", "10.244.0.0/16"][..])),
        Just(("destination.port", &["'8080'", "'9090'"][..])),
        Just(("destination.ip", &["10.244.0.0/16", "10.9.9.9"][..])),
        Just(("request.headers[x]", &["y"][..])),
    ];
    (keyed, any::<bool>(), 0usize..2).prop_map(|((key, values), not, index)| {
        let list = if not { "notValues" } else { "values" };
        format!("{{key: '{key}', {list}: [{}]}}", values[index % values.len()])
    })
}

fn rule() -> impl Strategy<Value = String> {
    let some = |part: BoxedStrategy<String>| prop::collection::vec(part, 0..3);
    (some(source().boxed()), some(operation().boxed()), prop::collection::vec(condition(), 0..2)).prop_map(
        |(from, to, when)| {
            let mut parts = Vec::new();
            for (key, list) in [("from", from), ("to", to), ("when", when)] {
                if !list.is_empty() {
                    parts.push(format!("{key}: [{}]", list.join(", ")));
                }
            }
            format!("{{{}}}", parts.join(", "))
        },
    )
}

fn policy(index: usize) -> impl Strategy<Value = String> {
    let selector =
        select(vec!["", "selector: {matchLabels: {app: server}}, ", "selector: {matchLabels: {app: other}}, "]);
    let namespace = select(vec!["shop", "istio-system", "default"]);
    let action = select(vec!["ALLOW", "DENY"]);
    (namespace, action, selector, prop::collection::vec(rule(), 0..3)).prop_map(move |(namespace, action, selector, rules)| {
        let rules = if rules.is_empty() && action == "DENY" { "{}".to_owned() } else { rules.join(", ") };
        format!(
            "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p{index}, namespace: \
             {namespace}}}\nspec: {{{selector}action: {action}, rules: [{rules}]}}\n"
        )
    })
}

fn peer_authentications() -> impl Strategy<Value = String> {
    let mode = || select(vec!["", "STRICT", "PERMISSIVE", "DISABLE", "UNSET"]);
    let port = || select(vec!["", "STRICT", "PERMISSIVE", "DISABLE"]);
    (mode(), mode(), mode(), port(), any::<bool>()).prop_map(|(mesh, namespace, workload, port, with_port)| {
        let mut text = String::new();
        let mut add = |name: &str, namespace: &str, spec: String| {
            // Writing into a String cannot fail.
            let _ = write!(
                text,
                "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: \
                 {namespace}}}\nspec: {{{spec}}}\n"
            );
        };
        let plain = |mode: &str| format!("mtls: {{mode: {mode}}}");
        if !mesh.is_empty() {
            add("mesh", "istio-system", plain(mesh));
        }
        if !namespace.is_empty() {
            add("whole", "shop", plain(namespace));
        }
        if !workload.is_empty() {
            let ports = if with_port && !port.is_empty() {
                format!(", portLevelMtls: {{8080: {{mode: {port}}}}}")
            } else {
                String::new()
            };
            add("own", "shop", format!("selector: {{matchLabels: {{app: server}}}}, {}{ports}", plain(workload)));
        }
        text
    })
}

fn cluster(manifests: &str) -> Cluster {
    let mut cluster = Cluster::new(ClusterConfig::with_nodes(1));
    let text = format!("{PODS}{manifests}");
    let documents = yaml::parse("random.yaml", &text).unwrap_or_else(|wrong| panic!("{wrong:?}\n{text}"));
    cluster
        .apply(&documents, &ApplyOptions::default(), Instant::START)
        .unwrap_or_else(|wrong| panic!("{}\n{text}", wrong[0]));
    let mut now = Instant::START;
    for _ in 0..20 {
        now += Duration::from_millis(500);
        cluster.step(now);
    }
    let server = cluster.pods().next().expect("the server's pod").meta.key.clone();
    cluster.set_redirection(&server, Some(Redirection::Enabled));
    cluster
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reference_and_product_agree_on_random_policies(
        policies in (policy(0), policy(1), policy(2)),
        count in 0usize..4,
        peers in peer_authentications(),
        identity in select(vec![
            None,
            Some("spiffe://cluster.local/ns/web/sa/front"),
            Some("spiffe://cluster.local/ns/shop/sa/default"),
            Some("spiffe://cluster.local/ns/other/sa/back"),
        ]),
        source in select(vec!["10.244.0.9", "10.0.0.7", "192.168.0.3"]),
        port in select(vec![8080u16, 9090, 80]),
    ) {
        let texts = [policies.0, policies.1, policies.2];
        let manifests = format!("{}{peers}", texts[..count.min(3)].concat());
        let cluster = cluster(&manifests);
        let server = cluster.pods().next().expect("the server's pod").clone();
        let source: IpAddr = source.parse().expect("an address");

        let expected = judge(&cluster, &Attempt { server: &server, address: server.addresses[0], port, source, identity });

        let resources = translate(&cluster).resources;
        let update = diff(&Resources::new(), &resources);
        let (snapshot, _) = SharedUpdate::new(update).apply_to(&Snapshot::empty());
        let workload = snapshot.workloads().find(|workload| &*workload.name == "server").expect("the server's workload").clone();
        let found = snapshot.authorize(&workload, &Connection {
            identity: identity.map(|identity| identity.parse().expect("an identity")),
            source: SocketAddr::new(source, 40_000),
            destination: SocketAddr::new(server.addresses[0], port),
        });
        prop_assert_eq!(expected == Judgement::Allow, found.verdict.is_allowed(), "{:?} / {:?}\n{}", expected, found, manifests);
    }
}

#[test]
fn arguments_of_the_property_reach_both_verdicts() {
    let server = |cluster: &Cluster| Arc::clone(cluster.pods().next().expect("the server's pod"));
    let attempt = |cluster: &Cluster| {
        let server = server(cluster);
        judge(
            cluster,
            &Attempt {
                server: &server,
                address: server.addresses[0],
                port: 8080,
                source: IpAddr::from([10, 244, 0, 9]),
                identity: None,
            },
        )
    };
    let strict = "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a, namespace: shop}\nspec: \
                  {mtls: {mode: STRICT}}\n";
    assert_eq!(attempt(&cluster("")), Judgement::Allow);
    assert_eq!(attempt(&cluster(strict)), Judgement::Deny("mutual TLS is STRICT on port 8080".into()));
}
