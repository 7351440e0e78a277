//! An external authorization provider, as Istio's sample server is one: a request passes iff it has the header
//! `x-ext-authz: allow`. Asked over HTTP, or over gRPC as `envoy.service.auth.v3.Authorization/Check`.

use super::http1::{Headers, header};
use super::protobuf::{self, Value};
use crate::record::ReceivedHead;

const CHECK: (&str, &str) = ("x-ext-authz", "allow");
const RESULT: &str = "x-ext-authz-check-result";
const RECEIVED: &str = "x-ext-authz-check-received";
const OVERRIDE: &str = "x-ext-authz-additional-header-override";
/// What the gRPC side puts into [`OVERRIDE`]; the HTTP side repeats what it was given.
const GRPC_OVERRIDE: &str = "grpc-additional-header-override-value";

/// What an HTTP check answers: status, headers, body.
pub(crate) fn http_check(head: &ReceivedHead) -> (u16, Headers, String) {
    let allowed = allows(&head.headers);
    let named: Vec<String> = head.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let received = format!("{} {}{}, headers: [{}]", head.method, head.host, head.path, named.join(", "));
    let given = header(&head.headers, OVERRIDE).unwrap_or_default().to_owned();
    let headers = vec![
        (RESULT.to_owned(), result(allowed).to_owned()),
        (OVERRIDE.to_owned(), given),
        (RECEIVED.to_owned(), received),
    ];
    if allowed { (200, headers, String::new()) } else { (403, headers, denial()) }
}

/// What a gRPC check answers to a `CheckRequest`: a `CheckResponse`; `None` if it is not one.
pub(crate) fn grpc_check(request: &[u8]) -> Option<Vec<u8>> {
    protobuf::fields(request)?;
    // attributes.request.http
    let http = protobuf::bytes(request, 1)
        .and_then(|attributes| protobuf::bytes(attributes, 4))
        .and_then(|request| protobuf::bytes(request, 2))
        .unwrap_or_default();
    let mut headers = Headers::new();
    for (number, value) in protobuf::fields(http)? {
        if let (3, Value::Bytes(entry)) = (number, value) {
            headers.push((protobuf::text(entry, 1), protobuf::text(entry, 2)));
        }
    }
    let allowed = allows(&headers);
    let named: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let (method, host, path) = (protobuf::text(http, 2), protobuf::text(http, 5), protobuf::text(http, 4));
    let received = format!("{method} {host}{path}, headers: [{}]", named.join(", "));
    let mut inner = Vec::new();
    if !allowed {
        let mut status = Vec::new();
        protobuf::put_varint(&mut status, 1, 403);
        protobuf::put_bytes(&mut inner, 1, &status);
    }
    for (name, value) in [(RESULT, result(allowed)), (RECEIVED, &received), (OVERRIDE, GRPC_OVERRIDE)] {
        protobuf::put_bytes(&mut inner, 2, &header_option(name, value));
    }
    if !allowed {
        protobuf::put_bytes(&mut inner, 3, denial().as_bytes());
    }
    const PERMISSION_DENIED: u64 = 7;
    let mut status = Vec::new();
    if !allowed {
        protobuf::put_varint(&mut status, 1, PERMISSION_DENIED);
    }
    let mut response = Vec::new();
    protobuf::put_bytes(&mut response, 1, &status);
    protobuf::put_bytes(&mut response, if allowed { 3 } else { 2 }, &inner);
    Some(response)
}

fn allows(headers: &Headers) -> bool {
    header(headers, CHECK.0) == Some(CHECK.1)
}

fn result(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "denied" }
}

fn denial() -> String {
    format!("denied by ext_authz for not found header `{}: {}` in the request", CHECK.0, CHECK.1)
}

/// A `HeaderValueOption`.
fn header_option(name: &str, value: &str) -> Vec<u8> {
    let mut header = Vec::new();
    protobuf::put_bytes(&mut header, 1, name.as_bytes());
    protobuf::put_bytes(&mut header, 2, value.as_bytes());
    let mut option = Vec::new();
    protobuf::put_bytes(&mut option, 1, &header);
    option
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_request(headers: &[(&str, &str)]) -> Vec<u8> {
        let mut http = Vec::new();
        for (name, value) in headers {
            let mut entry = Vec::new();
            protobuf::put_bytes(&mut entry, 1, name.as_bytes());
            protobuf::put_bytes(&mut entry, 2, value.as_bytes());
            protobuf::put_bytes(&mut http, 3, &entry);
        }
        let wrap = |number, inner: &[u8]| {
            let mut outer = Vec::new();
            protobuf::put_bytes(&mut outer, number, inner);
            outer
        };
        wrap(1, &wrap(4, &wrap(2, &http)))
    }

    #[test]
    fn a_check_passes_with_the_header_only() {
        let head = |value: &str| ReceivedHead {
            method: "GET".to_owned(),
            path: "/x".to_owned(),
            host: "a".to_owned(),
            proto: "HTTP/1.1",
            headers: vec![("x-ext-authz".to_owned(), value.to_owned())],
        };
        assert_eq!(http_check(&head("allow")).0, 200);
        let (status, headers, body) = http_check(&head("deny"));
        assert_eq!((status, header(&headers, RESULT)), (403, Some("denied")));
        assert!(body.contains("x-ext-authz: allow"));
    }

    #[test]
    fn a_grpc_check_answers_ok_or_denied() {
        let allowed = grpc_check(&check_request(&[("x-ext-authz", "allow")])).unwrap();
        assert!(protobuf::bytes(&allowed, 3).is_some() && protobuf::bytes(&allowed, 2).is_none());
        let denied = grpc_check(&check_request(&[])).unwrap();
        let inner = protobuf::bytes(&denied, 2).unwrap();
        assert_eq!(protobuf::bytes(inner, 1).unwrap(), [8, 0x93, 0x03]);
        assert_eq!(grpc_check(&[0xff]), None);
    }
}
