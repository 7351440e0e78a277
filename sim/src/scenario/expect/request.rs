//! What is not as expected of one request beyond its first answer: gRPC, headers and trailers, tries and copies.

use serde_json::Value;

use super::{Belongs, Facts, shortened};
use crate::record::{ReceivedHead, RequestResult};
use crate::scenario::path::ServerSide;
use crate::scenario::plan::Expectation;
use crate::scenario::quantity::{Amount, Bound, Comparison};
use crate::scenario::schema::{Echoed, ReceivedSection};

/// Says what was expected and what was found.
type Complain<'a> = dyn FnMut(String, String) + 'a;

pub(super) fn judge(
    expectation: &Expectation,
    result: &RequestResult,
    facts: &Facts<'_>,
    found: &str,
    complain: &mut Complain<'_>,
) {
    let form = &expectation.form;
    let of = |pairs: &[(String, String)], name: &str| -> Vec<String> {
        let same = |known: &String| known.eq_ignore_ascii_case(name);
        pairs.iter().filter(|(known, _)| same(known)).map(|(_, value)| value.clone()).collect()
    };
    for name in &form.without_headers {
        let there = of(&result.headers, name);
        if !there.is_empty() {
            complain(format!("no header `{name}`"), format!("[{}]", there.join(", ")));
        }
    }
    for (name, value) in &form.trailers {
        let there = of(&result.trailers, name);
        if !there.contains(value) {
            complain(format!("trailer `{name}: {value}`"), format!("[{}]", there.join(", ")));
        }
    }
    if let Some(body) = &form.body
        && *body != result.body
    {
        complain(format!("body `{}`", shortened(body)), format!("`{}`", shortened(&result.body)));
    }
    if let Some(policy) = &form.policy
        && result.policy.as_ref() != Some(policy)
    {
        let decided = result.policy.as_ref().map(|policy| format!("policy {policy}"));
        complain(format!("policy {policy} to decide"), decided.unwrap_or_else(|| "none that did".to_owned()));
    }
    judge_grpc(expectation, result, found, complain);
    if let Some(bound) = &form.messages
        && !exact(bound, result.messages.unwrap_or_default().into())
    {
        let came = result.messages.map_or(found.to_owned(), |count| count.to_string());
        complain(format!("{bound} messages back"), came);
    }
    let servers = (facts.servers)(result.flow);
    if let Some(bound) = &form.attempts
        && !exact(bound, servers.len() as u64)
    {
        complain(format!("{bound} tries and copies to reach a server"), servers_in_words(servers));
    }
    for (section, by) in form.received.iter().zip(&expectation.received) {
        let belongs = |side: &&ServerSide| (facts.belongs)(&side.pod.namespace, &side.pod.name, by);
        let fits = |side: &&ServerSide| side.request.as_ref().is_some_and(|head| is_as(section, head));
        let count = servers.iter().filter(belongs).filter(fits).count() as u64;
        let bound = section.times.unwrap_or(Bound { comparison: Comparison::AtLeast, limit: Amount::Count(1) });
        if !exact(&bound, count) {
            let of_them: Vec<String> = servers.iter().filter(belongs).filter_map(head_in_words).collect();
            let seen =
                if of_them.is_empty() { servers_in_words(servers) } else { format!("there [{}]", of_them.join("; ")) };
            complain(
                format!("{by} to receive it {bound} times{}", wanted_in_words(section)),
                format!("{count}; {seen}"),
            );
        }
    }
}

fn judge_grpc(expectation: &Expectation, result: &RequestResult, found: &str, complain: &mut Complain<'_>) {
    let Some(wanted) = &expectation.form.grpc else { return };
    let Some(came) = &result.grpc else { return complain("the end of a gRPC call".to_owned(), found.to_owned()) };
    if !expectation.grpc_status.is_empty() && !expectation.grpc_status.contains(&came.code) {
        let names: Vec<&str> = wanted.status.iter().flat_map(|names| &names.0).map(String::as_str).collect();
        let message = if came.message.is_empty() { String::new() } else { format!(" ({})", came.message) };
        complain(format!("gRPC status {}", names.join(" or ")), format!("{}{message}", came.status));
    }
    if let Some(message) = &wanted.message
        && *message != came.message
    {
        complain(format!("gRPC message `{message}`"), format!("`{}`", came.message));
    }
    if let Some(text) = &wanted.message_contains
        && !came.message.contains(text)
    {
        complain(format!("a gRPC message with `{text}`"), format!("`{}`", came.message));
    }
    if let Some(bound) = &wanted.messages
        && !exact(bound, came.messages.into())
    {
        complain(format!("{bound} gRPC messages back"), came.messages.to_string());
    }
}

