//! [`Failure`]: why a connection is not carried, with the reason that log, metric and report share.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::admit::AdmitError;
use super::plan::PlanError;
use crate::hbone::HboneError;
use crate::identity::store::IdentityUnavailable;
use crate::net::copy::{CopyError, Side};
use crate::policy::Verdict;
use crate::telemetry::Reason;

/// Why a connection is not carried, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(reason: Reason, text: impl Into<String>) -> Self {
        Failure { reason, text: text.into() }
    }

    pub(super) fn self_call() -> Self {
        Failure::new(Reason::SelfCall, "attempted recursive call to ourselves")
    }

    pub(super) fn connect(to: SocketAddr, error: &io::Error) -> Self {
        let reason =
            if error.kind() == io::ErrorKind::TimedOut { Reason::ConnectTimeout } else { Reason::ConnectFailed };
        Failure::new(reason, format!("cannot connect to {to}: {error}"))
    }

    pub(super) fn connect_timeout(to: SocketAddr, limit: Duration) -> Self {
        Failure::new(Reason::ConnectTimeout, format!("cannot connect to {to}: no answer in {limit:?}"))
    }

    /// What a verdict that is not an admission amounts to.
    pub(super) fn refused_by(verdict: &Verdict) -> Option<Self> {
        let (reason, text) = match verdict {
            Verdict::Allowed { .. } => return None,
            Verdict::DeniedBy(policy) => (Reason::PolicyDenied, format!("explicitly denied by: {policy}")),
            Verdict::NotAllowed => (Reason::PolicyNotAllowed, "allow policies exist, but none allowed".to_owned()),
            Verdict::PolicyUnknown(policy) => {
                (Reason::PolicyUnknown, format!("policy {policy} applies and has not been received"))
            }
        };
        Some(Failure { reason, text: format!("connection closed due to policy rejection: {text}") })
    }

    /// A plaintext connection that broke while bytes were carried.
    pub(super) fn broken(failure: &CopyError) -> Self {
        let dead = failure.error.kind() == io::ErrorKind::TimedOut;
        Failure::new(if dead { Reason::PeerDead } else { Reason::Reset }, failure.to_string())
    }

    /// As [`Failure::broken`], where `tunnel` is one of the sides and `why` is what became of its connection.
    pub(super) fn broken_tunnel(failure: &CopyError, tunnel: Side, why: Option<Reason>) -> Self {
        if failure.side != tunnel {
            return Failure::broken(failure);
        }
        let reason = match why {
            None | Some(Reason::Completed) => Failure::broken(failure).reason,
            Some(reason) => reason,
        };
        Failure::new(reason, format!("the {tunnel}'s tunnel failed: {}", failure.error))
    }
}

impl From<HboneError> for Failure {
    fn from(error: HboneError) -> Self {
        Failure { reason: error.reason(), text: error.to_string() }
    }
}

impl From<IdentityUnavailable> for Failure {
    fn from(error: IdentityUnavailable) -> Self {
        Failure { reason: Reason::IdentityUnavailable, text: error.to_string() }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Failure { reason: error.reason, text: error.text }
    }
}

impl From<AdmitError> for Failure {
    fn from(error: AdmitError) -> Self {
        Failure { reason: error.reason, text: error.text }
    }
}
