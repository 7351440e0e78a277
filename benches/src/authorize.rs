//! What a policy decision costs, by the number of policies that apply.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion};
use proxy_core::identity::Identity;
use proxy_core::policy::{
    Action, Authorization, Clause, Connection, IpBlock, Match, PolicyKey, Rule, Scope, StringMatch, authorize,
};

/// `count` policies as clusters have them: a tenth deny an address block on a port, the others allow a principal or a
/// namespace. None matches [`connection`] but the last, which allows it: the dearest outcome.
pub fn policies(count: usize) -> Vec<Arc<Authorization>> {
    (0..count).map(|index| Arc::new(policy(index, index + 1 == count))).collect()
}

fn policy(index: usize, matches: bool) -> Authorization {
    let (action, condition) = match index % 10 {
        _ if matches => {
            (Action::Allow, Match { principals: vec![exact("cluster.local/ns/client/sa/sleep")], ..Match::default() })
        }
        0 => {
            let address = IpAddr::V4(Ipv4Addr::from(0xc0a8_0000 + 256 * index as u32));
            let block = IpBlock { address, prefix_length: 24 };
            (Action::Deny, Match { source_ips: vec![block], destination_ports: vec![8080], ..Match::default() })
        }
        1..=5 => {
            let principal = format!("cluster.local/ns/team-{index}/sa/backend");
            (Action::Allow, Match { principals: vec![exact(&principal)], ..Match::default() })
        }
        _ => (Action::Allow, Match { namespaces: vec![exact(&format!("team-{index}"))], ..Match::default() }),
    };
    Authorization {
        key: PolicyKey::new("server", &format!("policy-{index}")),
        scope: Scope::Namespace,
        action,
        rules: vec![Rule { clauses: vec![Clause { matches: vec![condition] }] }],
        dry_run: false,
    }
}

/// The same, each with ten rules: nine that name somebody else come before its own.
pub fn policies_of_ten_rules(count: usize) -> Vec<Arc<Authorization>> {
    let with_others = |policy: &Arc<Authorization>| {
        let mut policy = Authorization::clone(policy);
        let other = |number: usize| {
            let principal = exact(&format!("cluster.local/ns/other-{number}/sa/backend"));
            Rule { clauses: vec![Clause { matches: vec![Match { principals: vec![principal], ..Match::default() }] }] }
        };
        let own = std::mem::take(&mut policy.rules);
        policy.rules = (0..9).map(other).chain(own).collect();
        Arc::new(policy)
    };
    policies(count).iter().map(with_others).collect()
}

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

/// A connection from `client/sleep` to port 8080.
pub fn connection() -> Connection {
    Connection {
        identity: Some(Identity::new("cluster.local", "client", "sleep")),
        source: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 40_000),
        destination: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1)), 8080),
    }
}

/// Registers the benchmarks of this file.
pub fn benchmarks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("authorize");
    let connection = connection();
    for count in [10, 100, 1_000] {
        let policies = policies(count);
        let decide = || authorize(policies.iter().map(Arc::as_ref), &connection);
        assert!(decide().verdict.is_allowed(), "the last policy allows it");
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| bencher.iter(decide));
    }
    // Every policy with ten rules, of which only the very last of the last policy matches.
    let policies = policies_of_ten_rules(10_000);
    let decide = || authorize(policies.iter().map(Arc::as_ref), &connection);
    assert!(decide().verdict.is_allowed(), "the last policy allows it");
    group.sample_size(20);
    group.bench_function("10000_of_10_rules", |bencher| bencher.iter(decide));
    group.finish();
}
