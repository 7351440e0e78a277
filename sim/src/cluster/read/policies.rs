//! AuthorizationPolicies and PeerAuthentications as written.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::policy::PolicyKey;
use proxy_core::policy::http::{HttpPolicy, RuleText, TrustDomains};
use serde::Deserialize;

use super::metadata::labels;
use super::place::Place;
use crate::cluster::diagnostic::{Problem, did_you_mean};
use crate::cluster::istio::{
    AuthorizationPolicy, AuthorizationPolicySpec, Condition, MutualTlsMode, Operation, PeerAuthentication,
    PolicyAction, PolicyRule, PolicySource, PolicyTargetReference, WorkloadSelector, lists_of_operation,
    lists_of_source,
};
use crate::cluster::names;
use crate::cluster::object::{Labels, Meta};

/// Most `targetRefs` upstream takes.
const TARGETS_MAX: usize = 16;

/// Condition keys without a bracketed part.
const PLAIN_KEYS: [&str; 12] = [
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.serviceAccount",
    "source.trustDomain",
    "source.principal",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "destination.ip",
    "destination.port",
    "connection.sni",
];

/// Condition keys a ztunnel looks at.
const LAYER4_KEYS: [&str; 5] =
    ["source.ip", "source.namespace", "source.principal", "destination.ip", "destination.port"];

/// Condition keys with a bracketed part.
const BRACKETED_KEYS: [&str; 3] = ["request.headers", "request.auth.claims", "experimental.envoy.filters."];

/// An AuthorizationPolicy, checked as upstream's admission checks it.
pub(super) fn authorization_policy(
    place: Place<'_>,
    meta: Meta,
    spec: AuthorizationPolicySpec,
) -> Option<AuthorizationPolicy> {
    let here = place.field("spec");
    check_target_references(here, spec.selector.is_some(), spec.target_ref.as_ref(), &spec.target_refs);
    if let Some(selector) = &spec.selector {
        selector_labels(here.field("selector"), selector);
    }
    if matches!(spec.action, PolicyAction::Deny | PolicyAction::Custom) && spec.rules.is_empty() {
        let action = if spec.action == PolicyAction::Deny { "DENY" } else { "CUSTOM" };
        here.field("action").error(
            Problem::new(format!("a {action} policy without rules never applies"))
                .hint("write rules; `rules: [{}]` matches everything"),
        );
    }
    match (spec.action, &spec.provider) {
        (PolicyAction::Custom, Some(provider)) if !provider.name.is_empty() => {}
        (PolicyAction::Custom, _) => {
            here.field("provider").error(Problem::new("a CUSTOM policy needs `provider.name`"));
        }
        (_, Some(_)) => {
            here.field("provider").error(Problem::new("`provider` is only for action `CUSTOM`").hint("remove it"));
        }
        (_, None) => {}
    }
    let policy = AuthorizationPolicy { meta, spec };
    for (index, rule) in policy.spec.rules.iter().enumerate() {
        check_rule(here.field("rules").item(index), rule);
    }
    if policy.has_target_references() && place.report().is_clean() {
        check_layer7(here, &policy);
    }
    if !policy.has_target_references() {
        for (index, rule) in policy.spec.rules.iter().enumerate() {
            notice_layer7(here.field("rules").item(index), rule, policy.spec.action);
        }
    }
    if !policy.has_target_references() && matches!(policy.spec.action, PolicyAction::Custom | PolicyAction::Audit) {
        let action = if policy.spec.action == PolicyAction::Custom { "CUSTOM" } else { "AUDIT" };
        here.field("action").notice(Problem::new(format!("action {action} has no effect at a ztunnel")));
    }
    Some(policy)
}

