//! [`route`]: where HTTPRoutes and GRPCRoutes send a request, from the objects as written.
//!
//! From the Gateway API's documentation of `HTTPRouteRule` (matching and precedence), GEP-1426 (routes of a Service),
//! GEP-1364 (status), and the codes a waypoint answers with.

use std::cmp::Reverse;
use std::sync::Arc;

use regex::Regex;

use super::HttpRequest;
use crate::cluster::gateway::{
    BackendReference, Filter, FilterAction, GrpcMethodMatch, NamedMatch, PathChange, PathMatchKind, RedirectFilter,
    Route, RouteMatch, RouteRule, TextMatch,
};
use crate::cluster::object::Kind;
use crate::cluster::{Cluster, ObjectName};

/// What routes say of a request to one port of a service.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::invariant) enum Routed {
    /// No route is attached: to the service's own endpoints.
    Unrouted,
    /// Routes are attached and none matches: 404.
    NotFound,
    /// This rule.
    Rule(Chosen),
    /// The specification leaves it open, or the reference does not go that far.
    Unclear(&'static str),
}

/// The rule that decides, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::invariant) struct Chosen {
    /// The route.
    pub(in crate::invariant) route: ObjectName,
    /// Which of its rules, from 0.
    pub(in crate::invariant) rule: usize,
    /// What happens.
    pub(in crate::invariant) action: Action,
    /// Request headers after the rule's own changes (not those of a backend).
    pub(in crate::invariant) headers: Vec<(String, String)>,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::invariant) enum Action {
    /// Answers with this status and `Location`.
    Redirect { status: u16, location: String },
    /// One of these, by weight; none has weight zero. Empty: 500.
    Forward { backends: Vec<(u32, Target)>, target: String, authority: Option<String> },
}

/// A backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::invariant) enum Target {
    /// A port of a service that exists.
    Service { service: ObjectName, port: u16 },
    /// Nothing that could serve: this share of requests gets 500.
    Invalid,
}

/// What the routes of `cluster` make of a request from a client in namespace `client` that was sent to `port` of
/// `service`. `waypoint` is the namespace of the waypoint it passes.
pub(in crate::invariant) fn route(
    cluster: &Cluster,
    waypoint: &str,
    client: Option<&str>,
    service: &ObjectName,
    port: u16,
    request: &HttpRequest,
) -> Routed {
    if !request.is_plain() {
        return Routed::Unclear("the path could be normalized in several ways");
    }
    let attached: Vec<&Route> =
        cluster.routes().filter(|route| is_http(route) && is_attached(route, service, port)).collect();
    let of = |namespace: &str| -> Vec<&Route> {
        attached.iter().copied().filter(|route| route.meta.namespace() == namespace).collect()
    };
    // A route of the client's namespace counts for its clients only, and before the service's own (GEP-1426).
    let consumer = client.filter(|client| *client != &*service.namespace).map(of).unwrap_or_default();
    let near = if consumer.is_empty() { of(&service.namespace) } else { consumer };
    if waypoint != &*service.namespace && Some(waypoint) != client && !of(waypoint).is_empty() {
        return Routed::Unclear("routes of the waypoint's namespace are attached");
    }
    if near.is_empty() {
        return Routed::Unrouted;
    }
    if near.iter().any(|route| has_invalid_filter(route)) {
        return Routed::Unclear("a route has a filter that is not supported");
    }
    let mut best: Option<(Rank, &Route, usize, &RouteMatch)> = None;
    let every_call = RouteMatch::default();
    for route in near {
        for (index, rule) in route.rules.iter().enumerate() {
            let matches = if rule.matches.is_empty() { std::slice::from_ref(&every_call) } else { &rule.matches[..] };
            for candidate in matches {
                let Some(rank) = rank(route, index, candidate, request) else { continue };
                if best.as_ref().is_none_or(|(so_far, ..)| rank < *so_far) {
                    best = Some((rank, route, index, candidate));
                }
            }
        }
    }
    match best {
        None => Routed::NotFound,
        Some((_, route, index, matched)) => chosen(cluster, route, index, matched, port, request),
    }
}

/// Where the rule that was chosen sends copies.
pub(in crate::invariant) fn mirrors(cluster: &Cluster, chosen: &Chosen) -> Vec<Target> {
    let route = cluster.routes().find(|route| is_http(route) && route.meta.key == chosen.route);
    let rule = route.and_then(|route| route.rules.get(chosen.rule));
    rule.into_iter()
        .flat_map(|rule| &rule.filters)
        .filter_map(|filter| match filter {
            Filter::Action(FilterAction::Mirror(mirror)) => Some(target(cluster, &mirror.backend)),
            _ => None,
        })
        .collect()
}

fn is_http(route: &Route) -> bool {
    matches!(route.kind, Kind::HttpRoute | Kind::GrpcRoute)
}

