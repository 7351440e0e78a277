//! What each proxy on the way decided, and why, in sentences.

use proxy_core::policy::PolicyKey;
use proxy_core::policy::http::{DryRunResult, HttpVerdict, PolicyId};
use proxy_core::telemetry::{
    ConnectionInfo, ConnectionSecurity, Hop, Reason, Reporter, RequestInfo, RequestProtocol, TokenOutcome,
};

use super::explain::{decided, short};
use super::path::{HopRecord, verdict_in_words};
use crate::record::Decision;

/// What was decided hop by hop, client to server.
pub(super) fn decisions(path: &[&HopRecord]) -> Vec<Decision> {
    path.iter().map(|hop| at_hop(hop)).collect()
}

fn at_hop(hop: &HopRecord) -> Decision {
    if let Some(request) = &hop.request {
        return Decision { at: waypoint(hop), words: request_in_words(request) };
    }
    let inbound = hop.reporter != Reporter::Source;
    let mut words = Vec::new();
    if let Some(info) = hop.connection.as_deref() {
        if inbound {
            arrived(info, &mut words)
        } else {
            captured(info, &mut words)
        }
        words.extend(hop.verdict.as_ref().map(verdict_in_words));
        if hop.failure().is_none() {
            if hop.reporter == Reporter::Destination {
                handed_over(info, &mut words)
            } else {
                sent_on(info, &mut words)
            }
        }
    }
    if let Some(reason) = hop.failure() {
        let (what, why) = decided(hop, reason);
        words.push(if why.is_empty() { what } else { format!("{what}: {why}") });
    }
    let at = match hop.reporter {
        Reporter::Source => format!("ztunnel on {}, outbound", hop.node),
        Reporter::Destination => format!("ztunnel on {}, inbound", hop.node),
        Reporter::Waypoint => waypoint(hop),
    };
    Decision { at, words }
}

fn waypoint(hop: &HopRecord) -> String {
    let own = hop.connection.as_ref().and_then(|info| info.local_workload.as_ref());
    match own {
        Some(workload) => format!("waypoint {}/{}", workload.namespace, workload.name),
        None => format!("waypoint on {}", hop.node),
    }
}

/// Everything a waypoint decided about a request, in the order in which it did.
fn request_in_words(request: &RequestInfo) -> Vec<String> {
    let mut words = Vec::new();
    let what = if request.protocol == RequestProtocol::Grpc { "gRPC call" } else { &request.method };
    let whose = request.connection.source_identity.as_ref().map(|identity| format!(", proven to be {identity}"));
    let client = request.connection.source;
    words.push(format!(
        "took {what} {} for {} from {client}{}",
        request.path,
        request.authority,
        whose.unwrap_or_default()
    ));
    match &request.token {
        TokenOutcome::None => {}
        TokenOutcome::Accepted(principal) => words.push(format!("its token proves {principal}")),
        TokenOutcome::Rejected(why) => words.push(format!("its token is not valid: {why}")),
    }
    let policy = &request.policy;
    if let Some(provider) = &policy.provider {
        let because = policy.custom.as_ref().map(|by| format!(", because of policy {}", rule_of(by)));
        words.push(format!("asked authorization provider {provider}{}", because.unwrap_or_default()));
    }
    if let Some(decision) = &policy.decision {
        words.extend(decision.audited.iter().map(|by| format!("audited by policy {}", rule_of(by))));
        for (action, result) in [("ALLOW", &decision.dry_run_allow), ("DENY", &decision.dry_run_deny)] {
            words.extend(result.as_ref().map(|result| dry_run_in_words(action, result)));
        }
    }
    words.extend(policy_in_words(request));
    if !is_refused(request) && request.reason != Reason::TokenRejected {
        routed(request, &mut words);
    }
    words.push(format!("answered {} in {} ({})", answer_in_words(request), short(request.duration), request.details));
    words
}

/// Whether policy refused it.
fn is_refused(request: &RequestInfo) -> bool {
    matches!(request.reason, Reason::PolicyDenied | Reason::PolicyNotAllowed | Reason::RefusedByProvider)
}

/// The policy that decided, for or against.
pub(super) fn deciding_policy(request: &RequestInfo) -> Option<&PolicyKey> {
    let policy = &request.policy;
    match policy.decision.as_ref().map(|decision| &decision.verdict) {
        Some(HttpVerdict::DeniedBy(by) | HttpVerdict::Allowed { by: Some(by) }) => Some(&by.key),
        Some(HttpVerdict::NotAllowed) => None,
        Some(HttpVerdict::Allowed { by: None }) | None => policy.custom.as_ref().map(|by| &by.key),
    }
}

/// What layer-7 policy said of a request, if it came to that.
pub(super) fn policy_in_words(request: &RequestInfo) -> Option<String> {
    let policy = &request.policy;
    match (policy.decision.as_ref().map(|decision| &decision.verdict), &policy.custom) {
        (Some(HttpVerdict::DeniedBy(by)), _) => Some(format!("denied by policy {}", rule_of(by))),
        (Some(HttpVerdict::Allowed { by: Some(by) }), _) => Some(format!("allowed by policy {}", rule_of(by))),
        (Some(HttpVerdict::Allowed { by: None }), _) => Some("allowed: no ALLOW policy applies".to_owned()),
        (Some(HttpVerdict::NotAllowed), _) => Some("denied: ALLOW policies apply and none matches".to_owned()),
        (None, Some(by)) if is_refused(request) => Some(match &policy.provider {
            Some(provider) => format!("denied by authorization provider {provider}"),
            None => format!("denied by policy {}: its authorization provider is not usable", rule_of(by)),
        }),
        (None, _) => None,
    }
}

