//! What VirtualServices do to requests and responses, as the model has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use proxy_core::request::{Share, TextMatch};
use proxy_core::route::{
    AbortStatus, Cors, Fault, Filters, HeaderChanges, OriginMatch, PathRewrite, Rewrite, UnmatchedPreflight,
};

use super::filters::header;
use crate::cluster::grpc_status;
use crate::cluster::istio::Percent;
use crate::cluster::istio::virtual_service::{
    CorsPolicy, HeaderOperation, HttpFault, HttpRewrite, HttpRule, ResponseBody, UnmatchedPreflights,
};

/// What a rule does besides its action.
pub(super) fn filters(rule: &HttpRule) -> Filters {
    let headers = rule.headers.as_ref();
    Filters {
        request_headers: headers.map(|headers| changes(&headers.request)).unwrap_or_default(),
        response_headers: headers.map(|headers| changes(&headers.response)).unwrap_or_default(),
        cors: rule.cors_policy.as_ref().map(cors),
        fault: rule.fault.as_ref().map(fault),
    }
}

/// Changes of headers. `:authority` and `host` mean the same.
pub(super) fn changes(written: &HeaderOperation) -> HeaderChanges {
    let plain = |name: &Arc<str>| -> Arc<str> { if &**name == ":authority" { "host".into() } else { name.clone() } };
    let pairs = |map: &BTreeMap<Arc<str>, Arc<str>>| -> Vec<(HeaderName, HeaderValue)> {
        map.iter().filter_map(|(name, value)| header(&plain(name), value)).collect()
    };
    HeaderChanges {
        remove: written.remove.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect(),
        set: pairs(&written.set),
        add: pairs(&written.add),
    }
}

fn cors(written: &CorsPolicy) -> Cors {
    let exact = written.allow_origin.iter().map(|origin| match &**origin {
        "*" => OriginMatch::Any,
        _ => OriginMatch::Text(TextMatch::Exact(origin.clone())),
    });
    let matched = written.allow_origins.iter().filter_map(|origin| {
        Some(match (&origin.exact, &origin.prefix, &origin.regex) {
            (Some(exact), ..) if &**exact == "*" => OriginMatch::Any,
            (Some(exact), ..) => OriginMatch::Text(TextMatch::Exact(exact.clone())),
            (_, Some(prefix), _) => OriginMatch::Text(TextMatch::Prefix(prefix.clone())),
            (.., Some(regex)) => OriginMatch::Text(TextMatch::Regex(regex.0.clone())),
            _ => return None,
        })
    });
    Cors {
        origins: exact.chain(matched).collect(),
        methods: written.allow_methods.clone(),
        headers: written.allow_headers.clone(),
        expose: written.expose_headers.clone(),
        credentials: written.allow_credentials.unwrap_or_default(),
        max_age: written.max_age.map(|span| span.0),
        unmatched: match written.unmatched_preflights {
            UnmatchedPreflights::Ignore => UnmatchedPreflight::Answer,
            UnmatchedPreflights::Unspecified | UnmatchedPreflights::Forward => UnmatchedPreflight::Forward,
        },
    }
}

fn fault(written: &HttpFault) -> Fault {
    // Nothing said is every request, as upstream.
    let share = |percent: Option<Percent>| percent.map_or(Share::ALL, |percent| Share::from_percentage(percent.value));
    let delay = written.delay.as_ref().and_then(|delay| {
        let whole = delay.percent.and_then(|percent| u32::try_from(percent).ok()).map(Share::percent);
        let share = if delay.percentage.is_some() { share(delay.percentage) } else { whole.unwrap_or(Share::ALL) };
        Some((share, delay.fixed_delay?.0))
    });
    let abort = written.abort.as_ref().and_then(|abort| {
        let http = abort.http_status.and_then(|status| u16::try_from(status).ok()).map(AbortStatus::Http);
        let grpc = abort.grpc_status.as_deref().and_then(grpc_status).map(AbortStatus::Grpc);
        Some((share(abort.percentage), http.or(grpc)?))
    });
    Fault { delay, abort }
}

pub(super) fn rewrite(written: &HttpRewrite) -> Rewrite {
    let by_expression = written.uri_regex_rewrite.as_ref().and_then(|regex| {
        let pattern = regex.r#match.as_ref()?.0.clone();
        Some(PathRewrite::Regex { pattern, substitution: regex.rewrite.clone() })
    });
    let path = written.uri.as_ref().map(|uri| PathRewrite::MatchedText(uri.clone())).or(by_expression);
    Rewrite { authority: written.authority.clone(), path }
}

/// The body of a `directResponse`.
pub(super) fn body(written: Option<&ResponseBody>) -> Bytes {
    let Some(written) = written else { return Bytes::new() };
    match (&written.string, &written.bytes) {
        (Some(text), _) => Bytes::copy_from_slice(text.as_bytes()),
        (None, Some(encoded)) => STANDARD.decode(encoded.as_bytes()).map(Bytes::from).unwrap_or_default(),
        (None, None) => Bytes::new(),
    }
}
