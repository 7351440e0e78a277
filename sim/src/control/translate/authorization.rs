//! AuthorizationPolicy: what of it a layer-4 proxy can enforce, never admitting more than it says.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use proxy_core::policy::{
    Action, Authorization, Clause, IpBlock, Match, PolicyKey, Rule, Scope, ServiceAccountMatch, StringMatch,
};

use super::PolicyNotice;
use super::labels::selects;
use crate::cluster::istio::{AuthorizationPolicy, Condition, Operation, PolicyAction, PolicyRule, PolicySource};
use crate::cluster::{ClusterConfig, Labels};

/// What a policy comes to at a ztunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conversion {
    /// What is sent, if anything.
    pub(super) authorization: Option<Authorization>,
    /// Why it is not, or not all of it.
    remark: Option<String>,
}

impl Conversion {
    fn not_sent(remark: &str) -> Self {
        Conversion { authorization: None, remark: Some(remark.to_owned()) }
    }

    pub(super) fn notice(&self, policy: &AuthorizationPolicy) -> Option<PolicyNotice> {
        Some(PolicyNotice { policy: key(policy), source: policy.meta.source.clone(), text: self.remark.clone()? })
    }
}

fn key(policy: &AuthorizationPolicy) -> PolicyKey {
    PolicyKey { namespace: policy.meta.key.namespace.clone(), name: policy.meta.key.name.clone() }
}

/// Converts one policy.
pub(super) fn convert(policy: &AuthorizationPolicy, root_namespace: &str) -> Conversion {
    if policy.has_target_references() {
        return Conversion { authorization: None, remark: None }; // for waypoints and gateways, not for us
    }
    let action = match policy.spec.action {
        PolicyAction::Allow => Action::Allow,
        PolicyAction::Deny => Action::Deny,
        PolicyAction::Custom => return Conversion::not_sent("action CUSTOM is not enforced by ztunnels"),
        PolicyAction::Audit => return Conversion::not_sent("action AUDIT is not enforced by ztunnels"),
    };
    if policy.is_dry_run() {
        return Conversion::not_sent("dry-run policies are not sent to ztunnels");
    }
    let scope = match (policy.selector(), policy.meta.namespace() == root_namespace) {
        (Some(_), _) => Scope::WorkloadSelector,
        (None, true) => Scope::Global,
        (None, false) => Scope::Namespace,
    };
    let layer7 = policy.spec.rules.iter().filter(|rule| has_layer7(rule)).count();
    let converter = Converter { action, namespace: &policy.meta.key.namespace };
    let rules: Vec<Rule> = policy
        .spec
        .rules
        .iter()
        // An ALLOW that we cannot check in full must not admit on the part we can.
        .filter(|rule| action == Action::Deny || !has_layer7(rule))
        .flat_map(|rule| converter.rules(rule))
        .collect();
    let enforceable = rules.iter().any(is_satisfiable);
    let remark = (layer7 > 0).then(|| match (action, enforceable) {
        (Action::Allow, true) => {
            format!("ztunnels enforce it without {layer7} of its rules, which use HTTP attributes: those never allow")
        }
        (Action::Allow, false) => "all its rules use HTTP attributes: at ztunnels it allows nothing".to_owned(),
        (Action::Deny, true) => "ztunnels enforce it without its HTTP attributes, so they deny more".to_owned(),
        (Action::Deny, false) => "it has no rule ztunnels can enforce: there it denies nothing".to_owned(),
    });
    let authorization = Authorization { key: key(policy), scope, action, rules, dry_run: false };
    Conversion { authorization: Some(authorization), remark }
}

/// Whether anything could match: no clause is made only of empty matches.
fn is_satisfiable(rule: &Rule) -> bool {
    rule.clauses.iter().all(|clause| {
        clause.matches.is_empty() || clause.matches.iter().any(|candidate| *candidate != Match::default())
    })
}