fn is_attached(route: &Route, service: &ObjectName, port: u16) -> bool {
    route.parents.iter().any(|parent| {
        parent.is_service()
            && parent.namespace == service.namespace
            && parent.name == service.name
            && parent.port.is_none_or(|only| only == port)
    })
}

fn has_invalid_filter(route: &Route) -> bool {
    let invalid = |filters: &[Filter]| filters.iter().any(|filter| matches!(filter, Filter::Unsupported(_)));
    route
        .rules
        .iter()
        .any(|rule| invalid(&rule.filters) || rule.backends.iter().any(|backend| invalid(&backend.filters)))
}

/// Smaller wins: the documented order of precedence, word by word.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Exact, then prefix, then expression, then no path at all.
    path_kind: u8,
    path_length: Reverse<(usize, usize)>,
    has_method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    created: proxy_core::host::Instant,
    name: (Arc<str>, Arc<str>),
    rule: usize,
}

/// `None` if it does not match.
fn rank(route: &Route, rule: usize, candidate: &RouteMatch, request: &HttpRequest) -> Option<Rank> {
    let (path_kind, path_length) = if route.kind == Kind::GrpcRoute {
        // Calls are POSTs; what else comes is left to the path, as upstream.
        grpc(candidate.grpc.as_ref(), request.path())?
    } else {
        path(candidate, request.path())?
    };
    let method = candidate.method.as_deref();
    if method.is_some_and(|method| method != request.method) {
        return None;
    }
    let headers = distinct(&candidate.headers, |name| name.to_ascii_lowercase());
    if !headers.iter().all(|wanted| request.header(&wanted.name).is_some_and(|value| hits(&wanted.value, &value))) {
        return None;
    }
    let query = distinct(&candidate.query, str::to_owned);
    if !query.iter().all(|wanted| request.parameter(&wanted.name).is_some_and(|value| hits(&wanted.value, value))) {
        return None;
    }
    Some(Rank {
        path_kind,
        path_length: Reverse(path_length),
        has_method: Reverse(method.is_some()),
        headers: Reverse(headers.len()),
        query: Reverse(query.len()),
        created: route.meta.created,
        name: (route.meta.key.namespace.clone(), route.meta.key.name.clone()),
        rule,
    })
}

/// Only the first entry of each name counts.
fn distinct(all: &[NamedMatch], key: impl Fn(&str) -> String) -> Vec<&NamedMatch> {
    let mut kept: Vec<&NamedMatch> = Vec::new();
    for one in all {
        if !kept.iter().any(|other| key(&other.name) == key(&one.name)) {
            kept.push(one);
        }
    }
    kept
}

fn hits(wanted: &TextMatch, value: &str) -> bool {
    match wanted {
        TextMatch::Exact(text) => **text == *value,
        TextMatch::Regex(pattern) => whole(pattern, value),
    }
}

/// Whether an expression matches a whole text.
fn whole(pattern: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|pattern| pattern.is_match(text))
}

/// Kind and length of the path match, if it holds.
fn path(candidate: &RouteMatch, path: &str) -> Option<(u8, (usize, usize))> {
    let Some(wanted) = &candidate.path else { return Some((3, (0, 0))) };
    let value = &*wanted.value;
    match wanted.kind {
        PathMatchKind::Exact => (value == path).then_some((0, (value.len(), 0))),
        PathMatchKind::PathPrefix => {
            let segments = |text: &str| text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
            let (mine, theirs): (Vec<String>, Vec<String>) = (segments(value), segments(path));
            theirs.starts_with(&mine).then_some((1, (value.trim_end_matches('/').len(), 0)))
        }
        PathMatchKind::RegularExpression => whole(value, path).then_some((2, (value.len(), 0))),
    }
}

/// As [`path`], for a service and method.
fn grpc(wanted: Option<&GrpcMethodMatch>, path: &str) -> Option<(u8, (usize, usize))> {
    let Some(wanted) = wanted else { return Some((3, (0, 0))) };
    let literal = |text: &str| if wanted.is_regex { text.to_owned() } else { regex::escape(text) };
    // As the API's documentation spells the paths of calls: a service alone is a prefix.
    let (kind, hit) = match (wanted.service.as_deref(), wanted.method.as_deref()) {
        (None, None) => (3, true),
        (Some(service), Some(method)) if !wanted.is_regex => (0, path == format!("/{service}/{method}")),
        (Some(service), None) if !wanted.is_regex => (1, path.starts_with(&format!("/{service}/"))),
        (Some(service), Some(method)) => (2, whole(&format!("/{service}/{method}"), path)),
        (Some(service), None) => (2, whole(&format!("/{service}/.+"), path)),
        (None, Some(method)) => (2, whole(&format!("/[^/]+/{}", literal(method)), path)),
    };
    let length = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    hit.then_some((kind, (length(&wanted.service), length(&wanted.method))))
}

