//! What a layer-7 policy decision costs, by the number of policies; beside as many comparisons of the path with a text, the
//! least that looking at each policy could cost.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use criterion::{BenchmarkId, Criterion};
use proxy_core::identity::Identity;
use proxy_core::policy::http::{
    HttpAction, HttpPolicy, OperationText, RuleText, SourceText, Subject, TrustDomains, authorize,
};
use proxy_core::policy::{Connection, PolicyKey};

use crate::routes::Request;

/// So many policies of one rule each: every tenth denies a path to a principal, the others allow a method on a path to a
/// principal. Only the last matches [`Request`] of number `count - 1`, and allows it: the dearest outcome.
///
/// # Panics
/// Never: they are well formed.
pub fn policies(count: usize) -> Vec<HttpPolicy> {
    let trust = TrustDomains { own: "cluster.local".into(), aliases: Vec::new() };
    let policy = |number: usize| {
        let denies = number.is_multiple_of(10) && number + 1 != count;
        let account = if number + 1 == count { "web".to_owned() } else { format!("web-{}", number % 7) };
        let source =
            SourceText { principals: vec![format!("cluster.local/ns/client/sa/{account}")], ..SourceText::default() };
        let operation = OperationText {
            methods: if denies { Vec::new() } else { vec!["GET".to_owned()] },
            paths: vec![format!("/api/v1/team-{number}/*")],
            ..OperationText::default()
        };
        let rule = RuleText { from: vec![source], to: vec![operation], ..RuleText::default() };
        let action = if denies { HttpAction::Deny } else { HttpAction::Allow };
        HttpPolicy::read(PolicyKey::new("shop", &format!("policy-{number}")), action, false, &[rule], &trust)
            .expect("a policy that can be read")
    };
    (0..count).map(policy).collect()
}

/// Registers the benchmarks of this file.
///
/// # Panics
/// If the last policy does not allow the request.
pub fn benchmarks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http_authorize");
    let address = |last, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port);
    let connection = Connection {
        identity: Some(Identity::new("cluster.local", "client", "web")),
        source: address(1, 40_000),
        destination: address(2, 80),
    };
    for count in [10, 100, 1_000] {
        let policies = policies(count);
        let request = Request::new(count - 1);
        let view = request.view();
        let decide = || {
            let subject = Subject::request(&connection, connection.source.ip(), &view);
            authorize(black_box(&policies).iter(), &subject)
        };
        assert!(decide().verdict.is_allowed(), "the last policy allows it");
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| bencher.iter(decide));
        let prefixes: Vec<String> = (0..count).map(|number| format!("/api/v1/team-{number}/")).collect();
        group.bench_function(BenchmarkId::new("comparisons", count), |bencher| {
            bencher
                .iter(|| black_box(&prefixes).iter().filter(|prefix| view.path().starts_with(prefix.as_str())).count());
        });
    }
    group.finish();
}
