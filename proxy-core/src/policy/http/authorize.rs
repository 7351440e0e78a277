//! [`ask`] and [`authorize`]: CUSTOM, then AUDIT, DENY, ALLOW.

use std::fmt;
use std::sync::Arc;

use super::{HttpAction, HttpPolicy, Subject};
use crate::policy::PolicyKey;

/// The rule of a policy that decided: `ns[…]-policy[…]-rule[…]`, as access logs name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyId {
    /// The policy.
    pub key: PolicyKey,
    /// Index of the rule.
    pub rule: usize,
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ns[{}]-policy[{}]-rule[{}]", self.key.namespace, self.key.name, self.rule)
    }
}

/// Whether providers are to be asked about a request, before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// No CUSTOM policy matches.
    Nobody,
    /// These, in turn; the first refusal is final.
    Providers(Vec<(Arc<str>, PolicyId)>),
    /// Refused without asking: the CUSTOM policies that match name a provider nobody knows, or policies name several.
    Refuse {
        /// The policy.
        by: PolicyId,
        /// Why, in words.
        why: String,
    },
}

/// Which providers are to be asked. `known` tells whether the mesh knows a provider; `several` whether policies may
/// name more than one for one workload.
pub fn ask<'a>(
    policies: impl Iterator<Item = &'a HttpPolicy> + Clone,
    subject: &Subject<'_>,
    known: impl Fn(&str) -> bool,
    several: bool,
) -> Ask {
    let custom = policies.filter_map(|policy| match &policy.action {
        HttpAction::Custom(provider) => Some((provider, policy)),
        _ => None,
    });
    let mut first = None;
    let mut ambiguous = None;
    let mut providers: Vec<(Arc<str>, PolicyId)> = Vec::new();
    for (provider, policy) in custom {
        match first {
            None => first = Some(provider),
            Some(other) if other != provider && ambiguous.is_none() => ambiguous = Some((other, provider)),
            Some(_) => {}
        }
        if let Some(id) = policy.matching_rule(subject)
            && !providers.iter().any(|(asked, _)| asked == provider)
        {
            providers.push((provider.clone(), id));
        }
    }
    let Some((_, by)) = providers.first() else { return Ask::Nobody };
    if let Some((one, other)) = ambiguous.filter(|_| !several) {
        let why = format!("policies name two providers, `{one}` and `{other}`; only one may be named");
        return Ask::Refuse { by: by.clone(), why };
    }
    match providers.iter().find(|(provider, _)| !known(provider)) {
        Some((provider, by)) => Ask::Refuse {
            by: by.clone(),
            why: format!("the mesh configuration has no extension provider `{provider}`"),
        },
        None => Ask::Providers(providers),
    }
}

/// What policies say of a request or an opaque connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpDecision {
    /// What is enforced.
    pub verdict: HttpVerdict,
    /// AUDIT rules that match; they only log.
    pub audited: Vec<PolicyId>,
    /// What the ALLOW policies that are dry runs would say; `None` if there are none.
    pub dry_run_allow: Option<DryRunResult>,
    /// What the DENY policies that are dry runs would say; `None` if there are none.
    pub dry_run_deny: Option<DryRunResult>,
}

/// What is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpVerdict {
    /// It may pass; `by` is the ALLOW rule that matched, `None` if no ALLOW policy applies.
    Allowed {
        /// The rule.
        by: Option<PolicyId>,
    },
    /// A DENY rule matches.
    DeniedBy(PolicyId),
    /// ALLOW policies apply and none matches.
    NotAllowed,
}

/// What policies that are dry runs would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryRunResult {
    /// Whether it would pass.
    pub allowed: bool,
    /// The rule that matches.
    pub by: Option<PolicyId>,
}

/// Judges by every policy but CUSTOM ones: an enforced DENY that matches refuses; else, if an enforced ALLOW applies,
/// one must match. Dry runs and AUDIT never change that.
///
/// `policies` are those of the waypoint's Gateway and class, then those of the service. Of several that match the first
/// is named.
pub fn authorize<'a>(policies: impl Iterator<Item = &'a HttpPolicy> + Clone, subject: &Subject<'_>) -> HttpDecision {
    let of = |action: HttpAction, dry_run: bool| {
        policies.clone().filter(move |policy| policy.action == action && policy.dry_run == dry_run)
    };
    // Whether any policy of a kind applies, and the first rule that matches.
    let judge = |action: HttpAction, dry_run: bool| {
        let mut kind = of(action, dry_run).peekable();
        let applies = kind.peek().is_some();
        (applies, kind.find_map(|policy| policy.matching_rule(subject)))
    };
    let audited = of(HttpAction::Audit, false).filter_map(|policy| policy.matching_rule(subject)).collect();
    let verdict = match judge(HttpAction::Deny, false) {
        (_, Some(id)) => HttpVerdict::DeniedBy(id),
        (_, None) => match judge(HttpAction::Allow, false) {
            (true, None) => HttpVerdict::NotAllowed,
            (_, by) => HttpVerdict::Allowed { by },
        },
    };
    let (allow_applies, allow_by) = judge(HttpAction::Allow, true);
    let (deny_applies, deny_by) = judge(HttpAction::Deny, true);
    HttpDecision {
        verdict,
        audited,
        dry_run_allow: allow_applies.then_some(DryRunResult { allowed: allow_by.is_some(), by: allow_by }),
        dry_run_deny: deny_applies.then_some(DryRunResult { allowed: deny_by.is_none(), by: deny_by }),
    }
}

impl HttpPolicy {
    /// The first rule that matches, whatever the policy does.
    pub fn matching_rule(&self, subject: &Subject<'_>) -> Option<PolicyId> {
        let rule = self.rules.iter().position(|rule| rule.matches(&self.action, subject))?;
        Some(PolicyId { key: self.key.clone(), rule })
    }
}

impl HttpVerdict {
    /// Whether it may pass.
    pub fn is_allowed(&self) -> bool {
        matches!(self, HttpVerdict::Allowed { .. })
    }

    /// The access log's response code details; `None` if it may pass.
    pub fn details(&self) -> Option<String> {
        match self {
            HttpVerdict::Allowed { .. } => None,
            HttpVerdict::DeniedBy(id) => Some(format!("rbac_access_denied_matched_policy[{id}]")),
            HttpVerdict::NotAllowed => Some("rbac_access_denied_matched_policy[none]".to_owned()),
        }
    }
}

/// In words, with the policy's name.
impl fmt::Display for HttpVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpVerdict::Allowed { by: None } => f.write_str("allowed: no ALLOW policy applies"),
            HttpVerdict::Allowed { by: Some(id) } => {
                write!(f, "allowed by rule {} of ALLOW policy {}", id.rule, id.key)
            }
            HttpVerdict::DeniedBy(id) => write!(f, "denied by rule {} of DENY policy {}", id.rule, id.key),
            HttpVerdict::NotAllowed => f.write_str("denied: ALLOW policies apply and none matches"),
        }
    }
}

#[cfg(test)]
mod tests;
