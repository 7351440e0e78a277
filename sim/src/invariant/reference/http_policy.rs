//! [`judge_http`]: AuthorizationPolicy as a waypoint enforces it, from the objects as written.
//!
//! From the documentation of Istio's AuthorizationPolicy and its conditions, and Envoy's path templates.

use std::net::IpAddr;

use serde_json::Value;

use super::HttpRequest;
use super::policy::{all, block_hits, parts, string_hits, test};
use crate::cluster::istio::{AuthorizationPolicy, Condition, Operation, PolicyAction, PolicyRule, PolicySource};
use crate::cluster::{Cluster, ObjectName};

/// A request to be judged at a waypoint.
#[derive(Clone, Debug)]
pub(in crate::invariant) struct HttpAttempt<'a> {
    /// The service asked for; `None` if a pod was asked for by address.
    pub(in crate::invariant) service: Option<&'a ObjectName>,
    /// The waypoint's Gateway.
    pub(in crate::invariant) waypoint: &'a ObjectName,
    /// Where the client dialled: the service's virtual address, or the pod's.
    pub(in crate::invariant) address: IpAddr,
    /// The port dialled: the service's.
    pub(in crate::invariant) port: u16,
    /// The client pod's address.
    pub(in crate::invariant) source: IpAddr,
    /// The client's proven SPIFFE id, with `spiffe://`.
    pub(in crate::invariant) identity: Option<&'a str>,
    /// The request; `None` for opaque TCP.
    pub(in crate::invariant) request: Option<&'a HttpRequest>,
    /// The claims of a valid token, if there was one.
    pub(in crate::invariant) claims: Option<&'a Value>,
}

/// What the objects say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::invariant) enum HttpJudgement {
    /// Let it in.
    Allow,
    /// Refuse it, because of this.
    Deny(String),
    /// A provider decides, or the request can be read in several ways.
    Unclear(&'static str),
}

/// Judges a request by the policies that refer to its service or waypoint.
pub(in crate::invariant) fn judge_http(cluster: &Cluster, attempt: &HttpAttempt<'_>) -> HttpJudgement {
    if attempt.request.is_some_and(|request| !request.is_plain()) {
        return HttpJudgement::Unclear("the path could be normalized in several ways");
    }
    let applying: Vec<_> = cluster
        .authorization_policies()
        .filter(|policy| !policy.is_dry_run() && refers_to(cluster, policy, attempt))
        .collect();
    let of = |action| applying.iter().filter(move |policy| policy.spec.action == action);
    if of(PolicyAction::Custom).any(|policy| matches(cluster, policy, attempt)) {
        return HttpJudgement::Unclear("a provider decides");
    }
    if let Some(policy) = of(PolicyAction::Deny).find(|policy| matches(cluster, policy, attempt)) {
        return HttpJudgement::Deny(format!("DENY policy {} matches", policy.meta.key));
    }
    if of(PolicyAction::Allow).next().is_none()
        || of(PolicyAction::Allow).any(|policy| matches(cluster, policy, attempt))
    {
        return HttpJudgement::Allow;
    }
    let names: Vec<_> = of(PolicyAction::Allow).map(|policy| policy.meta.key.to_string()).collect();
    HttpJudgement::Deny(format!("no ALLOW policy matches ({})", names.join(", ")))
}

fn refers_to(cluster: &Cluster, policy: &AuthorizationPolicy, attempt: &HttpAttempt<'_>) -> bool {
    let own = policy.meta.namespace();
    policy.spec.target_ref.iter().chain(&policy.spec.target_refs).any(|target| match (&*target.group, &*target.kind) {
        ("" | "core", "Service") => {
            attempt.service.is_some_and(|service| *service.namespace == *own && *service.name == *target.name)
        }
        ("gateway.networking.k8s.io", "Gateway") => {
            *attempt.waypoint.namespace == *own && *attempt.waypoint.name == *target.name
        }
        ("gateway.networking.k8s.io", "GatewayClass") => {
            own == &*cluster.config().root_namespace && target.name == "istio-waypoint"
        }
        _ => false,
    })
}

fn matches(cluster: &Cluster, policy: &AuthorizationPolicy, attempt: &HttpAttempt<'_>) -> bool {
    let narrows = policy.spec.action == PolicyAction::Allow;
    policy.spec.rules.iter().any(|rule| {
        // What only HTTP has cannot be told of opaque TCP: an ALLOW rule that asks for it never matches, others go on
        // without that part.
        if attempt.request.is_none() && narrows && asks_http(rule) {
            return false;
        }
        rule_matches(cluster, rule, policy.meta.namespace(), attempt)
    })
}