fn chosen(
    cluster: &Cluster,
    route: &Route,
    index: usize,
    matched: &RouteMatch,
    port: u16,
    request: &HttpRequest,
) -> Routed {
    let rule = &route.rules[index];
    let mut redirect = None;
    let mut rewrite = None;
    let mut changes = None;
    for filter in &rule.filters {
        let Filter::Action(filter) = filter else { continue };
        match filter {
            FilterAction::Redirect(filter) => redirect = Some(filter),
            FilterAction::Rewrite(filter) => rewrite = Some(filter),
            FilterAction::RequestHeaders(filter) => changes = Some(filter),
            FilterAction::Cors(_) if request.is_preflight() => {
                return Routed::Unclear("a preflight under a CORS filter");
            }
            FilterAction::Cors(_) | FilterAction::Mirror(_) | FilterAction::ResponseHeaders(_) => {}
        }
    }
    let mut headers = request.headers.clone();
    if let Some(changes) = changes {
        change(&mut headers, changes);
    }
    let action = match redirect {
        Some(redirect) => {
            let location = location(redirect, matched, port, request);
            Action::Redirect { status: redirect.status, location }
        }
        None => {
            let path = rewrite.and_then(|rewrite| rewrite.path.as_ref());
            Action::Forward {
                backends: backends(cluster, rule),
                target: with_query(&new_path(path, matched, request.path()), request),
                authority: rewrite.and_then(|rewrite| rewrite.hostname.as_deref().map(str::to_owned)),
            }
        }
    };
    Routed::Rule(Chosen { route: route.meta.key.clone(), rule: index, action, headers })
}

/// First of duplicated names wins; set replaces, add appends, remove removes.
fn change(headers: &mut Vec<(String, String)>, changes: &crate::cluster::gateway::HeaderChanges) {
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in &changes.set {
        if seen.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            continue;
        }
        seen.push(name.to_string());
        headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        headers.push((name.to_string(), value.to_string()));
    }
    seen.clear();
    for (name, value) in &changes.add {
        if seen.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            continue;
        }
        seen.push(name.to_string());
        headers.push((name.to_string(), value.to_string()));
    }
    for name in &changes.remove {
        headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }
}

fn backends(cluster: &Cluster, rule: &RouteRule) -> Vec<(u32, Target)> {
    rule.backends
        .iter()
        .filter(|backend| backend.weight > 0)
        .map(|backend| (backend.weight, target(cluster, backend)))
        .collect()
}

fn target(cluster: &Cluster, backend: &BackendReference) -> Target {
    let is_service = matches!(&*backend.group, "" | "core") && &*backend.kind == "Service";
    let service = ObjectName { namespace: backend.namespace.clone(), name: backend.name.clone() };
    let known = cluster.service(&service);
    match (is_service, known, backend.port) {
        (true, Some(known), Some(port)) if known.ports.iter().any(|declared| declared.number == port) => {
            Target::Service { service, port }
        }
        _ => Target::Invalid,
    }
}

fn with_query(path: &str, request: &HttpRequest) -> String {
    if request.query().is_empty() { path.to_owned() } else { format!("{path}?{}", request.query()) }
}

fn new_path(change: Option<&PathChange>, matched: &RouteMatch, path: &str) -> String {
    match change {
        None => path.to_owned(),
        Some(PathChange::Full(new)) => new.to_string(),
        Some(PathChange::Prefix(new)) => {
            let prefix = matched.path.as_ref().map_or("", |wanted| wanted.value.trim_end_matches('/'));
            let rest = path.strip_prefix(prefix).unwrap_or(path).trim_start_matches('/');
            let new = new.trim_end_matches('/');
            match (new.is_empty(), rest.is_empty()) {
                (_, false) => format!("{new}/{rest}"),
                (true, true) => "/".to_owned(),
                // `/prefix/` keeps its last slash, `/prefix` gets none.
                (false, true) if path.len() > prefix.len() => format!("{new}/"),
                (false, true) => new.to_owned(),
            }
        }
    }
}

fn location(redirect: &RedirectFilter, matched: &RouteMatch, port: u16, request: &HttpRequest) -> String {
    let scheme = redirect.scheme.as_deref().unwrap_or("http");
    let host = match &redirect.hostname {
        Some(host) => host.to_string(),
        None => without_port(&request.authority).to_owned(),
    };
    let well_known = if scheme == "https" { 443 } else { 80 };
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => port,
        (None, Some(_)) => well_known,
        (None, None) => port,
    };
    let shown = if port == well_known { String::new() } else { format!(":{port}") };
    let path = new_path(redirect.path.as_ref(), matched, request.path());
    format!("{scheme}://{host}{shown}{}", with_query(&path, request))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.ends_with(':') => host,
        _ => authority,
    }
}