/// Whether a rule uses anything a layer-4 proxy cannot see.
fn has_layer7(rule: &PolicyRule) -> bool {
    rule.from.iter().any(|from| {
        let source = &from.source;
        let lists = [
            &source.request_principals,
            &source.not_request_principals,
            &source.remote_ip_blocks,
            &source.not_remote_ip_blocks,
        ];
        lists.iter().any(|list| !list.is_empty())
    }) || rule.to.iter().any(|to| {
        let operation = &to.operation;
        let lists = [
            &operation.hosts,
            &operation.not_hosts,
            &operation.methods,
            &operation.not_methods,
            &operation.paths,
            &operation.not_paths,
        ];
        lists.iter().any(|list| !list.is_empty())
    }) || rule.when.iter().any(|condition| !LAYER4_KEYS.contains(&&*condition.key))
}

/// The attributes of `when` a ztunnel can see.
const LAYER4_KEYS: [&str; 5] =
    ["source.ip", "source.namespace", "source.principal", "destination.ip", "destination.port"];

/// Converts the parts of one policy. Layer-7 parts are left out: for ALLOW the caller has dropped such rules before.
struct Converter<'a> {
    action: Action,
    namespace: &'a Arc<str>,
}

impl Converter<'_> {
    /// One rule, and one more for each source that takes two clauses to say.
    fn rules(&self, rule: &PolicyRule) -> Vec<Rule> {
        let sources: Vec<(Match, Vec<StringMatch>)> = rule.from.iter().map(|from| self.source(&from.source)).collect();
        let (plain, restricted): (Vec<_>, Vec<_>) = sources.into_iter().partition(|(_, domains)| domains.is_empty());
        let mut alternatives = Vec::new();
        if !plain.is_empty() || rule.from.is_empty() {
            let matches: Vec<Match> = plain.into_iter().map(|(matching, _)| matching).collect();
            alternatives.push(if matches.is_empty() { vec![] } else { vec![Clause { matches }] });
        }
        alternatives.extend(restricted.into_iter().map(|(matching, principals)| {
            let domains = Match { principals, ..Match::default() };
            vec![Clause { matches: vec![matching] }, Clause { matches: vec![domains] }]
        }));
        let in_full = |from: Vec<Clause>| {
            let mut clauses = Vec::new();
            if !rule.to.is_empty() {
                clauses.push(Clause { matches: rule.to.iter().map(|to| self.operation(&to.operation)).collect() });
            }
            clauses.extend(from);
            clauses.extend(rule.when.iter().map(|condition| Clause { matches: vec![self.condition(condition)] }));
            Rule { clauses }
        };
        alternatives.into_iter().map(in_full).collect()
    }

    fn operation(&self, operation: &Operation) -> Match {
        let mut building = Building::new(self.action);
        building.matching.destination_ports = building.read(&operation.ports, port);
        building.matching.not_destination_ports = building.read_not(&operation.not_ports, port);
        building.finish()
    }

    /// A source, and what its principal must satisfy besides, if one list of patterns cannot say both.
    fn source(&self, source: &PolicySource) -> (Match, Vec<StringMatch>) {
        let account = |text: &str| Some(service_account(text, self.namespace));
        let mut building = Building::new(self.action);
        building.matching.source_ips = building.read(&source.ip_blocks, ip_block);
        building.matching.not_source_ips = building.read_not(&source.not_ip_blocks, ip_block);
        building.matching.namespaces = building.read(&source.namespaces, string);
        building.matching.not_namespaces = building.read_not(&source.not_namespaces, string);
        building.matching.service_accounts = building.read(&source.service_accounts, account);
        building.matching.not_service_accounts = building.read_not(&source.not_service_accounts, account);
        building.matching.principals = building.read(&source.principals, string);
        building.matching.not_principals = building.read_not(&source.not_principals, string);
        let besides = building.restrict_to_trust_domains(&source.trust_domains);
        let foreign = building.read_not(&source.not_trust_domains, trust_domain);
        building.matching.not_principals.extend(foreign);
        (building.finish(), besides)
    }

    fn condition(&self, condition: &Condition) -> Match {
        let (values, not_values) = (&condition.values, &condition.not_values);
        let mut building = Building::new(self.action);
        match &*condition.key {
            "source.ip" => {
                building.matching.source_ips = building.read(values, ip_block);
                building.matching.not_source_ips = building.read_not(not_values, ip_block);
            }
            "source.namespace" => {
                building.matching.namespaces = building.read(values, string);
                building.matching.not_namespaces = building.read_not(not_values, string);
            }
            "source.principal" => {
                building.matching.principals = building.read(values, string);
                building.matching.not_principals = building.read_not(not_values, string);
            }
            "destination.ip" => {
                building.matching.destination_ips = building.read(values, ip_block);
                building.matching.not_destination_ips = building.read_not(not_values, ip_block);
            }
            "destination.port" => {
                building.matching.destination_ports = building.read(values, port);
                building.matching.not_destination_ports = building.read_not(not_values, port);
            }
            _ => {} // layer 7: nothing is left, and an empty match never matches
        }
        building.finish()
    }
}

