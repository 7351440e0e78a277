//! AuthorizationPolicies with `targetRefs`, as the model has them.

use std::sync::Arc;

use proxy_core::policy::PolicyKey;
use proxy_core::policy::http::{
    ConditionText, HttpAction, HttpPolicies, HttpPolicy, HttpRule, OperationText, RuleText, SourceText, TrustDomains,
};

use super::Context;
use super::catalogue::Listed;
use super::targets::{names_service, targets};
use crate::cluster::istio::{AuthorizationPolicy, PolicyAction, PolicyRule, PolicyTargetReference};
use crate::control::translate::binding::Waypoint;

impl Context<'_> {
    /// Policies that name a service.
    pub(super) fn service_policies(&self, listed: &Listed<'_>) -> HttpPolicies {
        self.policies(|target, policy| names_service(target, &policy.meta, listed))
    }

    /// Policies that name a waypoint or its class. Those with a selector, or without either, are not for waypoints.
    pub(super) fn waypoint_policies(&self, waypoint: &Waypoint<'_>) -> HttpPolicies {
        self.policies(|target, policy| self.names_waypoint(target, &policy.meta, waypoint))
    }

    fn policies(&self, names: impl Fn(&PolicyTargetReference, &AuthorizationPolicy) -> bool) -> HttpPolicies {
        let trust = self.trust_domains();
        let mut policies: Vec<Arc<HttpPolicy>> = self
            .cluster
            .authorization_policies()
            .filter(|policy| {
                targets(policy.spec.target_ref.as_ref(), &policy.spec.target_refs).any(|target| names(target, policy))
            })
            .map(|policy| Arc::new(read(policy, &trust)))
            .collect();
        policies.sort_by(|left, right| left.key.cmp(&right.key));
        HttpPolicies { policies }
    }

    pub(super) fn trust_domains(&self) -> TrustDomains {
        let aliases = self.cluster.mesh_options().map(|options| options.spec.trust_domain_aliases.clone());
        TrustDomains { own: self.cluster.config().trust_domain.clone(), aliases: aliases.unwrap_or_default() }
    }
}

/// A policy; one that cannot be read, which reading rules out, refuses everything.
fn read(policy: &AuthorizationPolicy, trust: &TrustDomains) -> HttpPolicy {
    let key = PolicyKey { namespace: policy.meta.key.namespace.clone(), name: policy.meta.key.name.clone() };
    let rules: Vec<RuleText> = policy.spec.rules.iter().map(rule_text).collect();
    HttpPolicy::read(key.clone(), action(policy), policy.is_dry_run(), &rules, trust).unwrap_or_else(|_| HttpPolicy {
        key,
        action: HttpAction::Deny,
        rules: vec![HttpRule::default()],
        dry_run: false,
    })
}

/// What a match of a policy does.
pub(crate) fn action(policy: &AuthorizationPolicy) -> HttpAction {
    match policy.spec.action {
        PolicyAction::Allow => HttpAction::Allow,
        PolicyAction::Deny => HttpAction::Deny,
        PolicyAction::Audit => HttpAction::Audit,
        PolicyAction::Custom => {
            HttpAction::Custom(policy.spec.provider.as_ref().map_or("", |provider| &provider.name).into())
        }
    }
}

/// A rule's texts.
pub(crate) fn rule_text(rule: &PolicyRule) -> RuleText {
    let from = rule.from.iter().map(|from| {
        let source = from.source.clone();
        SourceText {
            principals: source.principals,
            not_principals: source.not_principals,
            request_principals: source.request_principals,
            not_request_principals: source.not_request_principals,
            namespaces: source.namespaces,
            not_namespaces: source.not_namespaces,
            service_accounts: source.service_accounts,
            not_service_accounts: source.not_service_accounts,
            trust_domains: source.trust_domains,
            not_trust_domains: source.not_trust_domains,
            ip_blocks: source.ip_blocks,
            not_ip_blocks: source.not_ip_blocks,
            remote_ip_blocks: source.remote_ip_blocks,
            not_remote_ip_blocks: source.not_remote_ip_blocks,
        }
    });
    let to = rule.to.iter().map(|to| {
        let operation = to.operation.clone();
        OperationText {
            hosts: operation.hosts,
            not_hosts: operation.not_hosts,
            methods: operation.methods,
            not_methods: operation.not_methods,
            paths: operation.paths,
            not_paths: operation.not_paths,
            ports: operation.ports,
            not_ports: operation.not_ports,
        }
    });
    let when = rule.when.iter().map(|condition| ConditionText {
        key: condition.key.clone(),
        values: condition.values.clone(),
        not_values: condition.not_values.clone(),
    });
    RuleText { from: from.collect(), to: to.collect(), when: when.collect() }
}
