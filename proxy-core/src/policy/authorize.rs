//! [`authorize`]: deny first, then allow.

use std::net::SocketAddr;

use super::{Authorization, PolicyKey};
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
    /// Dry-run policies that would have changed it, for the log.
    pub dry_run: Vec<PolicyKey>,
}

/// Judges `connection` by the policies that apply to its destination.
pub fn authorize<'a>(_policies: impl Iterator<Item = &'a Authorization> + Clone, _connection: &Connection) -> Decision {
    Decision { verdict: Verdict::Allowed { by: None }, dry_run: Vec::new() }
}
