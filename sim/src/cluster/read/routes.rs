//! HTTPRoutes, GRPCRoutes, TCPRoutes and TLSRoutes as written.

use std::sync::Arc;
use std::time::Duration;

use gateway_api::apis::experimental::grpcroutes::{
    GrpcRouteRulesMatchesHeadersType, GrpcRouteRulesMatchesMethodType, GrpcRouteSpec,
};
use gateway_api::apis::experimental::httproutes::{
    HttpRouteRulesMatchesHeadersType, HttpRouteRulesMatchesPathType, HttpRouteRulesMatchesQueryParamsType,
    HttpRouteRulesRetry, HttpRouteRulesTimeouts, HttpRouteSpec,
};
use gateway_api::apis::experimental::tcproutes::TcpRouteSpec;
use gateway_api::apis::experimental::tlsroutes::TlsRouteSpec;

use super::filters::{backend, filters, grpc_filters};
use super::place::Place;
use crate::cluster::diagnostic::Problem;
use crate::cluster::gateway::{
    Filter, FilterAction, GrpcMethodMatch, NamedMatch, ParentReference, PathChange, PathMatch, PathMatchKind,
    RetryPolicy, Route, RouteMatch, RouteRule, RouteTimeouts, TextMatch,
};
use crate::cluster::names;
use crate::cluster::object::{GATEWAY_API, Kind, Meta};

/// Reads `parentRefs`, which every kind of route has a type of its own for.
macro_rules! parents {
    ($place:expr, $meta:expr, $written:expr) => {{
        let here = $place.field("parentRefs");
        let mut parents = Vec::new();
        for (index, written) in $written.iter().flatten().enumerate() {
            let here = here.item(index);
            let port = match written.port {
                Some(port) => here.field("port").check(names::port(port.into())),
                None => None,
            };
            parents.push(ParentReference {
                group: written.group.as_deref().unwrap_or(GATEWAY_API).into(),
                kind: written.kind.as_deref().unwrap_or("Gateway").into(),
                namespace: written.namespace.as_deref().unwrap_or($meta.namespace()).into(),
                name: written.name.as_str().into(),
                port,
                section: written.section_name.as_deref().map(Into::into),
            });
        }
        notice_parents($place, &parents);
        parents
    }};
}

pub(super) fn http_route(place: Place<'_>, meta: Meta, spec: HttpRouteSpec) -> Option<Route> {
    let here = place.field("spec");
    let parents = parents!(here, meta, spec.parent_refs);
    let mut rules = Vec::new();
    for (index, written) in spec.rules.iter().flatten().enumerate() {
        let here = here.field("rules").item(index);
        if written.session_persistence.is_some() {
            here.field("sessionPersistence").notice(Problem::new("`sessionPersistence` has no effect at a waypoint"));
        }
        let mut matches: Vec<RouteMatch> = Vec::new();
        for (index, written) in written.matches.iter().flatten().enumerate() {
            matches.extend(http_match(here.field("matches").item(index), written));
        }
        if written.matches.as_ref().is_none_or(Vec::is_empty) {
            matches.push(RouteMatch { path: Some(everything()), ..RouteMatch::default() });
        }
        let mut backends = Vec::new();
        for (index, written) in written.backend_refs.iter().flatten().enumerate() {
            let here = here.field("backendRefs").item(index);
            let own = super::filters::backend_filters(here.field("filters"), &meta, written.filters.as_deref());
            backends.extend(backend!(here, meta, written, written.weight).map(|mut backend| {
                backend.filters = own;
                backend
            }));
        }
        let rule = RouteRule {
            name: written.name.as_deref().map(Into::into),
            filters: filters(here.field("filters"), &meta, written.filters.as_deref()),
            matches,
            backends,
            timeouts: timeouts(here.field("timeouts"), written.timeouts.as_ref()),
            retry: written.retry.as_ref().map(|written| retry(here.field("retry"), written)),
        };
        check_rule(here, &rule);
        rules.push(rule);
    }
    let hostnames = spec.hostnames.unwrap_or_default();
    notice_hostnames(here, &parents, &hostnames);
    let hostnames = hostnames.into_iter().map(Into::into).collect();
    Some(Route { meta, kind: Kind::HttpRoute, parents, hostnames, rules })
}

