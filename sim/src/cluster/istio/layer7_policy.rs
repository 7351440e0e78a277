//! AuthorizationPolicies as waypoints' proxies read them.

use proxy_core::policy::http::{ConditionText, HttpAction, OperationText, RuleText, SourceText};

use super::authorization_policy::{AuthorizationPolicy, PolicyAction, PolicyRule};

impl AuthorizationPolicy {
    /// What a match does at a waypoint.
    pub fn http_action(&self) -> HttpAction {
        match self.spec.action {
            PolicyAction::Allow => HttpAction::Allow,
            PolicyAction::Deny => HttpAction::Deny,
            PolicyAction::Audit => HttpAction::Audit,
            PolicyAction::Custom => {
                HttpAction::Custom(self.spec.provider.as_ref().map_or("", |provider| &provider.name).into())
            }
        }
    }
}

impl PolicyRule {
    /// The same as waypoints' proxies read it.
    pub fn text(&self) -> RuleText {
        let from = self.from.iter().map(|from| {
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
        let to = self.to.iter().map(|to| {
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
        let when = self.when.iter().map(|condition| ConditionText {
            key: condition.key.clone(),
            values: condition.values.clone(),
            not_values: condition.not_values.clone(),
        });
        RuleText { from: from.collect(), to: to.collect(), when: when.collect() }
    }
}
