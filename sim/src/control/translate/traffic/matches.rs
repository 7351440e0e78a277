//! Matches of HTTPRoutes and GRPCRoutes as the model has them.

use http::HeaderName;
use proxy_core::request::{Pattern, TextMatch};
use proxy_core::route::{HeaderMatch, HttpMatch, PathKind, PathMatch, QueryMatch};

use super::filters::escape;
use crate::cluster::gateway::{
    GrpcMethodMatch, NamedMatch, PathMatch as WrittenPath, PathMatchKind, RouteMatch, TextMatch as WrittenText,
};

/// A match; `None` if it can never match, which reading rules out. Of a repeated header or parameter the first counts.
pub(super) fn http_match(written: &RouteMatch) -> Option<HttpMatch> {
    let path = match (&written.path, &written.grpc) {
        (Some(path), _) => Some(path_kind(path)?),
        (None, Some(method)) => grpc_path(method)?,
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

/// A gRPC call is a request for `/service/method`. Outer `None`: not possible; inner: any call.
#[allow(clippy::option_option, reason = "any call and no possible call differ")]
fn grpc_path(written: &GrpcMethodMatch) -> Option<Option<PathKind>> {
    let GrpcMethodMatch { is_regex, service, method } = written;
    Some(Some(match (is_regex, service.as_deref(), method.as_deref()) {
        (_, None, None) => return Some(None),
        (false, Some(service), Some(method)) => PathKind::Exact(format!("/{service}/{method}").into()),
        (false, Some(service), None) => PathKind::TextPrefix(format!("/{service}/").into()),
        (false, None, Some(method)) => PathKind::Regex(Pattern::new(&format!("/[^/]+/{}", escape(method))).ok()?),
        (true, Some(service), Some(method)) => PathKind::Regex(Pattern::new(&format!("/{service}/{method}")).ok()?),
        (true, Some(service), None) => PathKind::Regex(Pattern::new(&format!("/{service}/.+")).ok()?),
        (true, None, Some(method)) => PathKind::Regex(Pattern::new(&format!("/[^/]+/{method}")).ok()?),
    }))
}
