//! VirtualServices as written, checked as upstream's admission checks them.

use proxy_core::grpc::Code;

use super::place::Place;
use crate::cluster::diagnostic::Problem;
use crate::cluster::istio::virtual_service::{
    Destination, HeaderOperations, HttpRule, HttpRuleMatch, VirtualService, VirtualServiceSpec,
};
use crate::cluster::istio::{Percent, StringMatch};
use crate::cluster::names;
use crate::cluster::object::Meta;

pub(super) fn virtual_service(place: Place<'_>, meta: Meta, spec: VirtualServiceSpec) -> VirtualService {
    let here = place.field("spec");
    if spec.hosts.is_empty() && spec.http.iter().all(|rule| rule.delegate.is_none()) && !spec.gateways.is_empty() {
        here.field("hosts").error(Problem::new("a VirtualService with gateways needs `hosts`"));
    }
    if spec.http.is_empty() && spec.tcp.is_empty() && spec.tls.is_empty() {
        here.error(Problem::new("this VirtualService has no routes").hint("write `http`, `tls` or `tcp`"));
    }
    let service = VirtualService { meta, spec };
    if !service.is_for_mesh() {
        let problem = Problem::new("ingress gateways are not simulated: this VirtualService has no effect");
        here.field("gateways").notice(problem.hint("add `mesh` to apply it to traffic inside the mesh"));
    }
    for (index, rule) in service.spec.http.iter().enumerate() {
        http_rule(here.field("http").item(index), rule);
    }
    for (index, rule) in service.spec.tcp.iter().enumerate() {
        let here = here.field("tcp").item(index);
        for (index, route) in rule.route.iter().enumerate() {
            destination(here.field("route").item(index).field("destination"), &route.destination);
        }
        for (index, matched) in rule.r#match.iter().enumerate() {
            port(here.field("match").item(index), matched.port);
        }
    }
    for (index, rule) in service.spec.tls.iter().enumerate() {
        let here = here.field("tls").item(index);
        for (index, route) in rule.route.iter().enumerate() {
            destination(here.field("route").item(index).field("destination"), &route.destination);
        }
        for (index, matched) in rule.r#match.iter().enumerate() {
            let here = here.field("match").item(index);
            port(here, matched.port);
            if matched.sni_hosts.is_empty() {
                here.error(Problem::new("a `tls` match needs `sniHosts`"));
            } else {
                here.field("sniHosts")
                    .notice(Problem::new("a waypoint does not look at the server name, only the port"));
            }
        }
    }
    service
}

fn port(place: Place<'_>, written: Option<u32>) {
    if let Some(number) = written {
        place.field("port").check(names::port(number.into()));
    }
}

fn http_rule(place: Place<'_>, rule: &HttpRule) {
    let ways = [
        ("route", !rule.route.is_empty()),
        ("redirect", rule.redirect.is_some()),
        ("directResponse", rule.direct_response.is_some()),
        ("delegate", rule.delegate.is_some()),
    ];
    let written: Vec<&str> = ways.iter().filter(|(_, written)| *written).map(|(field, _)| *field).collect();
    match &written[..] {
        [] => {
            place.error(Problem::new("this route goes nowhere").hint("write `route`, `redirect` or `directResponse`"))
        }
        [_] => {}
        [first, others @ ..] => {
            for other in others {
                place.key(other).error(Problem::new(format!("`{first}` and `{other}` exclude each other")));
            }
        }
    }
    if rule.redirect.is_some() {
        for (field, written) in [("fault", rule.fault.is_some()), ("rewrite", rule.rewrite.is_some())] {
            if written {
                place.key(field).error(Problem::new(format!("a redirect cannot have `{field}`")));
            }
        }
    }
    for (index, matched) in rule.r#match.iter().enumerate() {
        http_match(place.field("match").item(index), matched);
    }
    let total: u64 = rule.route.iter().map(|route| u64::from(route.weight.unwrap_or_default())).sum();
    if rule.route.len() > 1 && total == 0 {
        place.field("route").error(Problem::new("the weights of these destinations are all 0"));
    }
    for (index, route) in rule.route.iter().enumerate() {
        let here = place.field("route").item(index);
        destination(here.field("destination"), &route.destination);
        header_operations(here.field("headers"), route.headers.as_ref());
    }
    header_operations(place.field("headers"), rule.headers.as_ref());
    if let Some(mirror) = &rule.mirror {
        destination(place.field("mirror"), mirror);
        if !rule.mirrors.is_empty() {
            place.key("mirrors").error(Problem::new("`mirror` and `mirrors` exclude each other"));
        }
    }
    for (index, mirror) in rule.mirrors.iter().enumerate() {
        let here = place.field("mirrors").item(index);
        destination(here.field("destination"), &mirror.destination);
        percentage(here.field("percentage"), mirror.percentage);
    }
    percentage(place.field("mirrorPercentage"), rule.mirror_percentage);
    if let Some(redirect) = &rule.redirect {
        let here = place.field("redirect");
        if let Some(code) = redirect.redirect_code.filter(|code| ![301, 302, 303, 307, 308].contains(code)) {
            let problem = Problem::new(format!("{code} is no redirect"));
            here.field("redirectCode").error(problem.hint("one of 301, 302, 303, 307, 308"));
        }
        if redirect.port.is_some() && redirect.derive_port.is_some() {
            here.field("port").error(Problem::new("`port` and `derivePort` exclude each other"));
        }
        port(here, redirect.port);
    }
    if let Some(response) = &rule.direct_response {
        let here = place.field("directResponse");
        if !(200..600).contains(&response.status) {
            here.field("status").error(Problem::new(format!("{} is no status", response.status)).hint("200 to 599 is"));
        }
    }
    if let Some(rewrite) = &rule.rewrite
        && rewrite.uri.is_some()
        && rewrite.uri_regex_rewrite.is_some()
    {
        let here = place.field("rewrite");
        here.key("uri").error(Problem::new("`uri` and `uriRegexRewrite` exclude each other"));
    }
    if let Some(retries) = &rule.retries
        && retries.attempts < 0
    {
        let here = place.field("retries").field("attempts");
        here.error(Problem::new(format!("`{}` is no number of attempts", retries.attempts)));
    }
    fault(place.field("fault"), rule);
}