fn asks_http(rule: &PolicyRule) -> bool {
    let source =
        |source: &PolicySource| !source.request_principals.is_empty() || !source.not_request_principals.is_empty();
    let operation = |operation: &Operation| {
        [&operation.hosts, &operation.methods, &operation.paths].iter().any(|list| !list.is_empty())
            || [&operation.not_hosts, &operation.not_methods, &operation.not_paths].iter().any(|list| !list.is_empty())
    };
    rule.from.iter().any(|from| source(&from.source))
        || rule.to.iter().any(|to| operation(&to.operation))
        || rule.when.iter().any(|condition| condition.key.starts_with("request."))
}

fn rule_matches(cluster: &Cluster, rule: &PolicyRule, namespace: &str, attempt: &HttpAttempt<'_>) -> bool {
    (rule.from.is_empty() || rule.from.iter().any(|from| source_matches(cluster, &from.source, namespace, attempt)))
        && (rule.to.is_empty() || rule.to.iter().any(|to| operation_matches(&to.operation, attempt)))
        && rule.when.iter().all(|condition| condition_matches(cluster, condition, namespace, attempt))
}

fn source_matches(cluster: &Cluster, source: &PolicySource, namespace: &str, attempt: &HttpAttempt<'_>) -> bool {
    let identity = attempt.identity.and_then(parts);
    let tests = [
        test(&source.principals, &source.not_principals, |value| principal_hits(cluster, value, attempt)),
        test(&source.namespaces, &source.not_namespaces, |value| {
            string_hits(value, identity.map_or("", |(_, namespace, _)| namespace))
        }),
        test(&source.service_accounts, &source.not_service_accounts, |value| account_hits(value, namespace, attempt)),
        test(&source.trust_domains, &source.not_trust_domains, |value| trust_domain_hits(cluster, value, attempt)),
        test(&source.ip_blocks, &source.not_ip_blocks, |value| block_hits(value, attempt.source)),
        // The client seen by the waypoint is the pod itself: forwarded-for headers are not trusted.
        test(&source.remote_ip_blocks, &source.not_remote_ip_blocks, |value| block_hits(value, attempt.source)),
        attempt.request.and_then(|_| {
            test(&source.request_principals, &source.not_request_principals, |value| {
                request_principal_hits(value, attempt)
            })
        }),
    ];
    // Of opaque TCP, a source that asks only for what HTTP has says nothing.
    all(&tests) || (attempt.request.is_none() && tests.iter().all(Option::is_none))
}

fn operation_matches(operation: &Operation, attempt: &HttpAttempt<'_>) -> bool {
    let ports = test(&operation.ports, &operation.not_ports, |value| value.parse() == Ok(attempt.port));
    let Some(request) = attempt.request else {
        return ports.unwrap_or(true);
    };
    let authority = request.authority.to_ascii_lowercase();
    all(&[
        ports,
        test(&operation.hosts, &operation.not_hosts, |value| string_hits(&value.to_ascii_lowercase(), &authority)),
        test(&operation.methods, &operation.not_methods, |value| string_hits(value, &request.method)),
        test(&operation.paths, &operation.not_paths, |value| path_hits(value, request.path())),
    ])
}

fn condition_matches(cluster: &Cluster, condition: &Condition, namespace: &str, attempt: &HttpAttempt<'_>) -> bool {
    let key = &*condition.key;
    let decide = |hits: &dyn Fn(&str) -> bool| test(&condition.values, &condition.not_values, hits).unwrap_or(true);
    if key.starts_with("request.") && attempt.request.is_none() {
        return true;
    }
    if let Some(name) = bracketed(key, "request.headers") {
        let value = attempt.request.and_then(|request| request.header(name));
        return decide(&|wanted| value.as_deref().is_some_and(|value| wanted == "*" || string_hits(wanted, value)));
    }
    if let Some(path) = bracketed(key, "request.auth.claims") {
        return decide(&|wanted| claim_hits(attempt.claims, path, wanted));
    }
    match key {
        "source.ip" | "remote.ip" => decide(&|wanted| block_hits(wanted, attempt.source)),
        "source.namespace" => {
            let is = attempt.identity.and_then(parts).map_or("", |(_, namespace, _)| namespace);
            decide(&|wanted| string_hits(wanted, is))
        }
        "source.principal" => decide(&|wanted| principal_hits(cluster, wanted, attempt)),
        "source.serviceAccount" => decide(&|wanted| account_hits(wanted, namespace, attempt)),
        "source.trustDomain" => decide(&|wanted| trust_domain_hits(cluster, wanted, attempt)),
        "destination.ip" => decide(&|wanted| block_hits(wanted, attempt.address)),
        "destination.port" => decide(&|wanted| wanted.parse() == Ok(attempt.port)),
        "request.auth.principal" => decide(&|wanted| request_principal_hits(wanted, attempt)),
        "request.auth.audiences" => decide(&|wanted| claim_hits(attempt.claims, "aud", wanted)),
        "request.auth.presenter" => decide(&|wanted| claim_hits(attempt.claims, "azp", wanted)),
        // Nothing carries a server name inside a tunnel.
        "connection.sni" => decide(&|_| false),
        _ => false,
    }
}

