//! [`judge`]: AuthorizationPolicy and PeerAuthentication as a ztunnel enforces them, from the objects as written.

use std::net::IpAddr;

use crate::cluster::istio::{
    AuthorizationPolicy, Condition, MutualTlsMode, Operation, PeerAuthentication, PolicyAction, PolicyRule,
    PolicySource,
};
use crate::cluster::{Cluster, Pod};

/// An attempt to reach a port of an enrolled pod.
#[derive(Clone, Copy, Debug)]
pub(in crate::invariant) struct Attempt<'a> {
    /// Whom it reaches.
    pub(in crate::invariant) server: &'a Pod,
    /// The address of the server that is dialled.
    pub(in crate::invariant) address: IpAddr,
    /// The port of the pod, not of a service.
    pub(in crate::invariant) port: u16,
    /// The client's address.
    pub(in crate::invariant) source: IpAddr,
    /// The client's proven SPIFFE id, with `spiffe://`; `None` for plaintext.
    pub(in crate::invariant) identity: Option<&'a str>,
}

/// What the objects say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::invariant) enum Judgement {
    /// Let it in.
    Allow,
    /// Refuse it, because of this.
    Deny(String),
}

/// Judges an attempt by the objects of `cluster`.
pub(in crate::invariant) fn judge(cluster: &Cluster, attempt: &Attempt<'_>) -> Judgement {
    if attempt.identity.is_none() && mode(cluster, attempt.server, attempt.port) == MutualTlsMode::Strict {
        return Judgement::Deny(format!("mutual TLS is STRICT on port {}", attempt.port));
    }
    let applying: Vec<_> =
        cluster.authorization_policies().filter(|policy| applies(cluster, policy, attempt.server)).collect();
    let of = |action| applying.iter().filter(move |policy| policy.spec.action == action);
    if let Some(policy) = of(PolicyAction::Deny).find(|policy| matches(policy, attempt)) {
        return Judgement::Deny(format!("DENY policy {} matches", policy.meta.key));
    }
    if of(PolicyAction::Allow).next().is_none() || of(PolicyAction::Allow).any(|policy| matches(policy, attempt)) {
        return Judgement::Allow;
    }
    let names: Vec<_> = of(PolicyAction::Allow).map(|policy| policy.meta.key.to_string()).collect();
    Judgement::Deny(format!("no ALLOW policy matches ({})", names.join(", ")))
}

/// Selector and namespace; policies by reference, for other enforcers or only on trial do not count at layer 4.
fn applies(cluster: &Cluster, policy: &AuthorizationPolicy, server: &Pod) -> bool {
    let enforced = matches!(policy.spec.action, PolicyAction::Allow | PolicyAction::Deny)
        && !policy.has_target_references()
        && !policy.is_dry_run();
    let in_root = policy.meta.namespace() == &*cluster.config().root_namespace;
    let here = in_root || policy.meta.namespace() == server.meta.namespace();
    enforced
        && here
        && policy
            .selector()
            .is_none_or(|wanted| wanted.iter().all(|(key, value)| server.meta.labels.get(key) == Some(value)))
}

fn matches(policy: &AuthorizationPolicy, attempt: &Attempt<'_>) -> bool {
    let deny = policy.spec.action == PolicyAction::Deny;
    policy.spec.rules.iter().any(|rule| {
        // Layer-7 attributes cannot be judged here: an ALLOW rule with one cannot match, a DENY rule goes on without it.
        (deny || !asks_layer_7(rule)) && rule_matches(rule, policy.meta.namespace(), attempt)
    })
}

fn asks_layer_7(rule: &PolicyRule) -> bool {
    let source = |source: &PolicySource| {
        [
            &source.request_principals,
            &source.not_request_principals,
            &source.remote_ip_blocks,
            &source.not_remote_ip_blocks,
        ]
        .iter()
        .any(|list| !list.is_empty())
    };
    let operation = |operation: &Operation| {
        [
            &operation.hosts,
            &operation.not_hosts,
            &operation.methods,
            &operation.not_methods,
            &operation.paths,
            &operation.not_paths,
        ]
        .iter()
        .any(|list| !list.is_empty())
    };
    rule.from.iter().any(|from| source(&from.source))
        || rule.to.iter().any(|to| operation(&to.operation))
        || rule.when.iter().any(|condition| !LAYER_4_KEYS.contains(&&*condition.key))
}

const LAYER_4_KEYS: [&str; 5] =
    ["source.ip", "source.namespace", "source.principal", "destination.ip", "destination.port"];

fn rule_matches(rule: &PolicyRule, namespace: &str, attempt: &Attempt<'_>) -> bool {
    (rule.from.is_empty() || rule.from.iter().any(|from| source_matches(&from.source, namespace, attempt)))
        && (rule.to.is_empty() || rule.to.iter().any(|to| operation_matches(&to.operation, attempt)))
        && rule.when.iter().all(|condition| condition_matches(condition, attempt))
}

/// A test of one attribute: some value must hit, no excluded value may. `None` when neither list says anything.
pub(super) fn test(values: &[String], excluded: &[String], hits: impl Fn(&str) -> bool) -> Option<bool> {
    if values.is_empty() && excluded.is_empty() {
        return None;
    }
    Some((values.is_empty() || values.iter().any(|value| hits(value))) && !excluded.iter().any(|value| hits(value)))
}

