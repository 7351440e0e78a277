//! Matches of VirtualServices as the model has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;
use proxy_core::request::{ClaimPath, Pattern, TextMatch};
use proxy_core::route::{ClaimMatch, HeaderMatch, HttpMatch, PathKind, PathMatch, QueryMatch};

use crate::cluster::istio::StringMatch;
use crate::cluster::istio::virtual_service::HttpRuleMatch;
use crate::control::translate::binding::Waypoint;

/// A `match` entry on a port (`None`: everything); `None` if nothing can ever match it here. `sourceLabels` and gateways other than the mesh never apply;
/// `sourceNamespace` is the waypoint's own.
pub(super) fn http_match(written: Option<&HttpRuleMatch>, waypoint: &Waypoint<'_>, port: u16) -> Option<HttpMatch> {
    let Some(written) = written else { return Some(HttpMatch::default()) };
    let elsewhere = !written.gateways.is_empty() && written.gateways.iter().all(|gateway| &**gateway != "mesh");
    let other_namespace =
        written.source_namespace.as_ref().is_some_and(|wanted| !wanted.is_empty() && *wanted != waypoint.key.namespace);
    if elsewhere
        || other_namespace
        || !written.source_labels.is_empty()
        || written.port.is_some_and(|only| only != u32::from(port))
    {
        return None;
    }
    let mut matches = HttpMatch {
        path: written.uri.as_ref().and_then(|uri| path(uri, written.ignore_uri_case)),
        method: text_of(written.method.as_ref()),
        scheme: text_of(written.scheme.as_ref()),
        authority: text_of(written.authority.as_ref()).map(folded),
        ..HttpMatch::default()
    };
    read_headers(&written.headers, false, &mut matches);
    read_headers(&written.without_headers, true, &mut matches);
    for (name, value) in &written.query_params {
        matches.query.push(QueryMatch { name: name.clone(), value: present_or(value.as_ref()) });
    }
    Some(matches)
}

fn read_headers(written: &BTreeMap<Arc<str>, Option<StringMatch>>, negated: bool, matches: &mut HttpMatch) {
    for (name, value) in written {
        let value = present_or(value.as_ref());
        if let Some(claim) = ClaimPath::from_route_header(name) {
            matches.claims.push(ClaimMatch { claim, value, negated });
            continue;
        }
        // Pseudo headers may be written as headers.
        match (&**name, negated) {
            (":method", false) => matches.method = Some(value),
            (":authority" | "host" | "Host", false) => matches.authority = Some(folded(value)),
            (":scheme", false) => matches.scheme = Some(value),
            _ => {
                let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
                let into = if negated { &mut matches.without_headers } else { &mut matches.headers };
                into.push(HeaderMatch { name, value });
            }
        }
    }
}

fn path(written: &StringMatch, ignore_case: bool) -> Option<PathMatch> {
    let kind = match (&written.exact, &written.prefix, &written.regex) {
        (Some(exact), ..) => PathKind::Exact(exact.clone()),
        (_, Some(prefix), _) => PathKind::TextPrefix(prefix.clone()),
        (.., Some(regex)) => PathKind::Regex(match Pattern::ignoring_case(regex.0.as_str()) {
            Ok(pattern) if ignore_case => pattern,
            _ => regex.0.clone(),
        }),
        _ => return None,
    };
    Some(PathMatch { kind, ignore_case })
}

fn text_of(written: Option<&StringMatch>) -> Option<TextMatch> {
    let written = written?;
    Some(match (&written.exact, &written.prefix, &written.regex) {
        (Some(exact), ..) => TextMatch::Exact(exact.clone()),
        (_, Some(prefix), _) => TextMatch::Prefix(prefix.clone()),
        (.., Some(regex)) => TextMatch::Regex(regex.0.clone()),
        _ => return None,
    })
}

/// A match that says nothing asks only that it is there.
fn present_or(written: Option<&StringMatch>) -> TextMatch {
    text_of(written).unwrap_or(TextMatch::Present)
}

/// In lower case, as authorities are compared.
fn folded(text: TextMatch) -> TextMatch {
    let lower = |text: Arc<str>| -> Arc<str> { text.to_ascii_lowercase().into() };
    match text {
        TextMatch::Exact(text) => TextMatch::Exact(lower(text)),
        TextMatch::Prefix(text) => TextMatch::Prefix(lower(text)),
        TextMatch::Suffix(text) => TextMatch::Suffix(lower(text)),
        TextMatch::Regex(pattern) => TextMatch::Regex(Pattern::ignoring_case(pattern.as_str()).unwrap_or(pattern)),
        TextMatch::Present => TextMatch::Present,
    }
}