/// `name[inner]` without the name and the outer brackets.
fn bracketed<'a>(key: &'a str, name: &str) -> Option<&'a str> {
    key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')
}

/// A claim, by `a` or `a][b`: a text, or a list that has it; `scope` and `permission` are lists apart by spaces.
fn claim_hits(claims: Option<&Value>, path: &str, wanted: &str) -> bool {
    let mut value = claims;
    for name in path.split("][") {
        value = value.and_then(|value| value.get(name));
    }
    match value {
        Some(Value::String(text)) if matches!(path, "scope" | "permission") => {
            text.split(' ').any(|word| string_hits(wanted, word))
        }
        Some(Value::String(text)) => string_hits(wanted, text),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(|text| string_hits(wanted, text)),
        _ => false,
    }
}

fn account_hits(value: &str, namespace: &str, attempt: &HttpAttempt<'_>) -> bool {
    let (wanted, account) = value.split_once('/').unwrap_or((namespace, value));
    attempt.identity.and_then(parts).is_some_and(|(_, of, is)| of == wanted && is == account)
}

/// Every trust domain that stands for the mesh.
fn mesh_domains(cluster: &Cluster) -> Vec<String> {
    let mut all = vec![cluster.config().trust_domain.to_string()];
    let aliases = cluster.mesh_options().map(|options| &options.spec.trust_domain_aliases);
    all.extend(aliases.into_iter().flatten().map(ToString::to_string));
    all
}

/// A pattern for the mesh's trust domain, an alias or `cluster.local` stands for all of the mesh's names.
fn expand(cluster: &Cluster, trust_domain: &str) -> Vec<String> {
    let mesh = mesh_domains(cluster);
    if trust_domain == "cluster.local" || mesh.iter().any(|own| own == trust_domain) {
        mesh
    } else {
        vec![trust_domain.to_owned()]
    }
}

fn principal_hits(cluster: &Cluster, pattern: &str, attempt: &HttpAttempt<'_>) -> bool {
    let Some(principal) = attempt.identity.and_then(|identity| identity.strip_prefix("spiffe://")) else {
        return false;
    };
    let patterns = match pattern.split_once('/') {
        Some((domain, rest)) if !pattern.starts_with('*') => {
            expand(cluster, domain).into_iter().map(|domain| format!("{domain}/{rest}")).collect()
        }
        _ => vec![pattern.to_owned()],
    };
    patterns.iter().any(|pattern| string_hits(pattern, principal))
}

fn trust_domain_hits(cluster: &Cluster, value: &str, attempt: &HttpAttempt<'_>) -> bool {
    attempt
        .identity
        .and_then(parts)
        .is_some_and(|(domain, _, _)| expand(cluster, value).iter().any(|value| string_hits(value, domain)))
}

/// `issuer/subject` of the token.
fn request_principal_hits(pattern: &str, attempt: &HttpAttempt<'_>) -> bool {
    let text = |name: &str| attempt.claims.and_then(|claims| claims.get(name)).and_then(Value::as_str);
    let (Some(issuer), Some(subject)) = (text("iss"), text("sub")) else { return false };
    if issuer.is_empty() || subject.is_empty() {
        return false;
    }
    match pattern.rsplit_once('/') {
        _ if pattern == "*" => true,
        Some((of, who)) => string_hits(of, issuer) && string_hits(who, subject),
        None if pattern.starts_with('*') => string_hits(pattern, subject),
        None if pattern.ends_with('*') => string_hits(pattern, issuer),
        None => false,
    }
}

/// As other texts, and templates: `{*}` is one whole segment, `{**}` is anything.
fn path_hits(pattern: &str, path: &str) -> bool {
    if pattern.contains("{*}") || pattern.contains("{**}") {
        let segments: Vec<&str> = pattern.split('/').collect();
        return template(&segments, path);
    }
    string_hits(pattern, path)
}

/// `path` is what is left of the path, without the slash before this segment.
fn template(segments: &[&str], path: &str) -> bool {
    let Some((first, rest)) = segments.split_first() else { return path.is_empty() };
    let last = rest.is_empty();
    match *first {
        "{**}" if last => true,
        "{**}" => {
            // Literals may follow: they must end the path.
            let tail = format!("/{}", rest.join("/"));
            path.ends_with(&tail)
        }
        _ => {
            let (segment, left) = match path.split_once('/') {
                Some((segment, left)) => (segment, Some(left)),
                None => (path, None),
            };
            let hit = if *first == "{*}" { !segment.is_empty() } else { *first == segment };
            hit && match left {
                None => last,
                Some(left) => !last && template(rest, left),
            }
        }
    }
}