/// Whether so many satisfy a bound that is a count.
fn exact(bound: &Bound<Amount>, count: u64) -> bool {
    bound.holds_for(count, count)
}

fn is_as(section: &ReceivedSection, head: &ReceivedHead) -> bool {
    let is = |wanted: &Option<String>, came: &str| wanted.as_deref().is_none_or(|wanted| wanted == came);
    is(&section.method, &head.method)
        && is(&section.path, &head.path)
        && is(&section.host, &head.host)
        && section.headers.iter().all(|(name, value)| joined(head, name).as_deref() == Some(value))
        && section.without.iter().all(|name| joined(head, name).is_none())
}

/// All values of a header, as an echo server shows them.
fn joined(head: &ReceivedHead, name: &str) -> Option<String> {
    let values: Vec<&str> =
        head.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, it)| it.as_str()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn servers_in_words(servers: &[ServerSide]) -> String {
    let names: Vec<String> = servers.iter().map(|side| side.pod.to_string()).collect();
    if names.is_empty() { "no server reached".to_owned() } else { format!("{}: {}", names.len(), names.join(", ")) }
}

fn head_in_words(side: &ServerSide) -> Option<String> {
    let head = side.request.as_ref()?;
    Some(format!("{} {}{}", head.method, head.host, head.path))
}

fn wanted_in_words(section: &ReceivedSection) -> String {
    let mut words = Vec::new();
    for (name, value) in [("method", &section.method), ("path", &section.path), ("host", &section.host)] {
        words.extend(value.as_ref().map(|value| format!("{name} `{value}`")));
    }
    words.extend(section.headers.iter().map(|(name, value)| format!("header `{name}: {value}`")));
    words.extend(section.without.iter().map(|name| format!("no header `{name}`")));
    if words.is_empty() { String::new() } else { format!(" with {}", words.join(" and ")) }
}

/// What the server that answered received.
pub(super) fn judge_echo(
    echo: &Echoed,
    result: &RequestResult,
    facts: &Facts<'_>,
    found: &str,
    complain: &mut Complain<'_>,
) {
    // Of a stream of answers, each tells the same.
    let first = result.body.lines().next().unwrap_or_default();
    let own = |side: &&ServerSide| {
        let backend = result.backend.as_ref();
        backend.is_some_and(|it| it.pod == *side.pod.name && it.namespace == *side.pod.namespace)
    };
    let told = serde_json::from_str::<Value>(first).ok().filter(|body| body["pod"].is_string());
    let told = told.or_else(|| {
        let servers = (facts.servers)(result.flow);
        let head = servers.iter().rev().find(own)?.request.as_ref()?;
        let mut headers = serde_json::Map::new();
        for (name, _) in &head.headers {
            headers.insert(name.clone(), joined(head, name).into());
        }
        let ReceivedHead { method, path, host, proto, .. } = &**head;
        Some(serde_json::json!({ "method": method, "path": path, "host": host, "proto": proto, "headers": headers }))
    });
    let Some(body) = told else { return complain("an echo server's answer".to_owned(), found.to_owned()) };
    let fields = [("method", &echo.method), ("path", &echo.path), ("host", &echo.host), ("proto", &echo.proto)];
    for (field, wanted) in fields {
        if let Some(wanted) = wanted
            && body[field].as_str() != Some(wanted)
        {
            complain(format!("the server to receive {field} `{wanted}`"), written(&body[field]));
        }
    }
    for (name, wanted) in &echo.headers {
        let found = &body["headers"][name.to_ascii_lowercase()];
        if found.as_str() != Some(wanted) {
            complain(format!("the server to receive header `{name}: {wanted}`"), written(found));
        }
    }
    for name in &echo.without {
        let found = &body["headers"][name.to_ascii_lowercase()];
        if !found.is_null() {
            complain(format!("the server to receive no header `{name}`"), written(found));
        }
    }
}

fn written(value: &Value) -> String {
    value.as_str().map_or("nothing".to_owned(), |text| format!("`{text}`"))
}

/// What is not as expected of how answers share out.
pub(super) fn count(results: &[&RequestResult], object: &crate::cluster::ObjectReference, belongs: Belongs<'_>) -> u64 {
    let backends = results.iter().filter_map(|result| result.backend.as_ref());
    backends.filter(|backend| belongs(&backend.namespace, &backend.pod, object)).count() as u64
}