pub(super) fn grpc_route(place: Place<'_>, meta: Meta, spec: GrpcRouteSpec) -> Option<Route> {
    let here = place.field("spec");
    let parents = parents!(here, meta, spec.parent_refs);
    let mut rules = Vec::new();
    for (index, written) in spec.rules.iter().flatten().enumerate() {
        let here = here.field("rules").item(index);
        if written.session_persistence.is_some() {
            here.field("sessionPersistence").notice(Problem::new("`sessionPersistence` has no effect at a waypoint"));
        }
        let mut matches = Vec::new();
        for (index, written) in written.matches.iter().flatten().enumerate() {
            let here = here.field("matches").item(index);
            let mut headers = Vec::new();
            for (index, header) in written.headers.iter().flatten().enumerate() {
                let regex = matches!(header.r#type, Some(GrpcRouteRulesMatchesHeadersType::RegularExpression));
                let here = here.field("headers").item(index);
                headers.extend(named(here, "header", &header.name, &header.value, regex));
            }
            let method = written.method.as_ref().map(|written| {
                let is_regex = matches!(written.r#type, Some(GrpcRouteRulesMatchesMethodType::RegularExpression));
                let here = here.field("method");
                for (field, text) in [("service", &written.service), ("method", &written.method)] {
                    if let Some(text) = text.as_deref().filter(|_| is_regex) {
                        here.field(field).check(names::regular_expression(text));
                    }
                }
                if written.service.is_none() && written.method.is_none() {
                    here.error(Problem::new("a method match needs `service`, `method` or both"));
                }
                let shared = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Into::into);
                GrpcMethodMatch { is_regex, service: shared(&written.service), method: shared(&written.method) }
            });
            matches.push(RouteMatch { headers, grpc: method, ..RouteMatch::default() });
        }
        if written.matches.as_ref().is_none_or(Vec::is_empty) {
            matches.push(RouteMatch::default());
        }
        let mut backends = Vec::new();
        for (index, written) in written.backend_refs.iter().flatten().enumerate() {
            let here = here.field("backendRefs").item(index);
            let own = super::filters::grpc_backend_filters(here.field("filters"), &meta, written.filters.as_deref());
            backends.extend(backend!(here, meta, written, written.weight).map(|mut backend| {
                backend.filters = own;
                backend
            }));
        }
        rules.push(RouteRule {
            name: written.name.as_deref().map(Into::into),
            filters: grpc_filters(here.field("filters"), &meta, written.filters.as_deref()),
            matches,
            backends,
            ..RouteRule::default()
        });
    }
    let hostnames = spec.hostnames.unwrap_or_default();
    notice_hostnames(here, &parents, &hostnames);
    let hostnames = hostnames.into_iter().map(Into::into).collect();
    Some(Route { meta, kind: Kind::GrpcRoute, parents, hostnames, rules })
}

/// Reads the rules of a layer-4 route.
macro_rules! layer4_rules {
    ($here:expr, $meta:expr, $rules:expr) => {{
        let mut rules = Vec::new();
        for (index, written) in $rules.iter().enumerate() {
            let here = $here.field("rules").item(index);
            let mut backends = Vec::new();
            for (index, written) in written.backend_refs.iter().enumerate() {
                let here = here.field("backendRefs").item(index);
                backends.extend(backend!(here, $meta, written, written.weight));
            }
            rules.push(RouteRule { name: written.name.as_deref().map(Into::into), backends, ..RouteRule::default() });
        }
        if rules.len() > 1 {
            let problem = Problem::new("only the first rule of a layer-4 route is used: there is nothing to match on");
            $here.field("rules").item(1).notice(problem);
        }
        rules
    }};
}

pub(super) fn tcp_route(place: Place<'_>, meta: Meta, spec: TcpRouteSpec) -> Option<Route> {
    let here = place.field("spec");
    let parents = parents!(here, meta, spec.parent_refs);
    let rules = layer4_rules!(here, meta, spec.rules);
    Some(Route { meta, kind: Kind::TcpRoute, parents, hostnames: Vec::new(), rules })
}

pub(super) fn tls_route(place: Place<'_>, meta: Meta, spec: TlsRouteSpec) -> Option<Route> {
    let here = place.field("spec");
    let parents = parents!(here, meta, spec.parent_refs);
    let rules = layer4_rules!(here, meta, spec.rules);
    let hostnames = spec.hostnames.into_iter().map(Into::into).collect();
    Some(Route { meta, kind: Kind::TlsRoute, parents, hostnames, rules })
}

fn everything() -> PathMatch {
    PathMatch { kind: PathMatchKind::PathPrefix, value: "/".into() }
}

fn http_match(
    place: Place<'_>,
    written: &gateway_api::apis::experimental::httproutes::HttpRouteRulesMatches,
) -> Option<RouteMatch> {
    let path = match &written.path {
        None => everything(),
        Some(written) => {
            let kind = match written.r#type {
                None | Some(HttpRouteRulesMatchesPathType::PathPrefix) => PathMatchKind::PathPrefix,
                Some(HttpRouteRulesMatchesPathType::Exact) => PathMatchKind::Exact,
                Some(HttpRouteRulesMatchesPathType::RegularExpression) => PathMatchKind::RegularExpression,
            };
            let value: Arc<str> = written.value.as_deref().unwrap_or("/").into();
            let here = place.field("path").field("value");
            match kind {
                PathMatchKind::RegularExpression => here.check(names::regular_expression(&value)),
                _ => here.check(path_value(&value)),
            };
            PathMatch { kind, value }
        }
    };
    let mut headers = Vec::new();
    for (index, header) in written.headers.iter().flatten().enumerate() {
        let regex = matches!(header.r#type, Some(HttpRouteRulesMatchesHeadersType::RegularExpression));
        headers.extend(named(place.field("headers").item(index), "header", &header.name, &header.value, regex));
    }
    let mut query = Vec::new();
    for (index, parameter) in written.query_params.iter().flatten().enumerate() {
        let regex = matches!(parameter.r#type, Some(HttpRouteRulesMatchesQueryParamsType::RegularExpression));
        let here = place.field("queryParams").item(index);
        query.extend(named(here, "query parameter", &parameter.name, &parameter.value, regex));
    }
    let method = place.field("method").node().and_then(|node| node.as_str()).map(Into::into);
    Some(RouteMatch { path: Some(path), method, headers, query, grpc: None })
}

/// What the API's own validation says of a path that is no regular expression.
fn path_value(value: &str) -> Result<(), Problem> {
    if !value.starts_with('/') {
        return Err(Problem::new(format!("`{value}` is not a path")).hint("begin it with `/`"));
    }
    const NEVER: [&str; 6] = ["//", "/./", "/../", "%2f", "%2F", "#"];
    if let Some(part) = NEVER.iter().find(|part| value.contains(**part)) {
        return Err(Problem::new(format!("a path to match may not contain `{part}`")));
    }
    if value.ends_with("/..") || value.ends_with("/.") {
        return Err(Problem::new("a path to match may not end in `/..` or `/.`"));
    }
    Ok(())
}

fn named(place: Place<'_>, what: &str, name: &str, value: &str, regex: bool) -> Option<NamedMatch> {
    place.field("name").check(names::header_name(what, name))?;
    let value = if regex {
        place.field("value").check(names::regular_expression(value))?;
        TextMatch::Regex(value.into())
    } else {
        TextMatch::Exact(value.into())
    };
    Some(NamedMatch { name: name.into(), value })
}

fn timeouts(place: Place<'_>, written: Option<&HttpRouteRulesTimeouts>) -> RouteTimeouts {
    let Some(written) = written else { return RouteTimeouts::default() };
    let read = |field: &str, text: &Option<String>| duration(place.field(field), text.as_deref()?);
    let timeouts = RouteTimeouts {
        request: read("request", &written.request),
        backend_request: read("backendRequest", &written.backend_request),
    };
    if let RouteTimeouts { request: Some(request), backend_request: Some(each) } = timeouts
        && !request.is_zero()
        && each > request
    {
        let problem = Problem::new("`backendRequest` is longer than `request`, of which it is a part");
        place.field("backendRequest").error(problem);
    }
    timeouts
}

/// GEP-2257: up to four numbers with `h`, `m`, `s` or `ms`.
pub(super) fn duration(place: Place<'_>, text: &str) -> Option<Duration> {
    match text.parse::<gateway_api::Duration>() {
        Ok(duration) => Some(Duration::new(duration.as_secs(), duration.subsec_nanos())),
        Err(_) => {
            let problem = Problem::new(format!("`{text}` is not a duration"));
            place.error(problem.hint("write whole numbers with `h`, `m`, `s` or `ms`, as `1m30s`"));
            None
        }
    }
}

fn retry(place: Place<'_>, written: &HttpRouteRulesRetry) -> RetryPolicy {
    let mut codes = Vec::new();
    for (index, code) in written.codes.iter().flatten().enumerate() {
        match u16::try_from(*code).ok().filter(|code| (400..600).contains(code)) {
            Some(code) => codes.push(code),
            None => place
                .field("codes")
                .item(index)
                .error(Problem::new(format!("status {code} cannot be retried")).hint("400 to 599 can")),
        }
    }
    let attempts = written.attempts.and_then(|attempts| {
        let here = place.field("attempts");
        here.check(u32::try_from(attempts).map_err(|_| Problem::new(format!("`{attempts}` is no number of attempts"))))
    });
    let backoff = written.backoff.as_deref().and_then(|text| duration(place.field("backoff"), text));
    RetryPolicy { codes, attempts, backoff }
}

/// What the API's own validation says of a rule as a whole.
fn check_rule(place: Place<'_>, rule: &RouteRule) {
    let here = place.field("filters");
    let mut redirects = 0;
    let mut rewrites = 0;
    for (index, filter) in rule.filters.iter().enumerate() {
        let Filter::Action(action) = filter else { continue };
        let (field, path) = match action {
            FilterAction::Redirect(redirect) => {
                redirects += 1;
                ("requestRedirect", &redirect.path)
            }
            FilterAction::Rewrite(rewrite) => {
                rewrites += 1;
                ("urlRewrite", &rewrite.path)
            }
            _ => continue,
        };
        let one_prefix = matches!(&rule.matches[..], [only] if only.path.as_ref().is_some_and(|path| path.kind == PathMatchKind::PathPrefix));
        if matches!(path, Some(PathChange::Prefix(_))) && !one_prefix {
            let problem = Problem::new("`replacePrefixMatch` needs a rule with exactly one match, a `PathPrefix`");
            here.item(index).field(field).field("path").error(problem);
        }
    }
    if redirects > 0 && rewrites > 0 {
        here.error(Problem::new("a rule cannot both redirect and rewrite"));
    }
    if redirects > 0 && !rule.backends.is_empty() {
        let problem = Problem::new("a rule that redirects sends nothing to `backendRefs`");
        place.field("backendRefs").error(problem.hint("remove `backendRefs`, or the redirect"));
    }
}

fn notice_parents(place: Place<'_>, parents: &[ParentReference]) {
    for (index, parent) in parents.iter().enumerate() {
        if parent.is_service() || parent.is_service_entry() || parent.is_gateway() {
            continue;
        }
        let problem = Problem::new(format!("a parent of kind `{}` is not simulated", parent.kind));
        let problem = match &*parent.kind {
            "Service" => problem.hint("a Service as parent needs `group: \"\"`"),
            _ => problem.hint("attach it to a Service: `group: \"\"`, `kind: Service`"),
        };
        place.field("parentRefs").item(index).field("kind").notice(problem);
    }
}

fn notice_hostnames(place: Place<'_>, parents: &[ParentReference], hostnames: &[String]) {
    if !hostnames.is_empty() && parents.iter().any(|parent| parent.is_service() || parent.is_service_entry()) {
        let problem = Problem::new("`hostnames` are ignored by a route attached to a Service");
        place.field("hostnames").notice(problem.hint("its requests are found by the Service's address"));
    }
}