fn rule_of(by: &PolicyId) -> String {
    format!("{} rule {}", by.key, by.rule)
}

fn dry_run_in_words(action: &str, result: &DryRunResult) -> String {
    let what = if result.allowed { "let it pass" } else { "deny it" };
    let by = result.by.as_ref().map(|by| format!(", by policy {}", rule_of(by))).unwrap_or_default();
    format!("dry run: {action} policies would {what}{by}")
}

fn routed(request: &RequestInfo, words: &mut Vec<String>) {
    words.push(match &request.route {
        Some(route) => format!("{route} matches, by its match {}", route.entry),
        None if request.reason == Reason::NoRoute => "routes are attached, and none matches".to_owned(),
        None => "no route is attached: it goes to the service it was meant for".to_owned(),
    });
    if let Some(backend) = &request.backend {
        let subset = backend.subset.as_ref().map(|subset| format!(" subset {subset}")).unwrap_or_default();
        words.push(format!("chose backend {} port {}{subset}", backend.service, backend.port));
    }
    for (number, attempt) in (1..).zip(&request.attempts) {
        let whom = attempt.endpoint.as_ref().map(|endpoint| format!("{}/{}", endpoint.namespace, endpoint.name));
        let at = attempt.address.map(|address| format!(" at {address}")).unwrap_or_default();
        let whom = whom.unwrap_or_else(|| "no endpoint".to_owned());
        let came = match (attempt.status, &attempt.error) {
            (Some(status), _) => format!("answered {status}"),
            (None, Some(error)) => format!("{}: {error}", attempt.reason.name().replace('_', " ")),
            (None, None) => attempt.reason.name().replace('_', " "),
        };
        words.push(format!("try {number}, after {}: {whom}{at} {came}", short(attempt.after)));
    }
    for copy in &request.mirrors {
        let whom = copy.endpoint.as_ref().map(|endpoint| format!(" ({}/{})", endpoint.namespace, endpoint.name));
        words.push(format!(
            "mirrored to {} port {}{}",
            copy.backend.service,
            copy.backend.port,
            whom.unwrap_or_default()
        ));
    }
}

fn answer_in_words(request: &RequestInfo) -> String {
    match (request.status, request.grpc_status) {
        (0, _) => "nothing".to_owned(),
        (status, Some(code)) => format!("{status}, gRPC {}", crate::app::grpc_code_name(code)),
        (status, None) => status.to_string(),
    }
}

/// The client's side: what the application meant.
fn captured(info: &ConnectionInfo, words: &mut Vec<String>) {
    let what = match (&info.destination_service, &info.destination_workload) {
        (Some(service), _) => format!("an address of service {service}"),
        (None, Some(workload)) => format!("the address of workload {}/{}", workload.namespace, workload.name),
        (None, None) => "nothing the mesh knows: passed through".to_owned(),
    };
    words.push(format!("the application dialled {}, {what}", info.original_destination));
}

/// The client's side: where it went.
fn sent_on(info: &ConnectionInfo, words: &mut Vec<String>) {
    let whom = info.destination_workload.as_ref();
    let whom = whom.map(|workload| format!(" {}/{}", workload.namespace, workload.name)).unwrap_or_default();
    let at = info.destination.map(|address| format!(" at {address}")).unwrap_or_default();
    let authority = info.authority.as_ref().map(|authority| format!(", asking for {authority}")).unwrap_or_default();
    let identity = info.source_identity.as_ref().map(|identity| format!(", as {identity}")).unwrap_or_default();
    words.push(match info.hop {
        Hop::Plain => format!("sent on to{whom}{at} in plaintext"),
        Hop::Hbone => format!("sent on over HBONE to{whom}{at}{authority}{identity}"),
        Hop::Waypoint => format!("sent on over HBONE to waypoint{whom}{at}{authority}{identity}"),
        Hop::DoubleHbone => format!("sent on over HBONE in HBONE to{whom}{at}{authority}{identity}"),
    });
}

/// The server's side: who came.
fn arrived(info: &ConnectionInfo, words: &mut Vec<String>) {
    words.push(match (&info.source_identity, info.security) {
        (Some(identity), ConnectionSecurity::MutualTls) => {
            format!("took HBONE from {}, proven to be {identity}", info.source)
        }
        _ => format!("took plaintext from {}: nobody is proven", info.source),
    });
}

/// The server's side: where it went.
fn handed_over(info: &ConnectionInfo, words: &mut Vec<String>) {
    if let Some(address) = info.destination {
        let whom = info.destination_workload.as_ref().or(info.local_workload.as_ref());
        let whom = whom.map(|workload| format!("{}/{} at ", workload.namespace, workload.name)).unwrap_or_default();
        words.push(format!("handed to {whom}{address}"));
    }
}
