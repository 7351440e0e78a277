//! The heads of requests and responses as they pass: what belongs to one connection goes, what a waypoint adds comes.

use std::fmt::Write as _;
use std::sync::Arc;

use ::http::uri::{Authority, PathAndQuery, Scheme};
use ::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};

use crate::hbone::TraceParent;
use crate::host::Rng;
use crate::identity::Identity;
use crate::route::{TraceFormat, Tracing};
use crate::telemetry::TraceId;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
pub(super) const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
pub(super) const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const CLIENT_CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const PEER_METADATA: [HeaderName; 2] =
    [HeaderName::from_static("x-envoy-peer-metadata"), HeaderName::from_static("x-envoy-peer-metadata-id")];
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const B3: HeaderName = HeaderName::from_static("b3");

/// Removes what belongs to the connection a message came in (RFC 9110, 7.6.1): named in `Connection`, or always so.
/// `te: trailers` stays, for gRPC needs it.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap, keep_upgrade: bool) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // A client may not have such headers removed as decide what a request is.
        .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH && *name != header::TE)
        .filter(|name| !keep_upgrade || *name != header::UPGRADE)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [header::CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let trailers = headers.get_all(header::TE).iter().any(|value| {
        value.to_str().is_ok_and(|text| text.split(',').any(|one| one.trim().eq_ignore_ascii_case("trailers")))
    });
    headers.remove(header::TE);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if keep_upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(header::UPGRADE);
    }
}

/// Whether a request asks for a WebSocket over HTTP/1.1, or for something else.
pub(super) fn upgrade_of(headers: &HeaderMap) -> Option<String> {
    let wants = headers.get_all(header::CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|text| text.split(',').any(|one| one.trim().eq_ignore_ascii_case("upgrade")))
    });
    let to = headers.get(header::UPGRADE)?.to_str().ok()?.to_ascii_lowercase();
    (wants && to != "h2c").then_some(to)
}

/// `:authority`, or the authority of an absolute target, or `Host`.
pub(super) fn authority_of<B>(request: &Request<B>) -> Option<Arc<str>> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str().into());
    }
    request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(Arc::from)
}

/// Whether it is gRPC, by its content type.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) else { return false };
    kind.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// What is put on every request on its way to a backend.
pub(super) fn decorate(
    headers: &mut HeaderMap,
    certificate: Option<(&Identity, &Identity)>,
    names: &mut Rng,
) -> Arc<str> {
    for name in PEER_METADATA {
        headers.remove(name);
    }
    headers.remove(ATTEMPT_COUNT);
    headers.remove(CLIENT_CERTIFICATE);
    if let Some((own, client)) = certificate
        && let Ok(value) = HeaderValue::try_from(format!("By={own};URI={client}"))
    {
        headers.insert(CLIENT_CERTIFICATE, value);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(id) = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty()) {
        return id.into();
    }
    let id = uuid(names);
    if let Ok(value) = HeaderValue::try_from(&*id) {
        headers.insert(REQUEST_ID, value);
    }
    id
}

/// What is taken off every response on its way to the client, and put on it.
pub(super) fn decorate_response(headers: &mut HeaderMap) {
    for name in PEER_METADATA {
        headers.remove(name);
    }
    headers.insert(header::SERVER, HeaderValue::from_static("istio-envoy"));
}

/// A random UUID (version 4).
fn uuid(rng: &mut Rng) -> Arc<str> {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

/// The span of this hop in the trace the client began, or in a new one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) trace: TraceId,
    pub(super) span: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) sampled: bool,
}

impl Span {
    /// As what follows from this hop is told of it.
    pub(super) fn parent(&self) -> TraceParent {
        TraceParent { trace: self.trace, span: self.span, flags: u8::from(self.sampled) }
    }
}

/// Continues the trace of a request, or begins one, and writes it on. A decision the client took is kept; else `tracing`
/// says how many are sampled, drawn from `rng`.
pub(super) fn trace(headers: &mut HeaderMap, tracing: &Tracing, names: &mut Rng, rng: &mut Rng) -> Span {
    let fresh = TraceParent::random(names);
    let mut found: Option<(TraceId, Option<[u8; 8]>, Option<bool>)> = None;
    for format in &tracing.formats {
        found = found.or_else(|| match format {
            TraceFormat::W3c => {
                let parent: TraceParent = headers.get(TRACEPARENT)?.to_str().ok()?.parse().ok()?;
                Some((parent.trace, Some(parent.span), Some(parent.flags & 1 == 1)))
            }
            TraceFormat::B3 => read_b3(headers),
        });
    }
    let (trace, parent, decided) = found.unwrap_or((fresh.trace, None, None));
    let sampled = decided.unwrap_or_else(|| tracing.sampling.draws(rng));
    let span = Span { trace, span: fresh.span, parent, sampled };
    for format in &tracing.formats {
        match format {
            TraceFormat::W3c => {
                let next = TraceParent { trace, span: span.span, flags: u8::from(sampled) };
                put(headers, TRACEPARENT, next.to_string());
            }
            TraceFormat::B3 => {
                headers.remove(B3);
                put(headers, HeaderName::from_static("x-b3-traceid"), hex(&trace.0));
                put(headers, HeaderName::from_static("x-b3-spanid"), hex(&span.span));
                if let Some(parent) = parent {
                    put(headers, HeaderName::from_static("x-b3-parentspanid"), hex(&parent));
                }
                put(headers, HeaderName::from_static("x-b3-sampled"), u8::from(sampled).to_string());
            }
        }
    }
    span
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The single header or the several; trace ids of 64 bits are filled up with zeros.
fn read_b3(headers: &HeaderMap) -> Option<(TraceId, Option<[u8; 8]>, Option<bool>)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let wide = |text: &str| if text.len() == 16 { unhex(&format!("{:0>32}", text)) } else { unhex(text) };
    let flag = |text: &str| match text {
        "1" | "d" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    };
    if let Some(single) = text("b3") {
        let mut parts = single.split('-');
        let trace = wide(parts.next()?)?;
        return Some((TraceId(trace), parts.next().and_then(unhex), parts.next().and_then(flag)));
    }
    let trace = wide(text("x-b3-traceid")?)?;
    let debug = text("x-b3-flags") == Some("1");
    let sampled = if debug { Some(true) } else { text("x-b3-sampled").and_then(flag) };
    Some((TraceId(trace), text("x-b3-spanid").and_then(unhex), sampled))
}

