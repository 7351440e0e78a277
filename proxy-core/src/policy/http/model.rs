//! The records of a layer-7 policy, read once from their texts.

use std::sync::Arc;

use http::HeaderName;

use super::PathTemplate;
use crate::policy::{IpBlock, PolicyKey, StringMatch};
use crate::request::ClaimPath;

/// The policies attached to one thing, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpPolicies {
    /// Of several that match, the first is named.
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
    pub request_principals: Field<RequestPrincipalPattern>,
    pub namespaces: Field<StringMatch>,
    pub service_accounts: Field<ServiceAccountPattern>,
    pub trust_domains: Field<StringMatch>,
    pub ip_blocks: Field<IpBlock>,
    pub remote_ip_blocks: Field<IpBlock>,
}

/// Issuer and subject of a validated token. A token must have both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPrincipalPattern {
    /// `iss`.
    pub issuer: StringMatch,
    /// `sub`.
    pub subject: StringMatch,
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

/// One `when`: `values` and `notValues` of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the API")]
pub enum Condition {
    RequestHeader(HeaderName, Field<StringMatch>),
    RequestPseudoHeader(PseudoHeader, Field<StringMatch>),
    SourceIp(Field<IpBlock>),
    RemoteIp(Field<IpBlock>),
    SourceNamespace(Field<StringMatch>),
    SourceServiceAccount(Field<ServiceAccountPattern>),
    SourceTrustDomain(Field<StringMatch>),
    SourcePrincipal(Field<StringMatch>),
    RequestAuthPrincipal(Field<RequestPrincipalPattern>),
    /// Audiences, presenter (`azp`) and any other claim: a string or a member of a list.
    RequestAuthClaim(ClaimPath, Field<StringMatch>),
    DestinationIp(Field<IpBlock>),
    DestinationPort(Field<u16>),
    ConnectionSni(Field<StringMatch>),
    /// `experimental.envoy.filters.*`: nothing here ever sets one.
    Experimental(Field<StringMatch>),
}

/// A pseudo header of HTTP/2, which a condition may name as any header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PseudoHeader {
    /// As it was sent.
    Authority,
    /// `GET`.
    Method,
    /// With the query.
    Path,
    /// `http`.
    Scheme,
}

/// The mesh's trust domain and its aliases: one principal in a policy stands for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomains {
    /// The mesh's own.
    pub own: Arc<str>,
    /// Others that count as it.
    pub aliases: Vec<Arc<str>>,
}
