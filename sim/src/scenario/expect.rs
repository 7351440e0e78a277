//! Whether what came is what was expected; if not, what was expected and what was found.

mod chance;
mod condition;
mod request;
mod share;

use std::net::IpAddr;
use std::time::Duration;

use proxy_core::host::Instant;

use super::explain::clock;
use super::path::ServerSide;
use super::plan::Expectation;
use super::quantity::{Bound, Time};
use super::schema::{ClosedBy, Denied, SourceIp};
use crate::cluster::ObjectReference;
use crate::record::{ConditionResult, Hop, LoadResult, Outcome, RequestResult};

/// Whether a pod, by namespace and name, is one of an object's.
type Belongs<'a> = &'a dyn Fn(&str, &str, &ObjectReference) -> bool;

/// What judging needs besides the results.
pub(super) struct Facts<'a> {
    pub(super) belongs: Belongs<'a>,
    /// The addresses of a client by its name.
    pub(super) addresses: &'a dyn Fn(&str) -> Vec<IpAddr>,
    /// The servers that the request of a flow reached, in order.
    pub(super) servers: &'a dyn Fn(u64) -> &'a [ServerSide],
    /// The held stream a check looks at.
    pub(super) stream: Option<Stream>,
    /// The conditions an inspection found.
    pub(super) conditions: &'a [ConditionResult],
    /// There is one request only: it need not be numbered.
    pub(super) single: bool,
}

/// A held stream at the time of a check.
pub(super) struct Stream {
    pub(super) was_open: bool,
    pub(super) closed: Option<(Instant, ClosedBy)>,
    pub(super) last_change: Option<Instant>,
}

/// As in a scenario file.
pub(super) fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Held => "held",
        Outcome::Refused => "refused",
        Outcome::Reset => "reset",
        Outcome::ClosedEarly => "closed_early",
        Outcome::TimedOut => "timed_out",
        Outcome::NoSuchHost => "no_such_host",
        Outcome::Failed => "failed",
    }
}

/// What did not hold of a step.
pub(super) fn step(expectation: &Expectation, results: &[RequestResult], facts: &Facts<'_>) -> Vec<String> {
    let form = &expectation.form;
    let mut failures = Vec::new();
    let meant = |number: u64| form.only.is_none_or(|only| (only.first..=only.last).contains(&number));
    let numbered = (1..).zip(results).filter(|(number, _)| meant(*number));
    let results: Vec<(u64, &RequestResult)> = numbered.collect();
    if let Some(only) = form.only.filter(|_| results.is_empty()) {
        failures.push(format!("expected a request of number {}, and there is none", only.first));
    }
    let judged: Vec<(u64, Vec<String>)> =
        results.iter().map(|(number, result)| (*number, one(expectation, result, facts))).collect();
    let results: Vec<&RequestResult> = results.into_iter().map(|(_, result)| result).collect();
    let all = results.len() as u64;
    let good = judged.iter().filter(|(_, wrong)| wrong.is_empty()).count() as u64;
    let other = || {
        let first = judged.iter().find_map(|(_, wrong)| wrong.first());
        first.map(|wrong| format!("; the first other: {wrong}")).unwrap_or_default()
    };
    match (&form.success, form.share) {
        (Some(bound), _) if bound.holds_for(good, all) => {}
        (Some(bound), _) => {
            failures.push(format!("expected {bound} of {all} as described, found {good}{}", other()));
        }
        (None, Some(expected)) => {
            let wrong = share::share(good, all, expected, form.tolerance);
            failures.extend(wrong.map(|wrong| format!("{wrong}{}", other())));
        }
        (None, None) => {
            for (number, wrong) in &judged {
                let whose = if facts.single { String::new() } else { format!("request {number}: ") };
                failures.extend(wrong.iter().map(|wrong| format!("{whose}{wrong}")));
            }
        }
    }
    for (object, bound) in &expectation.backends {
        at_backend(object, bound, request::count(&results, object, facts.belongs), all, &mut failures);
    }
    if let Some(section) = &form.split {
        let weights = &expectation.split;
        let counts: Vec<u64> =
            weights.iter().map(|(object, _)| request::count(&results, object, facts.belongs)).collect();
        share::split(weights, &counts, all, section, &mut failures);
    }
    condition::judge(expectation, facts.conditions, &mut failures);
    if let Some(stream) = &facts.stream {
        check(expectation, stream, &mut failures);
    }
    const SHOWN: usize = 5;
    if failures.len() > SHOWN {
        let more = failures.len() - SHOWN;
        failures.truncate(SHOWN);
        failures.push(format!("and {more} more like these"));
    }
    failures
}

fn at_backend(
    object: &ObjectReference,
    bound: &Bound<super::quantity::Amount>,
    part: u64,
    all: u64,
    failures: &mut Vec<String>,
) {
    if !bound.holds_for(part, all) {
        failures.push(format!("expected {bound} of {all} answers from {object}, found {part}"));
    }
}

