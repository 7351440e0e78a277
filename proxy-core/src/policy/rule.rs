//! The records of `istio.security.Authorization`, decoded.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// `namespace/name`, the resource name of a policy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// The policy's namespace.
    pub namespace: Arc<str>,
    /// The policy's name.
    pub name: Arc<str>,
}

impl PolicyKey {
    /// From its parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        PolicyKey { namespace: namespace.into(), name: name.into() }
    }
}

/// `namespace/name`.
impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One policy. Rules are ORed; no rules never matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Resource name.
    pub key: PolicyKey,
    /// Where it applies by itself.
    pub scope: Scope,
    /// What a match does.
    pub action: Action,
    /// ORed.
    pub rules: Vec<Rule>,
    /// Only logged, never enforced.
    pub dry_run: bool,
}

/// Where a policy applies by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every workload.
    Global,
    /// Every workload of the policy's namespace.
    Namespace,
    /// Only workloads whose `authorization_policies` name it.
    WorkloadSelector,
}

/// What a match does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Admit.
    Allow,
    /// Refuse; considered before any allow.
    Deny,
}

/// Clauses, ANDed. No clauses matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// ANDed.
    pub clauses: Vec<Clause>,
}

/// Matches, ORed. No matches is true; matches with no field set never match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clause {
    /// ORed.
    pub matches: Vec<Match>,
}

/// Kinds of field are ANDed, values of one kind ORed; of `not_*` no value may match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the wire's, named as on the wire")]
pub struct Match {
    pub namespaces: Vec<StringMatch>,
    pub not_namespaces: Vec<StringMatch>,
    pub service_accounts: Vec<ServiceAccountMatch>,
    pub not_service_accounts: Vec<ServiceAccountMatch>,
    pub principals: Vec<StringMatch>,
    pub not_principals: Vec<StringMatch>,
    pub source_ips: Vec<IpBlock>,
    pub not_source_ips: Vec<IpBlock>,
    pub destination_ips: Vec<IpBlock>,
    pub not_destination_ips: Vec<IpBlock>,
    pub destination_ports: Vec<u16>,
    pub not_destination_ports: Vec<u16>,
}

/// A namespace and service account, exact; the trust domain is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountMatch {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Service account.
    pub service_account: Arc<str>,
}

/// How a string is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StringMatch {
    /// The whole string.
    Exact(Arc<str>),
    /// Starts with.
    Prefix(Arc<str>),
    /// Ends with.
    Suffix(Arc<str>),
    /// Not empty.
    Presence,
}

/// A CIDR block. Bits past the prefix are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpBlock {
    /// Any address of the block.
    pub address: IpAddr,
    /// At most 32 (v4) or 128 (v6).
    pub prefix_length: u8,
}