/// `selector`, `targetRef` and `targetRefs`, which exclude each other.
pub(super) fn check_target_references(
    here: Place<'_>,
    has_selector: bool,
    single: Option<&PolicyTargetReference>,
    several: &[PolicyTargetReference],
) {
    if has_selector && (single.is_some() || !several.is_empty()) {
        here.field("selector").error(
            Problem::new("`selector` and `targetRefs` exclude each other")
                .hint("`selector` is for ztunnels, `targetRefs` for waypoints and gateways"),
        );
    }
    if single.is_some() && !several.is_empty() {
        here.field("targetRef").error(Problem::new("`targetRef` and `targetRefs` exclude each other"));
    }
    if several.len() > TARGETS_MAX {
        here.field("targetRefs").error(Problem::new(format!("more than {TARGETS_MAX} target references")));
    }
    let listed = several.iter().enumerate().map(|(index, target)| (here.field("targetRefs").item(index), target));
    let alone = single.map(|target| (here.field("targetRef"), target));
    for (place, target) in listed.chain(alone) {
        for (field, text) in [("kind", &target.kind), ("name", &target.name)] {
            if text.is_empty() {
                place.field(field).error(Problem::new(format!("a target reference needs `{field}`")));
            }
        }
        let known = matches!(
            (target.group.as_str(), target.kind.as_str()),
            ("" | "core", "Service")
                | ("networking.istio.io", "ServiceEntry")
                | ("gateway.networking.k8s.io", "Gateway" | "GatewayClass")
        );
        if !known && !target.kind.is_empty() {
            let what = if target.group.is_empty() { String::new() } else { format!(" of `{}`", target.group) };
            let problem = Problem::new(format!("a policy cannot target kind `{}`{what}", target.kind));
            place.field("kind").error(problem.hint(
                "a Service, a ServiceEntry (group `networking.istio.io`), a Gateway or a GatewayClass (group \
                 `gateway.networking.k8s.io`) it can",
            ));
        }
        if !target.namespace.is_empty() {
            let problem = Problem::new("a target in another namespace is not possible");
            place.field("namespace").error(problem.hint("remove it; targets are in the policy's own namespace"));
        }
    }
}

/// What only a waypoint's own reading of a policy can tell: path templates, what CUSTOM may look at, dry runs.
fn check_layer7(here: Place<'_>, policy: &AuthorizationPolicy) {
    let key = PolicyKey { namespace: policy.meta.key.namespace.clone(), name: policy.meta.key.name.clone() };
    let trust = TrustDomains { own: "cluster.local".into(), aliases: Vec::new() };
    let rules: Vec<RuleText> = policy.spec.rules.iter().map(PolicyRule::text).collect();
    // Each rule on its own, so that what is wrong is told where it is.
    for (index, rule) in rules.iter().enumerate() {
        let one = std::slice::from_ref(rule);
        if let Err(wrong) = HttpPolicy::read(key.clone(), policy.http_action(), false, one, &trust) {
            let text = wrong.reason.strip_prefix("rule 0: ").unwrap_or(&wrong.reason).to_owned();
            here.field("rules").item(index).error(Problem::new(text));
        }
    }
    if policy.is_dry_run() && !matches!(policy.spec.action, PolicyAction::Allow | PolicyAction::Deny) {
        here.field("action").error(Problem::new("only ALLOW and DENY can be dry runs"));
    }
}

/// What a ztunnel makes of a rule that needs more than it sees.
fn notice_layer7(place: Place<'_>, rule: &PolicyRule, action: PolicyAction) {
    let sources = rule.from.iter().flat_map(|from| lists_of_source(&from.source));
    let operations = rule.to.iter().flat_map(|to| lists_of_operation(&to.operation));
    let mut fields: Vec<&str> = sources
        .chain(operations)
        .filter(|(field, list)| !list.is_empty() && is_layer7(field))
        .map(|(field, _)| field)
        .collect();
    fields.extend(rule.when.iter().map(|condition| condition.key.as_str()).filter(|key| !LAYER4_KEYS.contains(key)));
    fields.sort_unstable();
    fields.dedup();
    let fields = fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
    let effect = match action {
        _ if fields.is_empty() => return,
        PolicyAction::Allow => "drops this rule, which then allows nothing",
        PolicyAction::Deny => "looks only at the rest, which denies more; an entry with nothing left matches nothing",
        PolicyAction::Audit | PolicyAction::Custom => return,
    };
    place.notice(
        Problem::new(format!("a ztunnel does not see {fields}: it {effect}"))
            .hint("name a waypoint's service under `targetRefs` to have it enforced at layer 7"),
    );
}

