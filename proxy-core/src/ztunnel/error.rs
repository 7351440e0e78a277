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

    /// A connection that broke while bytes were carried. `tunnel` is the side that is an HBONE tunnel, if any.
    pub(super) fn broken(failure: &CopyError, tunnel: Option<Side>) -> Self {
        let inner = failure.error.get_ref().and_then(|inner| inner.downcast_ref::<HboneError>());
        let reason = match (failure.error.kind(), inner) {
            (_, Some(HboneError::PeerDead)) | (io::ErrorKind::TimedOut, _) => Reason::PeerDead,
            (_, Some(HboneError::Closed(reason))) => *reason,
            _ => Reason::Reset,
        };
        let what = if tunnel == Some(failure.side) { "tunnel" } else { "connection" };
        Failure::new(reason, format!("{}'s {what} failed: {}", failure.side, failure.error))
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
