//! The records of a layer-7 policy, read once from their texts.

use std::sync::Arc;

use http::HeaderName;

use crate::policy::{IpBlock, PolicyKey, StringMatch};
use crate::request::ClaimPath;

/// The policies of one attachment, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpPolicies {
    /// Oldest translations sort these by key; the order decides which of several matching policies is named.
    pub policies: Vec<Arc<HttpPolicy>>,
}

/// One policy. Rules are ORed; no rules never match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPolicy {
    /// Namespace and name.
    pub key: PolicyKey,
    /// What a match does.
    pub action: HttpAction,
    /// ORed.
    pub rules: Vec<HttpRule>,
    /// Only logged, never enforced. Only ALLOW and DENY can be.
    pub dry_run: bool,
}

/// What a match does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HttpAction {
    /// Ask this provider.
    Custom(Arc<str>),
    /// Log.
    Audit,
    /// Refuse.
    Deny,
    /// Admit.
    Allow,
}

/// `from`, `to` and `when`, ANDed; an absent part is true, so that an empty rule matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRule {
    /// ORed.
    pub from: Vec<Source>,
    /// ORed.
    pub to: Vec<Operation>,
    /// ANDed.
    pub when: Vec<Condition>,
}

/// Wanted values, ORed, and unwanted ones, of which none may match. Both empty is no condition at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<T> {
    /// Any of these.
    pub any: Vec<T>,
    /// None of these.
    pub none: Vec<T>,
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Field { any: Vec::new(), none: Vec::new() }
    }
}

/// Who asks; fields are ANDed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the API's, its `not` form in the same place")]
pub struct Source {
    pub principals: Field<StringMatch>,
    pub request_principals: Field<StringMatch>,
    pub namespaces: Field<StringMatch>,
    pub service_accounts: Field<ServiceAccountPattern>,
    pub trust_domains: Field<StringMatch>,
    pub ip_blocks: Field<IpBlock>,
    pub remote_ip_blocks: Field<IpBlock>,
}

/// A namespace and service account, exact, of any trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountPattern {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Service account.
    pub service_account: Arc<str>,
}

/// What is asked; fields are ANDed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the API's, its `not` form in the same place")]
pub struct Operation {
    /// In lower case.
    pub hosts: Field<StringMatch>,
    pub methods: Field<StringMatch>,
    pub paths: Field<PathPattern>,
    /// Service ports.
    pub ports: Field<u16>,
}

/// How a path is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// As a string.
    Text(StringMatch),
    /// As a template.
    Template(PathTemplate),
}

/// A path with `{*}` and `{**}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    /// As written.
    pub source: Arc<str>,
    /// Literal segments and single operators before `{**}`, or the whole template.
    pub head: Vec<TemplateSegment>,
    /// What follows `{**}`, literally; `None` if there is no `{**}`.
    pub tail: Option<Arc<str>>,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateSegment {
    /// This segment.
    Literal(Arc<str>),
    /// `{*}`: any one segment that is not empty.
    One,
}

/// One `when`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What is looked at.
    pub key: ConditionKey,
    /// `values` and `notValues`.
    pub values: Field<StringMatch>,
    /// The same as addresses, for keys that are addresses.
    pub blocks: Field<IpBlock>,
}

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the API")]
pub enum ConditionKey {
    RequestHeader(HeaderName),
    SourceIp,
    RemoteIp,
    SourceNamespace,
    SourceServiceAccount,
    SourceTrustDomain,
    SourcePrincipal,
    RequestAuthPrincipal,
    RequestAuthAudiences,
    RequestAuthPresenter,
    RequestAuthClaims(ClaimPath),
    DestinationIp,
    DestinationPort,
    ConnectionSni,
    /// `experimental.envoy.filters.*`: never set here.
    Experimental(Arc<str>),
}

/// The mesh's trust domain and its aliases: one principal in a policy stands for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomains {
    /// The mesh's own.
    pub own: Arc<str>,
    /// Others that count as it.
    pub aliases: Vec<Arc<str>>,
}