fn is_layer7(field: &str) -> bool {
    const FIELDS: [&str; 5] = ["hosts", "methods", "paths", "remoteIpBlocks", "requestPrincipals"];
    let plain = field.strip_prefix("not").unwrap_or(field);
    FIELDS.iter().any(|known| known.eq_ignore_ascii_case(plain))
}

fn selector_labels(place: Place<'_>, written: &WorkloadSelector) -> Labels {
    let here = place.field("matchLabels");
    let plain: BTreeMap<String, String> =
        written.match_labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    for (key, value) in &plain {
        if value.contains('*') || key.contains('*') {
            here.field(key).error(Problem::new("wildcards are not possible in label selectors"));
            return written.match_labels.clone();
        }
    }
    labels(here, Some(&plain))
}

fn check_rule(place: Place<'_>, rule: &PolicyRule) {
    for field in ["from", "to", "when"] {
        let here = place.field(field);
        if here.is_written() && here.len() == 0 {
            here.error(Problem::new(format!("`{field}` is empty")).hint("remove it, or list what it should match"));
        }
    }
    for (index, from) in rule.from.iter().enumerate() {
        check_source(place.field("from").item(index).field("source"), &from.source);
    }
    for (index, to) in rule.to.iter().enumerate() {
        check_operation(place.field("to").item(index).field("operation"), &to.operation);
    }
    for (index, condition) in rule.when.iter().enumerate() {
        check_condition(place.field("when").item(index), condition);
    }
}

fn check_lists(place: Place<'_>, what: &str, lists: &BTreeMap<&'static str, &[String]>) {
    if lists.values().all(|list| list.is_empty()) && !lists.keys().any(|field| place.field(field).is_written()) {
        let fields = lists.keys().filter(|field| !field.starts_with("not")).copied().collect::<Vec<_>>().join(", ");
        place.error(Problem::new(format!("this {what} is empty")).hint(format!("write at least one of {fields}")));
    }
    for (field, list) in lists {
        let here = place.field(field);
        if here.is_written() && list.is_empty() {
            here.error(Problem::new(format!("`{field}` is empty")).hint("remove it, or list at least one value"));
        }
        for (index, _) in list.iter().enumerate().filter(|(_, text)| text.is_empty()) {
            here.item(index)
                .error(Problem::new(format!("an empty text in `{field}` matches nothing")).hint("remove it"));
        }
    }
}

fn check_source(place: Place<'_>, source: &PolicySource) {
    let lists = lists_of_source(source);
    check_lists(place, "source", &lists);
    for field in ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"] {
        check_each(place.field(field), lists[field], |text| names::block(text).map(drop));
    }
    for field in ["trustDomains", "notTrustDomains"] {
        check_each(place.field(field), lists[field], |text| match text.contains('/') {
            true => Err(Problem::new(format!("`{text}` is not a trust domain")).hint("write it without `/`")),
            false => Ok(()),
        });
    }
    for field in ["serviceAccounts", "notServiceAccounts"] {
        check_each(place.field(field), lists[field], service_account);
        let others = ["principals", "notPrincipals", "namespaces", "notNamespaces"];
        if !lists[field].is_empty() && others.iter().any(|other| !lists[other].is_empty()) {
            let problem = Problem::new(format!("`{field}` excludes principals and namespaces in the same source"));
            place.field(field).error(problem.hint("write two sources"));
        }
    }
    for field in ["principals", "notPrincipals"] {
        for (index, text) in lists[field].iter().enumerate() {
            if let Some(rest) = text.strip_prefix("spiffe://") {
                let problem =
                    Problem::new(format!("`{text}` matches nothing: principals are written without `spiffe://`"));
                place.field(field).item(index).notice(problem.hint(format!("write `{rest}`")));
            }
        }
    }
}