/// All tests that say something must hold; if none says anything, there is nothing that could match.
pub(super) fn all(tests: &[Option<bool>]) -> bool {
    tests.iter().any(Option::is_some) && tests.iter().all(|test| test.unwrap_or(true))
}

fn source_matches(source: &PolicySource, namespace: &str, attempt: &Attempt<'_>) -> bool {
    let parts = attempt.identity.and_then(parts);
    all(&[
        test(&source.principals, &source.not_principals, |value| principal_hits(value, attempt)),
        test(&source.namespaces, &source.not_namespaces, |value| {
            string_hits(value, parts.map_or("", |(_, namespace, _)| namespace))
        }),
        test(&source.service_accounts, &source.not_service_accounts, |value| {
            let (wanted, account) = value.split_once('/').unwrap_or((namespace, value));
            parts.is_some_and(|(_, of, is)| of == wanted && is == account)
        }),
        test(&source.trust_domains, &source.not_trust_domains, |value| {
            parts.is_some_and(|(trust_domain, _, _)| string_hits(value, trust_domain))
        }),
        test(&source.ip_blocks, &source.not_ip_blocks, |value| block_hits(value, attempt.source)),
    ])
}

fn operation_matches(operation: &Operation, attempt: &Attempt<'_>) -> bool {
    all(&[test(&operation.ports, &operation.not_ports, |value| value.parse() == Ok(attempt.port))])
}

fn condition_matches(condition: &Condition, attempt: &Attempt<'_>) -> bool {
    let namespace = attempt.identity.and_then(parts).map_or("", |(_, namespace, _)| namespace);
    let (values, excluded) = (&condition.values, &condition.not_values);
    all(&[match &*condition.key {
        "source.ip" => test(values, excluded, |value| block_hits(value, attempt.source)),
        "source.namespace" => test(values, excluded, |value| string_hits(value, namespace)),
        "source.principal" => test(values, excluded, |value| principal_hits(value, attempt)),
        "destination.ip" => test(values, excluded, |value| block_hits(value, attempt.address)),
        "destination.port" => test(values, excluded, |value| value.parse() == Ok(attempt.port)),
        _ => None,
    }])
}

/// Trust domain, namespace, service account.
pub(super) fn parts(identity: &str) -> Option<(&str, &str, &str)> {
    let (trust_domain, rest) = identity.strip_prefix("spiffe://")?.split_once("/ns/")?;
    let (namespace, account) = rest.split_once("/sa/")?;
    Some((trust_domain, namespace, account))
}

fn principal_hits(pattern: &str, attempt: &Attempt<'_>) -> bool {
    attempt
        .identity
        .and_then(|identity| identity.strip_prefix("spiffe://"))
        .is_some_and(|principal| string_hits(pattern, principal))
}

/// `*` anything but empty, `*x` ends with, `x*` begins with, else equal.
pub(super) fn string_hits(pattern: &str, text: &str) -> bool {
    if pattern == "*" {
        !text.is_empty()
    } else if let Some(end) = pattern.strip_prefix('*') {
        text.ends_with(end)
    } else if let Some(start) = pattern.strip_suffix('*') {
        text.starts_with(start)
    } else {
        pattern == text
    }
}

/// An address, or a block of them.
pub(super) fn block_hits(block: &str, address: IpAddr) -> bool {
    let (base, length) = match block.split_once('/') {
        Some((base, length)) => (base, length.parse::<u32>().ok()),
        None => (block, Some(if address.is_ipv4() { 32 } else { 128 })),
    };
    match (base.parse::<IpAddr>(), address, length) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(address), Some(length @ 0..=32)) => {
            // Widened, so that a shift by all 32 bits is one.
            let head = |address| u64::from(u32::from(address)) >> (32 - length);
            head(base) == head(address)
        }
        (Ok(IpAddr::V6(base)), IpAddr::V6(address), Some(length @ 0..=128)) => {
            length == 0 || u128::from(base) >> (128 - length) == u128::from(address) >> (128 - length)
        }
        _ => false,
    }
}

/// The effective mode of a port of a pod: the port's own, else the workload's, the namespace's, the mesh's; else permissive.
fn mode(cluster: &Cluster, server: &Pod, port: u16) -> MutualTlsMode {
    let root = &*cluster.config().root_namespace;
    let oldest = |wanted: &dyn Fn(&PeerAuthentication) -> bool| {
        cluster
            .peer_authentications()
            .filter(|peer| wanted(peer))
            .min_by_key(|peer| (peer.meta.created, peer.meta.order))
            .cloned()
    };
    let namespace = server.meta.namespace();
    let workload = oldest(&|peer| {
        peer.meta.namespace() == namespace
            && namespace != root
            && peer
                .selector
                .as_ref()
                .is_some_and(|wanted| wanted.iter().all(|(key, value)| server.meta.labels.get(key) == Some(value)))
    });
    let whole_namespace = oldest(&|peer| peer.meta.namespace() == namespace && peer.selector.is_none());
    let mesh = oldest(&|peer| peer.meta.namespace() == root && peer.selector.is_none());
    let own_port = workload.as_ref().and_then(|peer| peer.port_modes.get(&port).copied());
    [own_port, workload.map(|peer| peer.mode), whole_namespace.map(|peer| peer.mode), mesh.map(|peer| peer.mode)]
        .into_iter()
        .flatten()
        .find(|mode| *mode != MutualTlsMode::Unset)
        .unwrap_or(MutualTlsMode::Permissive)
}