/// A match being built, and what stands in its way.
struct Building {
    action: Action,
    matching: Match,
    /// It asks for something a match cannot say: an ALLOW must not match then, a DENY must match at least as much.
    unsayable: bool,
    /// It contradicts itself: no caller satisfies it.
    never: bool,
}

impl Building {
    fn new(action: Action) -> Self {
        Building { action, matching: Match::default(), unsayable: false, never: false }
    }

    /// Values of which one must match. Unreadable ones match nothing; if none is left, nothing does.
    fn read<T>(&mut self, values: &[String], parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let read: Vec<T> = values.iter().filter_map(|value| parse(value)).collect();
        self.unsayable |= read.is_empty() && !values.is_empty();
        read
    }

    /// Values of which none may match. What cannot be read might have matched.
    fn read_not<T>(&mut self, values: &[String], parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let read: Vec<T> = values.iter().filter_map(|value| parse(value)).collect();
        self.unsayable |= read.len() < values.len();
        read
    }

    /// Narrows `principals` to these trust domains, as far as a principal pattern can say it. Returned are the domains as
    /// patterns, if principals are known by their ends: then both must hold.
    fn restrict_to_trust_domains(&mut self, trust_domains: &[String]) -> Vec<StringMatch> {
        if trust_domains.is_empty() {
            return Vec::new();
        }
        let domains: Vec<Option<StringMatch>> = trust_domains.iter().map(|text| trust_domain(text)).collect();
        let by_end = self.matching.principals.iter().any(|principal| matches!(principal, StringMatch::Suffix(_)));
        if self.matching.principals.is_empty() || by_end {
            let mut patterns: Vec<StringMatch> = domains.iter().flatten().cloned().collect();
            if domains.iter().any(Option::is_none) {
                // An ALLOW does without that domain; a DENY asks for any identity instead.
                match self.action {
                    Action::Allow => self.unsayable |= patterns.is_empty(),
                    Action::Deny => patterns = vec![StringMatch::Presence],
                }
            }
            if by_end {
                return patterns;
            }
            self.matching.principals = patterns;
            return Vec::new();
        }
        let mut narrowed = Vec::new();
        for principal in &self.matching.principals {
            for domain in &domains {
                match both(principal, domain.as_ref()) {
                    Both::Same(pattern) => narrowed.push(pattern),
                    Both::Nothing => {}
                    // A DENY does without the trust domain.
                    Both::CannotSay if self.action == Action::Deny => narrowed.push(principal.clone()),
                    Both::CannotSay => {}
                }
            }
        }
        // Nothing satisfies both: no caller matches, whatever the action.
        self.never |= narrowed.is_empty();
        self.matching.principals = narrowed;
        Vec::new()
    }

    /// The match. One that no caller may satisfy is the empty match, which never matches.
    fn finish(self) -> Match {
        match self.action {
            _ if self.never => Match::default(),
            Action::Allow if self.unsayable => Match::default(),
            Action::Deny if self.unsayable && self.matching == Match::default() => everyone(),
            _ => self.matching,
        }
    }
}

/// Every caller, with or without an identity.
fn everyone() -> Match {
    let all = |address| IpBlock { address, prefix_length: 0 };
    let blocks = vec![all(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), all(IpAddr::V6(Ipv6Addr::UNSPECIFIED))];
    Match { source_ips: blocks, ..Match::default() }
}

