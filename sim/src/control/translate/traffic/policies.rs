//! AuthorizationPolicies with `targetRefs`, as the model has them.

use std::sync::Arc;

use proxy_core::policy::PolicyKey;
use proxy_core::policy::http::{HttpAction, HttpPolicies, HttpPolicy, HttpRule, RuleText, TrustDomains};

use super::Context;
use super::catalogue::Listed;
use super::targets::{names_service, targets};
use crate::cluster::istio::{AuthorizationPolicy, PolicyRule, PolicyTargetReference};
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
    let rules: Vec<RuleText> = policy.spec.rules.iter().map(PolicyRule::text).collect();
    HttpPolicy::read(key.clone(), policy.http_action(), policy.is_dry_run(), &rules, trust).unwrap_or_else(|_| {
        HttpPolicy { key, action: HttpAction::Deny, rules: vec![HttpRule::default()], dry_run: false }
    })
}