fn service_account(text: &str) -> Result<(), Problem> {
    let wrong = |hint: &str| Err(Problem::new(format!("`{text}` is not a service account")).hint(hint));
    if text.contains('*') {
        return wrong("wildcards are not possible; write `namespace/name` or `name`");
    }
    match text.split('/').collect::<Vec<_>>()[..] {
        [name] if !name.is_empty() => Ok(()),
        [namespace, name] if !namespace.is_empty() && !name.is_empty() => Ok(()),
        _ => wrong("write `namespace/name` or `name`"),
    }
}

fn check_operation(place: Place<'_>, operation: &Operation) {
    let lists = lists_of_operation(operation);
    check_lists(place, "operation", &lists);
    for field in ["ports", "notPorts"] {
        check_each(place.field(field), lists[field], |text| names::port_text(text).map(drop));
    }
}

fn check_each(place: Place<'_>, list: &[String], check: impl Fn(&str) -> Result<(), Problem>) {
    for (index, text) in list.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        place.item(index).check(check(text));
    }
}

fn check_condition(place: Place<'_>, condition: &Condition) {
    let key = condition.key.as_str();
    let bracketed = BRACKETED_KEYS.iter().any(|prefix| {
        key.strip_prefix(prefix)
            .is_some_and(|rest| prefix.ends_with('.') || (rest.starts_with('[') && rest.ends_with(']')))
    });
    if !bracketed && !PLAIN_KEYS.contains(&key) {
        let hint = did_you_mean(key, PLAIN_KEYS).unwrap_or_else(|| {
            format!("one of {}, or request.headers[name], request.auth.claims[name]", PLAIN_KEYS.join(", "))
        });
        place.field("key").error(Problem::new(format!("unknown condition key `{key}`")).hint(hint));
    }
    if condition.values.is_empty() && condition.not_values.is_empty() {
        place.error(Problem::new("this condition has neither `values` nor `notValues`"));
    }
    for (field, list) in [("values", &condition.values), ("notValues", &condition.not_values)] {
        let here = place.field(field);
        match key {
            "source.ip" | "remote.ip" | "destination.ip" => check_each(here, list, |text| names::block(text).map(drop)),
            "destination.port" => check_each(here, list, |text| names::port_text(text).map(drop)),
            _ => {}
        }
    }
}

/// The spec of a PeerAuthentication as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PeerAuthenticationSpec {
    selector: Option<WorkloadSelector>,
    mtls: Option<MutualTls>,
    port_level_mtls: BTreeMap<Arc<str>, MutualTls>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MutualTls {
    mode: MutualTlsMode,
}

/// A PeerAuthentication, checked.
pub(super) fn peer_authentication(
    place: Place<'_>,
    meta: Meta,
    spec: PeerAuthenticationSpec,
    root_namespace: &str,
) -> Option<PeerAuthentication> {
    let here = place.field("spec");
    let selector = spec.selector.map(|selector| selector_labels(here.field("selector"), &selector));
    let selector = selector.filter(|selector| !selector.is_empty());
    let ports = here.field("portLevelMtls");
    if selector.is_none() && !spec.port_level_mtls.is_empty() {
        let problem = Problem::new("`portLevelMtls` needs a selector");
        ports.error(problem.hint("write `selector.matchLabels`: ports belong to workloads"));
    }
    if selector.is_some() && meta.namespace() == root_namespace {
        let problem = Problem::new("a PeerAuthentication with a selector is ignored in the root namespace");
        here.field("selector").notice(problem.hint("put it into the namespace of the workloads"));
    }
    let mut port_modes = BTreeMap::new();
    for (text, mutual_tls) in &spec.port_level_mtls {
        if let Some(port) = ports.key(text).check(names::port_text(text)) {
            port_modes.insert(port, mutual_tls.mode);
        }
    }
    Some(PeerAuthentication { meta, selector, mode: spec.mtls.unwrap_or_default().mode, port_modes })
}