/// What is not as expected of one request.
fn one(expectation: &Expectation, result: &RequestResult, facts: &Facts<'_>) -> Vec<String> {
    let form = &expectation.form;
    let mut wrong = Vec::new();
    // Where no good answer came, the explanation says why.
    let well = matches!(result.outcome, Outcome::Completed | Outcome::Held) && result.status.is_none_or(|it| it < 400);
    let why = if well { String::new() } else { format!(" ({})", result.explanation) };
    let mut complain = |what: String, found: String| wrong.push(format!("expected {what}, found {found}{why}"));
    let found_outcome = outcome_name(result.outcome).to_owned();
    let found_status = result.status.map_or(found_outcome.clone(), |status| format!("status {status}"));
    if let Some(statuses) = &form.status
        && !result.status.is_some_and(|status| statuses.0.contains(&status))
    {
        let all: Vec<String> = statuses.0.iter().map(u16::to_string).collect();
        complain(format!("status {}", all.join(" or ")), found_status.clone());
    }
    // A check looks at a stream others have opened: how it ended is judged there.
    if let Some(outcome) = form.outcome
        && outcome != result.outcome
    {
        complain(format!("outcome {}", outcome_name(outcome)), found_outcome.clone());
    }
    if let Some(open) = form.open
        && facts.stream.is_none()
        && open != (result.outcome == Outcome::Held)
    {
        complain(if open { "a stream still open" } else { "a closed stream" }.to_owned(), found_outcome.clone());
    }
    if let Some(via) = &form.via {
        let wanted: Vec<&str> = via.iter().map(|proxy| proxy.name()).collect();
        let found: Vec<&str> = result.hops.iter().map(|hop| &*hop.proxy).collect();
        if wanted != found {
            complain(format!("the path via [{}]", wanted.join(", ")), format!("[{}]", found.join(", ")));
        }
    }
    if let Some(identity) = &expectation.identity {
        let wanted = identity.as_ref().map(ToString::to_string);
        let found = proven(&result.hops);
        if wanted != found {
            let name =
                |identity: Option<String>| identity.map_or("no identity".to_owned(), |name| format!("identity {name}"));
            complain(name(wanted), name(found));
        }
    }
    if let Some(denied) = &form.denied {
        judge_denied(denied, result, &found_status, &mut complain);
    }
    if let Some(reason) = expectation.reason
        && result.reason.as_deref() != Some(reason.name())
    {
        complain(format!("reason {reason}"), result.reason.clone().unwrap_or(found_status.clone()));
    }
    if let Some(object) = &expectation.backend {
        let backend = result.backend.as_ref();
        if !backend.is_some_and(|backend| (facts.belongs)(&backend.namespace, &backend.pod, object)) {
            let found =
                backend.map_or(found_status.clone(), |backend| format!("{}/{}", backend.namespace, backend.pod));
            complain(format!("an answer from {object}"), found);
        }
    }
    if let Some(source) = &form.source_ip {
        judge_source(source, result, (facts.addresses)(&result.client), &found_status, &mut complain);
    }
    for (name, value) in &form.headers {
        let found: Vec<&str> = result
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
            .collect();
        if !found.contains(&value.as_str()) {
            complain(format!("header `{name}: {value}`"), format!("[{}]", found.join(", ")));
        }
    }
    for text in &expectation.contains {
        if !result.body.contains(text) {
            complain(format!("a body with `{text}`"), format!("`{}`", shortened(&result.body)));
        }
    }
    if let Some(echo) = &form.echo {
        request::judge_echo(echo, result, facts, &found_status, &mut complain);
    }
    request::judge(expectation, result, facts, &found_status, &mut complain);
    if let Some(within) = form.within {
        let took = Duration::from_nanos(result.ended_ns.saturating_sub(result.at_ns));
        if took > within.0 {
            complain(format!("an end within {within}"), Time(took).to_string());
        }
    }
    wrong
}

/// The client's identity as the last proxy before the server verified it.
fn proven(hops: &[Hop]) -> Option<String> {
    let last = hops.iter().rfind(|hop| hop.direction == "inbound")?;
    last.source_identity.clone().filter(|_| last.protocol != "plain")
}

/// Reasons that mean that policy refused.
pub(super) const REFUSALS: [&str; 7] = [
    "policy_denied",
    "policy_not_allowed",
    "policy_unknown",
    "policy_changed",
    "workload_changed",
    "refused_by_peer_policy",
    "refused_by_provider",
];