/// The target of a request to a backend: path for HTTP/1.1 with `Host`, whole for HTTP/2.
pub(super) fn retarget(request: &mut Request<()>, path: PathAndQuery, authority: &str, http2: bool) -> Option<()> {
    let mut parts = ::http::uri::Parts::default();
    parts.path_and_query = Some(path);
    request.headers_mut().remove(header::HOST);
    if http2 {
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(Authority::try_from(authority).ok()?);
    } else {
        request.headers_mut().insert(header::HOST, HeaderValue::try_from(authority).ok()?);
    }
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.version_mut() = if http2 { ::http::Version::HTTP_2 } else { ::http::Version::HTTP_11 };
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Share;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_belongs_to_one_connection_goes_and_nothing_else() {
        let mut sent = headers(&[
            ("connection", "close, x-private, host"),
            ("keep-alive", "5"),
            ("x-private", "1"),
            ("te", "gzip, trailers"),
            ("upgrade", "h2c"),
            ("host", "a"),
            ("x-public", "1"),
        ]);
        strip_hop_by_hop(&mut sent, false);
        let mut left: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("host", "a"), ("te", "trailers"), ("x-public", "1")]);
    }

    #[test]
    fn a_request_id_is_kept_or_made() {
        let mut rng = Rng::from_number(1);
        let mut with = headers(&[("x-request-id", "mine"), ("x-envoy-peer-metadata", "secret")]);
        assert_eq!(&*decorate(&mut with, None, &mut rng), "mine");
        assert!(!with.contains_key("x-envoy-peer-metadata"));
        let mut without = HeaderMap::new();
        let id = decorate(&mut without, None, &mut rng);
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert_eq!(without["x-request-id"], *id);
    }

    #[test]
    fn a_forged_client_certificate_is_removed_or_replaced() {
        let mut rng = Rng::from_number(1);
        let mut forged = headers(&[("x-forwarded-client-cert", "URI=spiffe://evil")]);
        decorate(&mut forged, None, &mut rng);
        assert!(!forged.contains_key("x-forwarded-client-cert"));
        let (own, client) = (Identity::new("td", "a", "waypoint"), Identity::new("td", "b", "client"));
        decorate(&mut forged, Some((&own, &client)), &mut rng);
        assert_eq!(forged["x-forwarded-client-cert"], "By=spiffe://td/ns/a/sa/waypoint;URI=spiffe://td/ns/b/sa/client");
    }

    #[test]
    fn traces_are_continued_in_the_clients_form_and_decision() {
        let (mut names, mut rng) = (Rng::from_number(1), Rng::from_number(2));
        let tracing = Tracing {
            sampling: Share::NONE,
            formats: vec![TraceFormat::W3c, TraceFormat::B3],
            tags: Default::default(),
        };
        let mut w3c = headers(&[("traceparent", "00-abababababababababababababababab-cdcdcdcdcdcdcdcd-01")]);
        let span = trace(&mut w3c, &tracing, &mut names, &mut rng);
        assert_eq!((span.trace, span.parent, span.sampled), (TraceId([0xab; 16]), Some([0xcd; 8]), true));
        assert_eq!(w3c["x-b3-parentspanid"], "cdcdcdcdcdcdcdcd");
        let mut b3 = headers(&[("b3", "abababababababab-cdcdcdcdcdcdcdcd-1")]);
        let span = trace(&mut b3, &tracing, &mut names, &mut rng);
        assert!(span.sampled && span.trace.0[..8] == [0; 8] && !b3.contains_key("b3"));
        let mut none = HeaderMap::new();
        assert!(!trace(&mut none, &tracing, &mut names, &mut rng).sampled);
        assert!(none["traceparent"].to_str().unwrap().ends_with("-00"));
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        assert!(is_grpc(&headers(&[("content-type", "application/grpc+proto")])));
        assert!(!is_grpc(&headers(&[("content-type", "application/grpc-web")])));
        assert!(!is_grpc(&headers(&[])));
    }
}