fn fault(place: Place<'_>, rule: &HttpRule) {
    let Some(fault) = &rule.fault else { return };
    if let Some(delay) = &fault.delay {
        let here = place.field("delay");
        percentage(here.field("percentage"), delay.percentage);
        if delay.exponential_delay.is_some() {
            here.field("exponentialDelay")
                .notice(Problem::new("`exponentialDelay` has no effect").hint("use `fixedDelay`"));
        } else if delay.fixed_delay.is_none() {
            here.error(Problem::new("a delay needs `fixedDelay`"));
        }
    }
    if let Some(abort) = &fault.abort {
        let here = place.field("abort");
        percentage(here.field("percentage"), abort.percentage);
        if abort.http2_error.is_some() {
            here.field("http2Error").notice(Problem::new("`http2Error` has no effect").hint("use `httpStatus`"));
        }
        match (abort.http_status, &abort.grpc_status) {
            (Some(status), _) if !(200..600).contains(&status) => {
                here.field("httpStatus").error(Problem::new(format!("{status} is no status")).hint("200 to 599 is"));
            }
            (None, None) if abort.http2_error.is_none() => {
                here.error(Problem::new("an abort needs `httpStatus` or `grpcStatus`"));
            }
            (None, Some(status)) if grpc_status(status).is_none() => {
                let problem = Problem::new(format!("`{status}` is no gRPC status"));
                here.field("grpcStatus").error(problem.hint("write its name, as `UNAVAILABLE`, or its number"));
            }
            _ => {}
        }
    }
}

/// A gRPC status by name or number.
pub(crate) fn grpc_status(text: &str) -> Option<u32> {
    let by_name = Code::NAMES.iter().position(|name| *name == text).and_then(|index| u32::try_from(index).ok());
    by_name.or_else(|| text.parse().ok().filter(|number| *number <= 16))
}

fn percentage(place: Place<'_>, written: Option<Percent>) {
    if let Some(Percent { value }) = written.filter(|percent| !(0.0..=100.0).contains(&percent.value)) {
        place.field("value").error(Problem::new(format!("`{value}` is no percentage")).hint("0 to 100 is"));
    }
}

fn destination(place: Place<'_>, written: &Destination) {
    if written.host.is_empty() {
        place.error(Problem::new("a destination needs `host`"));
    }
    if let Some(port) = written.port {
        place.field("port").field("number").check(names::port(port.number.into()));
    }
}

fn header_operations(place: Place<'_>, written: Option<&HeaderOperations>) {
    let Some(written) = written else { return };
    for (field, operation) in [("request", &written.request), ("response", &written.response)] {
        let here = place.field(field);
        for (field, headers) in [("set", &operation.set), ("add", &operation.add)] {
            for name in headers.keys() {
                here.field(field).key(name).check(header_or_authority(name));
            }
        }
        for (index, name) in operation.remove.iter().enumerate() {
            here.field("remove").item(index).check(header_or_authority(name));
        }
    }
}

fn header_or_authority(name: &str) -> Result<(), Problem> {
    if name == ":authority" { Ok(()) } else { names::header_name("header", name) }
}

fn http_match(place: Place<'_>, matched: &HttpRuleMatch) {
    for (field, text) in [
        ("uri", &matched.uri),
        ("scheme", &matched.scheme),
        ("method", &matched.method),
        ("authority", &matched.authority),
    ] {
        if let Some(text) = text {
            string_match(place.field(field), text, false);
        }
    }
    let maps = [
        ("headers", &matched.headers),
        ("withoutHeaders", &matched.without_headers),
        ("queryParams", &matched.query_params),
    ];
    for (field, map) in maps {
        let here = place.field(field);
        for (name, text) in map {
            if field != "queryParams" && !name.starts_with('@') && !name.starts_with(':') {
                here.key(name).check(names::header_name("header", name));
            }
            if let Some(text) = text {
                string_match(here.field(name), text, true);
            }
        }
    }
    port(place, matched.port);
    if !matched.source_labels.is_empty() {
        let problem = Problem::new("`sourceLabels` never matches at a waypoint: it does not know the client's labels");
        place.field("sourceLabels").notice(problem.hint("match on `sourceNamespace`, or on a header"));
    }
    if matched.source_namespace.is_some() {
        let problem = Problem::new("`sourceNamespace` is compared with the waypoint's own namespace");
        place.field("sourceNamespace").notice(problem);
    }
}

fn string_match(place: Place<'_>, text: &StringMatch, may_be_empty: bool) {
    match text.written() {
        1 => {}
        0 if may_be_empty => {}
        0 => place.error(Problem::new("this match is empty").hint("write `exact`, `prefix` or `regex`")),
        _ => place.error(Problem::new("`exact`, `prefix` and `regex` exclude each other")),
    }
}