/// What satisfies two patterns.
enum Both {
    Same(StringMatch),
    Nothing,
    CannotSay,
}

/// What satisfies `principal` and begins as `domain` says.
fn both(principal: &StringMatch, domain: Option<&StringMatch>) -> Both {
    let domain = match domain {
        Some(StringMatch::Presence) => return Both::Same(principal.clone()),
        Some(StringMatch::Prefix(domain)) => domain,
        _ => return Both::CannotSay,
    };
    match principal {
        StringMatch::Exact(text) if text.starts_with(&**domain) => Both::Same(principal.clone()),
        StringMatch::Prefix(text) if text.starts_with(&**domain) => Both::Same(principal.clone()),
        StringMatch::Prefix(text) if domain.starts_with(&**text) => Both::Same(StringMatch::Prefix(domain.clone())),
        StringMatch::Exact(_) | StringMatch::Prefix(_) => Both::Nothing,
        StringMatch::Suffix(_) => Both::CannotSay,
        StringMatch::Presence => Both::Same(StringMatch::Prefix(domain.clone())),
    }
}

/// `*` presence, `*x` suffix, `x*` prefix, else exact.
fn string(text: &str) -> Option<StringMatch> {
    Some(match (text, text.strip_prefix('*'), text.strip_suffix('*')) {
        ("*", ..) => StringMatch::Presence,
        (_, Some(suffix), _) => StringMatch::Suffix(suffix.into()),
        (_, _, Some(prefix)) => StringMatch::Prefix(prefix.into()),
        _ => StringMatch::Exact(text.into()),
    })
}

/// A trust domain as a pattern of principals, which begin with it and a slash. `*x` cannot be said.
fn trust_domain(text: &str) -> Option<StringMatch> {
    Some(match string(text)? {
        StringMatch::Exact(domain) => StringMatch::Prefix(format!("{domain}/").into()),
        StringMatch::Prefix(start) => StringMatch::Prefix(start),
        StringMatch::Presence => StringMatch::Presence,
        StringMatch::Suffix(_) => return None,
    })
}

/// `namespace/account`, or `account` of the policy's namespace. No wildcards.
fn service_account(text: &str, namespace: &Arc<str>) -> ServiceAccountMatch {
    match text.split_once('/') {
        Some((namespace, account)) => {
            ServiceAccountMatch { namespace: namespace.into(), service_account: account.into() }
        }
        None => ServiceAccountMatch { namespace: namespace.clone(), service_account: text.into() },
    }
}

/// `address` or `address/length`.
fn ip_block(text: &str) -> Option<IpBlock> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let full = if address.is_ipv4() { 32 } else { 128 };
    let prefix_length = length.unwrap_or(full);
    (prefix_length <= full).then_some(IpBlock { address, prefix_length })
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// Policies with a selector, to be named by the workloads they match.
pub(super) struct SelectorPolicies<'a> {
    root_namespace: &'a str,
    by_namespace: BTreeMap<&'a str, Vec<(&'a Labels, PolicyKey)>>,
}

impl<'a> SelectorPolicies<'a> {
    pub(super) fn new(config: &'a ClusterConfig) -> Self {
        SelectorPolicies { root_namespace: &config.root_namespace, by_namespace: BTreeMap::new() }
    }

    /// Notes a policy that is sent.
    pub(super) fn add(&mut self, policy: &'a AuthorizationPolicy, sent: &Authorization) {
        if let Some(labels) = policy.selector() {
            self.by_namespace.entry(policy.meta.namespace()).or_default().push((labels, sent.key.clone()));
        }
    }

    /// Policies of the workload's namespace and of the root namespace whose selector it satisfies.
    pub(super) fn matching(&self, namespace: &str, labels: &Labels) -> Vec<PolicyKey> {
        let root = (namespace != self.root_namespace).then_some(self.root_namespace);
        [Some(namespace), root]
            .into_iter()
            .flatten()
            .filter_map(|namespace| self.by_namespace.get(namespace))
            .flatten()
            .filter(|(wanted, _)| selects(wanted, labels))
            .map(|(_, key)| key.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests;
