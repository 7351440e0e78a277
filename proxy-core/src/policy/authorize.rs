//! [`authorize`]: deny first, then allow.

use std::net::SocketAddr;

use super::{Action, Authorization, PolicyKey};
use crate::identity::Identity;

/// What a policy may look at: one inbound connection, as the destination's proxy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The peer's verified identity; `None` for plaintext.
    pub identity: Option<Identity>,
    /// The TCP peer of this very connection.
    pub source: SocketAddr,
    /// The address and port actually dialled towards the application.
    pub destination: SocketAddr,
}

/// What was decided, and by which policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No enforced policy stands against it; `by` is the matching ALLOW, `None` if no ALLOW applies.
    Allowed {
        /// The matching ALLOW policy.
        by: Option<PolicyKey>,
    },
    /// An enforced DENY matched.
    DeniedBy(PolicyKey),
    /// ALLOW policies apply and none matched.
    NotAllowed,
    /// A policy the workload names has not been received: refuse rather than guess.
    PolicyUnknown(PolicyKey),
}

impl Verdict {
    /// Whether the connection may go on.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Verdict::Allowed { .. })
    }
}

/// A verdict and what dry-run policies would have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What is enforced.
    pub verdict: Verdict,
    /// Dry-run policies each of which, enforced on its own beside the others, would have turned an admission into a
    /// refusal or the other way round. For the log. Empty when a policy is unknown.
    pub dry_run: Vec<PolicyKey>,
}

/// Judges `connection` by the policies that apply to its destination.
///
/// An enforced DENY that matches refuses. Else, if no enforced ALLOW applies, it is admitted; if one applies, it is
/// admitted if one matches and refused if none does.
///
/// The policy reported is the first that matches in the order given. Allocates only to report dry-run policies.
pub fn authorize<'a>(policies: impl Iterator<Item = &'a Authorization> + Clone, connection: &Connection) -> Decision {
    authorize_known(policies, None, connection)
}

/// As [`authorize`], when a policy that applies is not known: whatever the known ones do not deny is refused for it.
pub fn authorize_known<'a>(
    policies: impl Iterator<Item = &'a Authorization> + Clone,
    unknown: Option<&PolicyKey>,
    connection: &Connection,
) -> Decision {
    let mut allow_applies = false;
    let mut allowed_by = None;
    let mut dry_run_applies = false;
    for policy in policies.clone() {
        match policy.action {
            _ if policy.dry_run => dry_run_applies = true,
            Action::Deny if policy.matches(connection) => {
                return Decision { verdict: Verdict::DeniedBy(policy.key.clone()), dry_run: Vec::new() };
            }
            Action::Deny => {}
            Action::Allow => {
                allow_applies = true;
                if allowed_by.is_none() && policy.matches(connection) {
                    allowed_by = Some(&policy.key);
                }
            }
        }
    }
    if let Some(unknown) = unknown {
        return Decision { verdict: Verdict::PolicyUnknown(unknown.clone()), dry_run: Vec::new() };
    }
    let verdict = match allowed_by {
        None if allow_applies => Verdict::NotAllowed,
        by => Verdict::Allowed { by: by.cloned() },
    };
    let dry_run = if dry_run_applies {
        let turns = |policy: &&Authorization| policy.dry_run && turns(policy, &verdict, connection);
        policies.filter(turns).map(|policy| policy.key.clone()).collect()
    } else {
        Vec::new()
    };
    Decision { verdict, dry_run }
}

/// Whether one more policy, enforced, would turn an admission into a refusal or the other way round.
fn turns(policy: &Authorization, verdict: &Verdict, connection: &Connection) -> bool {
    match (verdict, policy.action) {
        (Verdict::Allowed { .. }, Action::Deny) => policy.matches(connection),
        // The first ALLOW to apply refuses whatever it does not match.
        (Verdict::Allowed { by: None }, Action::Allow) => !policy.matches(connection),
        (Verdict::Allowed { by: Some(_) }, Action::Allow) => false,
        (Verdict::NotAllowed, Action::Allow) => policy.matches(connection),
        (Verdict::NotAllowed | Verdict::DeniedBy(_) | Verdict::PolicyUnknown(_), _) => false,
    }
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;