fn judge_denied(denied: &Denied, result: &RequestResult, found: &str, complain: &mut impl FnMut(String, String)) {
    let reason = result.reason.as_deref().unwrap_or_default();
    let is_denied = REFUSALS.contains(&reason);
    match denied {
        Denied::Whether(true) if !is_denied => complain("to be denied by policy".to_owned(), found.to_owned()),
        Denied::Whether(false) if is_denied => complain("not to be denied".to_owned(), reason.to_owned()),
        Denied::By(policy) if !is_denied || result.policy.as_ref() != Some(policy) => {
            let by = result.policy.as_ref().filter(|_| is_denied);
            let found = by.map_or(found.to_owned(), |by| format!("denied by policy {by}"));
            complain(format!("to be denied by policy {policy}"), found);
        }
        _ => {}
    }
}

fn judge_source(
    source: &SourceIp,
    result: &RequestResult,
    own: Vec<IpAddr>,
    found: &str,
    complain: &mut impl FnMut(String, String),
) {
    let seen = result.backend.as_ref().map(|backend| backend.source_ip.as_str());
    let wanted: Vec<String> = match source {
        SourceIp::Preserved => own.iter().map(ToString::to_string).collect(),
        SourceIp::Address(address) => vec![address.to_string()],
    };
    if !seen.is_some_and(|seen| wanted.iter().any(|wanted| wanted == seen)) {
        complain(format!("the server to see {} as its client", wanted.join(" or ")), seen.unwrap_or(found).to_owned());
    }
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What is not as expected of a held stream.
fn check(expectation: &Expectation, stream: &Stream, failures: &mut Vec<String>) {
    let form = &expectation.form;
    let state = match (&stream.closed, stream.was_open) {
        (None, true) => "open".to_owned(),
        (None, false) => "not open yet".to_owned(),
        (Some((at, by)), _) => format!("closed at {} by {}", clock(*at), who(*by)),
    };
    if let Some(open) = form.open
        && open != (stream.was_open && stream.closed.is_none())
    {
        let wanted = if open { "an open stream" } else { "a closed stream" };
        failures.push(format!("expected {wanted}, found it {state}"));
    }
    if let Some(by) = form.closed_by
        && stream.closed.map(|(_, by)| by) != Some(by)
    {
        failures.push(format!("expected a stream closed by {}, found it {state}", who(by)));
    }
    if let Some(within) = form.closed_within {
        let since = stream.last_change.unwrap_or(Instant::START);
        let took = stream.closed.map(|(at, _)| at.saturating_since(since));
        if took.is_none_or(|took| took > within.0) {
            failures.push(format!(
                "expected it closed within {within} of the change at {}, found it {state}",
                clock(since)
            ));
        }
    }
}

fn who(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Client => "the client",
        ClosedBy::Server => "the server",
        ClosedBy::Ztunnel => "a ztunnel",
    }
}

/// What did not hold of a load.
pub(super) fn load(expectation: &Expectation, result: &LoadResult, belongs: Belongs<'_>) -> Vec<String> {
    let form = &expectation.form;
    let mut failures = Vec::new();
    if let Some(bound) = &form.success
        && !bound.holds_for(result.succeeded, result.sent)
    {
        let why: Vec<String> = result.failed.iter().map(|(why, count)| format!("{count} × {why}")).collect();
        failures.push(format!(
            "expected {bound} of {} requests to succeed, found {} ({})",
            result.sent,
            result.succeeded,
            why.join(", ")
        ));
    }
    if let Some(bound) = &form.sent
        && !bound.holds_for(result.sent, result.sent)
    {
        failures.push(format!("expected {bound} requests, found {}", result.sent));
    }
    let latency = &result.latency;
    let quantiles = [
        ("p50", &form.p50, latency.p50),
        ("p90", &form.p90, latency.p90),
        ("p99", &form.p99, latency.p99),
        ("p999", &form.p999, latency.p999),
        ("max", &form.max, latency.max),
    ];
    for (name, bound, found) in quantiles {
        if let Some(bound) = bound
            && !bound.holds_for(found)
        {
            failures.push(format!("expected {name} {bound}, found {}", Time(Duration::from_nanos(found))));
        }
    }
    for (object, bound) in &expectation.backends {
        let of = |name: &str| name.split_once('/').is_some_and(|(namespace, pod)| belongs(namespace, pod, object));
        let count = result.backends.iter().filter(|(name, _)| of(name)).map(|(_, count)| count).sum();
        at_backend(object, bound, count, result.sent, &mut failures);
    }
    if let Some(section) = &form.split {
        let of = |object: &ObjectReference| {
            let of = |name: &str| name.split_once('/').is_some_and(|(namespace, pod)| belongs(namespace, pod, object));
            result.backends.iter().filter(|(name, _)| of(name)).map(|(_, count)| count).sum()
        };
        let counts: Vec<u64> = expectation.split.iter().map(|(object, _)| of(object)).collect();
        share::split(&expectation.split, &counts, result.sent, section, &mut failures);
    }
    failures
}
