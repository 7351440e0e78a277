//! [`AuthorizationPolicy`]: who may call whom, as written.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cluster::object::{Labels, Meta};

/// `security.istio.io` AuthorizationPolicy. The spec is kept as written: what its rules mean at layer 4 is for the control
/// plane, and for an invariant's own evaluator, to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationPolicy {
    /// Name, labels, annotations (`istio.io/dry-run` is one).
    pub meta: Meta,
    /// The rest.
    pub spec: AuthorizationPolicySpec,
}

impl AuthorizationPolicy {
    /// Whether it names what it applies to by reference, which only waypoints and gateways enforce.
    pub fn has_target_references(&self) -> bool {
        self.spec.target_ref.is_some() || !self.spec.target_refs.is_empty()
    }

    /// Whether annotation `istio.io/dry-run` is `true`.
    pub fn is_dry_run(&self) -> bool {
        self.meta.annotation("istio.io/dry-run") == Some("true")
    }

    /// The labels of the workloads it applies to; `None`: all of its namespace, or of the mesh in the root namespace.
    pub fn selector(&self) -> Option<&Labels> {
        self.spec.selector.as_ref().map(|selector| &selector.match_labels).filter(|labels| !labels.is_empty())
    }
}

/// The spec of an AuthorizationPolicy, field by field as upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AuthorizationPolicySpec {
    /// Workloads it applies to, by label.
    pub selector: Option<WorkloadSelector>,
    /// What it applies to, by reference. Not beside `selector`.
    pub target_ref: Option<PolicyTargetReference>,
    /// As `target_ref`, several.
    pub target_refs: Vec<PolicyTargetReference>,
    /// ORed. Empty matches nothing; an empty rule matches everything.
    pub rules: Vec<PolicyRule>,
    /// `ALLOW` unless said.
    pub action: PolicyAction,
    /// Only for `CUSTOM`.
    pub provider: Option<ExtensionProvider>,
}

/// What a match does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "upstream's names")]
pub enum PolicyAction {
    #[default]
    Allow,
    Deny,
    Audit,
    Custom,
}

/// Workloads by label, ANDed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct WorkloadSelector {
    /// Exact labels.
    pub match_labels: Labels,
}

/// An object a policy applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct PolicyTargetReference {
    pub group: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
}

/// Who decides a `CUSTOM` policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct ExtensionProvider {
    pub name: String,
}

/// `from`, `to` and `when`, ANDed; inside `from` and `to` the entries are ORed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct PolicyRule {
    pub from: Vec<From>,
    pub to: Vec<To>,
    pub when: Vec<Condition>,
}

/// One `from` entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct From {
    pub source: PolicySource,
}

/// One `to` entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "upstream's names")]
pub struct To {
    pub operation: Operation,
}

/// Who calls. Fields are ANDed, values of one field ORed, of a `not_*` field none may match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[allow(missing_docs, reason = "upstream's names")]
pub struct PolicySource {
    pub principals: Vec<String>,
    pub not_principals: Vec<String>,
    pub request_principals: Vec<String>,
    pub not_request_principals: Vec<String>,
    pub namespaces: Vec<String>,
    pub not_namespaces: Vec<String>,
    pub service_accounts: Vec<String>,
    pub not_service_accounts: Vec<String>,
    pub trust_domains: Vec<String>,
    pub not_trust_domains: Vec<String>,
    pub ip_blocks: Vec<String>,
    pub not_ip_blocks: Vec<String>,
    pub remote_ip_blocks: Vec<String>,
    pub not_remote_ip_blocks: Vec<String>,
}

/// What is called. Fields are ANDed, values of one field ORed, of a `not_*` field none may match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[allow(missing_docs, reason = "upstream's names")]
pub struct Operation {
    pub hosts: Vec<String>,
    pub not_hosts: Vec<String>,
    pub ports: Vec<String>,
    pub not_ports: Vec<String>,
    pub methods: Vec<String>,
    pub not_methods: Vec<String>,
    pub paths: Vec<String>,
    pub not_paths: Vec<String>,
}

/// An attribute and its values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[allow(missing_docs, reason = "upstream's names")]
pub struct Condition {
    pub key: String,
    pub values: Vec<String>,
    pub not_values: Vec<String>,
}

/// Each list of a source or operation with its upstream name, to check them alike.
pub(crate) fn lists_of_source(source: &PolicySource) -> BTreeMap<&'static str, &[String]> {
    BTreeMap::from([
        ("principals", &source.principals[..]),
        ("notPrincipals", &source.not_principals),
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
        ("serviceAccounts", &source.service_accounts),
        ("notServiceAccounts", &source.not_service_accounts),
        ("trustDomains", &source.trust_domains),
        ("notTrustDomains", &source.not_trust_domains),
        ("ipBlocks", &source.ip_blocks),
        ("notIpBlocks", &source.not_ip_blocks),
        ("remoteIpBlocks", &source.remote_ip_blocks),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks),
    ])
}

/// As [`lists_of_source`].
pub(crate) fn lists_of_operation(operation: &Operation) -> BTreeMap<&'static str, &[String]> {
    BTreeMap::from([
        ("hosts", &operation.hosts[..]),
        ("notHosts", &operation.not_hosts),
        ("ports", &operation.ports),
        ("notPorts", &operation.not_ports),
        ("methods", &operation.methods),
        ("notMethods", &operation.not_methods),
        ("paths", &operation.paths),
        ("notPaths", &operation.not_paths),
    ])
}
