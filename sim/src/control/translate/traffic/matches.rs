//! Matches of HTTPRoutes and GRPCRoutes as the model has them.

use http::HeaderName;
use proxy_core::request::{Pattern, TextMatch};
use proxy_core::route::{HeaderMatch, HttpMatch, PathKind, PathMatch, QueryMatch};

use crate::cluster::gateway::{
    GrpcMethodMatch, NamedMatch, PathMatch as WrittenPath, PathMatchKind, RouteMatch, TextMatch as WrittenText,
};

/// A match; `None` if it can never match, which reading rules out. Of a repeated header or parameter the first counts.
pub(super) fn http_match(written: &RouteMatch) -> Option<HttpMatch> {
    let path = match (&written.path, &written.grpc) {
        (Some(path), _) => Some(path_kind(path)?),
        (None, Some(GrpcMethodMatch { is_regex, service, method })) => {
            PathKind::of_grpc_method(service.as_deref(), method.as_deref(), *is_regex).ok()?
        }
        (None, None) => None,
    };
    let mut headers: Vec<HeaderMatch> = Vec::new();
    for header in &written.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        if headers.iter().all(|known| known.name != name) {
            headers.push(HeaderMatch { name, value: text(header)? });
        }
    }
    let mut query: Vec<QueryMatch> = Vec::new();
    for parameter in &written.query {
        if query.iter().all(|known| known.name != parameter.name) {
            query.push(QueryMatch { name: parameter.name.clone(), value: text(parameter)? });
        }
    }
    Some(HttpMatch {
        path: path.map(|kind| PathMatch { kind, ignore_case: false }),
        method: written.method.clone().map(TextMatch::Exact),
        headers,
        query,
        ..HttpMatch::default()
    })
}

fn path_kind(written: &WrittenPath) -> Option<PathKind> {
    Some(match written.kind {
        PathMatchKind::Exact => PathKind::Exact(written.value.clone()),
        PathMatchKind::PathPrefix => PathKind::SegmentPrefix(written.value.clone()),
        PathMatchKind::RegularExpression => PathKind::Regex(Pattern::new(&written.value).ok()?),
    })
}

fn text(written: &NamedMatch) -> Option<TextMatch> {
    Some(match &written.value {
        WrittenText::Exact(text) => TextMatch::Exact(text.clone()),
        WrittenText::Regex(text) => TextMatch::Regex(Pattern::new(text).ok()?),
    })
}
