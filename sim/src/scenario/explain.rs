//! One sentence about a request: what happened, and who decided.

use std::time::Duration;

use proxy_core::host::Instant;
use proxy_core::telemetry::Reason;

use super::path::{HopRecord, who_knows};
use crate::record::{Backend, Outcome};

/// What the client saw, and who is known to have answered.
pub(super) struct Seen<'a> {
    pub(super) outcome: Outcome,
    pub(super) status: Option<u16>,
    pub(super) backend: Option<&'a Backend>,
    pub(super) took: Duration,
    pub(super) error: Option<&'a str>,
}

/// The sentence.
pub(super) fn explain(seen: &Seen<'_>, path: &[&HopRecord]) -> String {
    match seen.outcome {
        Outcome::Completed => match refused_on_the_way(path) {
            Some((hop, reason)) => {
                let (what, why) = decided(hop, reason);
                let why = if why.is_empty() { why } else { format!(": {why}") };
                format!("{}; {what} at {} on {}{why}", answered(seen), hop.proxy(), hop.node)
            }
            None => answered(seen),
        },
        Outcome::Held => {
            let by = seen.backend.map(|backend| format!(" with {}/{}", backend.namespace, backend.pod));
            format!("open{} after {}", by.unwrap_or_default(), short(seen.took))
        }
        _ => failed(seen, path),
    }
}

/// Who knows why a waypoint answered in place of a backend, if one did.
pub(super) fn refused_on_the_way<'a>(path: &[&'a HopRecord]) -> Option<(&'a HopRecord, Reason)> {
    let by_waypoint = path.iter().any(|hop| hop.request.is_some() && hop.failure().is_some());
    if by_waypoint { who_knows(path) } else { None }
}

fn answered(seen: &Seen<'_>) -> String {
    let what = seen.status.map_or("all bytes came back".to_owned(), |status| format!("{status}"));
    match seen.backend {
        Some(backend) => {
            format!("{what} from {}/{} on {} in {}", backend.namespace, backend.pod, backend.node, short(seen.took))
        }
        None => format!("{what} in {}", short(seen.took)),
    }
}

fn failed(seen: &Seen<'_>, path: &[&HopRecord]) -> String {
    if let Some((hop, reason)) = who_knows(path) {
        let (what, why) = decided(hop, reason);
        let why = if why.is_empty() { why } else { format!(": {why}") };
        return format!("{what} at {} on {}{why}", hop.proxy(), hop.node);
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

/// What a proxy did, and why.
pub(super) fn decided(hop: &HopRecord, reason: Reason) -> (String, String) {
    let policy = hop.policy().map(ToString::to_string);
    let changed = matches!(reason, Reason::PolicyChanged | Reason::WorkloadChanged);
    match (reason, policy) {
        (Reason::PolicyDenied, Some(policy)) if is_peer_authentication(&policy) => {
            ("plaintext refused".to_owned(), format!("PeerAuthentication asks for mutual TLS (policy {policy})"))
        }
        (Reason::PolicyDenied, Some(policy)) => (format!("denied by policy {policy}"), String::new()),
        (Reason::PolicyNotAllowed, _) => {
            ("denied".to_owned(), "ALLOW policies apply to the destination and none matches".to_owned())
        }
        (Reason::PolicyUnknown, Some(policy)) => ("denied".to_owned(), format!("policy {policy} has not arrived")),
        (_, Some(policy)) if changed && is_peer_authentication(&policy) => {
            ("cut".to_owned(), format!("PeerAuthentication now asks for mutual TLS (policy {policy})"))
        }
        (_, Some(policy)) if changed => ("cut".to_owned(), format!("policy changed, and {policy} now denies it")),
        (_, None) if changed => ("cut".to_owned(), "policy changed, and no ALLOW policy matches any more".to_owned()),
        (reason, _) => {
            let name = reason.name().replace('_', " ");
            let error = hop.closed.as_ref().and_then(|(_, _, error)| error.as_deref()).unwrap_or_default();
            // Most errors begin with the name of their reason.
            let why = error.strip_prefix(name.as_str()).map_or(error, |rest| rest.trim_start_matches(':')).trim();
            (name, why.to_owned())
        }
    }
}

/// Control planes hand STRICT mode to proxies as policies of these names.
fn is_peer_authentication(policy: &str) -> bool {
    let name = policy.rsplit('/').next().unwrap_or(policy);
    name.starts_with("istio_converted_") || name.starts_with("converted_peer_authentication_")
}

/// A point in virtual time, to the millisecond.
pub(super) fn clock(at: Instant) -> String {
    let millis = at.as_nanos() / 1_000_000;
    format!("{}.{:03}s", millis / 1000, millis % 1000)
}

/// Three digits that matter: `1.25ms`.
pub(super) fn short(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")];
    let Some((unit, name)) = units.into_iter().find(|(unit, _)| nanos >= *unit) else { return format!("{nanos}ns") };
    // Integers throughout: a record is equal on every machine.
    let (whole, thousandths) = (nanos / unit, nanos % unit * 1000 / unit);
    let decimals = match whole {
        100.. => 0,
        10.. => 1,
        _ => 2,
    };
    let fraction = &format!("{thousandths:03}")[..decimals];
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { format!("{whole}{name}") } else { format!("{whole}.{fraction}{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_three_digits() {
        let words = |nanos| short(Duration::from_nanos(nanos));
        assert_eq!(words(2_040_000), "2.04ms");
        assert_eq!(words(280_000), "280µs");
        assert_eq!(words(12_345_000), "12.3ms");
        assert_eq!(words(3_000_000_000), "3s");
        assert_eq!(words(7), "7ns");
    }
}
