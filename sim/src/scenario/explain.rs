//! One sentence about a request: what happened, and who decided.

use proxy_core::telemetry::{Reason, Reporter};

use super::path::{HopRecord, who_knows};
use super::quantity::Time;
use crate::record::{Backend, Outcome};

/// What the client saw, and who is known to have answered.
pub(super) struct Seen<'a> {
    pub(super) outcome: Outcome,
    pub(super) status: Option<u16>,
    pub(super) backend: Option<&'a Backend>,
    pub(super) took: std::time::Duration,
    pub(super) error: Option<&'a str>,
}

/// The sentence.
pub(super) fn explain(seen: &Seen<'_>, path: &[&HopRecord]) -> String {
    match seen.outcome {
        Outcome::Completed => answered(seen),
        Outcome::Held => {
            let by = seen.backend.map(|backend| format!(" with {}/{}", backend.namespace, backend.pod));
            format!("open{} after {}", by.unwrap_or_default(), Time(seen.took))
        }
        _ => failed(seen, path),
    }
}

fn answered(seen: &Seen<'_>) -> String {
    let what = seen.status.map_or("all bytes came back".to_owned(), |status| format!("{status}"));
    match seen.backend {
        Some(backend) => {
            format!("{what} from {}/{} on {} in {}", backend.namespace, backend.pod, backend.node, Time(seen.took))
        }
        None => format!("{what} in {}", Time(seen.took)),
    }
}

fn failed(seen: &Seen<'_>, path: &[&HopRecord]) -> String {
    if let Some((hop, reason)) = who_knows(path) {
        return format!("{} at ztunnel on {}", decided(hop, reason), hop.node);
    }
    let what = match seen.outcome {
        Outcome::Refused => "connection refused",
        Outcome::Reset => "connection reset",
        Outcome::ClosedEarly => "closed before an answer",
        Outcome::TimedOut => "no answer in time",
        Outcome::NoSuchHost => "the name does not resolve",
        _ => "failed",
    };
    let passed = if path.is_empty() { "; no proxy saw it" } else { "" };
    match seen.error {
        Some(error) => format!("{what} ({error}){passed}"),
        None => format!("{what}{passed}"),
    }
}

/// What a proxy decided and why, without its name.
fn decided(hop: &HopRecord, reason: Reason) -> String {
    let policy = hop.policy().map(ToString::to_string);
    let error = hop.closed.as_ref().and_then(|(_, _, error)| error.as_deref());
    match (reason, policy) {
        (Reason::PolicyDenied, Some(policy)) => format!("denied by policy {policy}"),
        (Reason::PolicyNotAllowed, _) => "denied: ALLOW policies apply to the destination and none matches".to_owned(),
        (Reason::PolicyUnknown, Some(policy)) => format!("denied: policy {policy} has not arrived"),
        (Reason::PolicyChanged, Some(policy)) => format!("cut when policy changed, by policy {policy},"),
        (Reason::PolicyChanged, None) => "cut when policy changed: no ALLOW policy matches any more,".to_owned(),
        (Reason::WorkloadChanged, _) => "cut when the workload's own policies or mode changed".to_owned(),
        (reason, _) => {
            let side = if hop.reporter == Reporter::Source { "going out" } else { "coming in" };
            let name = reason.name().replace('_', " ");
            error.map_or_else(|| format!("{name}, {side},"), |error| format!("{name}: {error}, {side},"))
        }
    }
}
