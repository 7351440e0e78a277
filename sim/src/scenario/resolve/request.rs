//! HTTP requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{MOST_REQUESTS, Resolver};
use crate::app::{GrpcCall, Headers, RequestKind, Scheme};
use crate::cluster::diagnostic::Problem;
use crate::cluster::yaml::{Position, Spanned};
use crate::scenario::plan::{Action, Destination, RequestPlan};
use crate::scenario::quantity::Size;
use crate::scenario::schema::{HttpVersion, RequestStep, Texts};

/// The most requests of a step under way at a time.
const MOST_AT_A_TIME: u32 = 10_000;
/// The most messages of one gRPC call.
const MOST_MESSAGES: u32 = 10_000;

impl Resolver {
    pub(super) fn request(&mut self, step: &Spanned<RequestStep>, may_miss: bool) -> Option<(Action, String)> {
        let (from, mut to) = self.ends(&step.from, &step.to, Scheme::Http, may_miss)?;
        let body = match (&step.body, step.body_size) {
            (Some(_), Some(_)) => {
                self.complain(step.position, Problem::new("a request has either `body` or `body_size`"));
                return None;
            }
            (Some(text), None) => Bytes::from(text.clone()),
            (None, size) => made_up_body(size.unwrap_or_default()),
        };
        for (name, count, most) in [
            ("count", u128::from(step.count), MOST_REQUESTS),
            ("concurrency", u128::from(step.concurrency), u128::from(MOST_AT_A_TIME)),
        ] {
            if count == 0 {
                self.complain(step.position, Problem::new(format!("`{name}` is at least 1")));
            } else if count > most {
                self.complain(step.position, Problem::new(format!("`{name}` is at most {most}")));
            }
        }
        // HTTP/2 forbids the headers of HTTP/1.1 that are about connections (RFC 9113 §8.2.2).
        if step.http == HttpVersion::Http2 || step.grpc.is_some() {
            const OF_CONNECTIONS: [&str; 5] =
                ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
            let forbidden = |name: &&String| OF_CONNECTIONS.iter().any(|known| name.eq_ignore_ascii_case(known));
            if let Some(name) = step.headers.keys().find(forbidden) {
                let problem = Problem::new(format!("header `{name}` is not allowed over HTTP/2"));
                self.complain(step.position, problem.hint("remove it, or use HTTP/1.1"));
            }
        }
        add_query(&mut to, &step.query);
        let mut headers = self.headers(&step.headers, step.position)?;
        let kind = self.kind(step, &mut to, &mut headers)?;
        let grpc = matches!(kind, RequestKind::Grpc(_));
        let what = match &kind {
            RequestKind::Plain => step.method.clone(),
            RequestKind::Grpc(call) if call.messages == 1 => format!("gRPC {} at", to.target.path),
            RequestKind::Grpc(call) => format!("gRPC {} with {} messages at", to.target.path, call.messages),
            RequestKind::WebSocket(texts) => format!("WebSocket with {} messages at", texts.len()),
        };
        let times = if step.count == 1 { String::new() } else { format!("{} × ", step.count) };
        let summary = format!("{times}{what} {} from {}", step.to.value, step.from.value);
        let token = match &step.token {
            Some(token) => Some(self.token(token)?),
            None => None,
        };
        let plan = RequestPlan {
            from,
            to,
            method: if grpc { "POST".into() } else { self.method(&step.method, step.position)? },
            headers,
            body,
            kind,
            token,
            count: step.count,
            concurrency: step.concurrency.max(1),
            explain: step.explain,
            interval: step.interval.0,
            keep_alive: step.keep_alive,
            http2: grpc || step.http == HttpVersion::Http2,
            timeout: step.timeout.0,
        };
        Some((Action::Request(Box::new(plan)), summary))
    }

    fn kind(
        &mut self,
        step: &Spanned<RequestStep>,
        to: &mut Destination,
        headers: &mut Headers,
    ) -> Option<RequestKind> {
        let has_body = step.body.is_some() || step.body_size.is_some();
        match (&step.grpc, &step.websocket) {
            (None, None) => Some(RequestKind::Plain),
            (Some(grpc), Some(_)) => {
                self.complain(grpc.position, Problem::new("a request is either `grpc` or `websocket`"));
                None
            }
            (Some(grpc), None) => {
                if has_body || step.method != "GET" || &*to.target.path != "/" {
                    let problem = Problem::new("a gRPC call has no `method`, `body`, `query` or path of its own");
                    let hint = "its path is `/service/method`, its body the `message`";
                    self.complain(grpc.position, problem.hint(hint));
                    return None;
                }
                let path = format!("/{}/{}", grpc.service, grpc.method);
                if path.parse::<http::uri::PathAndQuery>().is_err() || path.contains('?') {
                    self.complain(grpc.position, Problem::new(format!("`{path}` is not the path of a gRPC method")));
                    return None;
                }
                if grpc.stream > MOST_MESSAGES {
                    let problem = Problem::new(format!("a gRPC call has at most {MOST_MESSAGES} messages"));
                    self.complain(grpc.position, problem);
                }
                to.target.path = path.into();
                headers.extend(self.headers(&grpc.metadata, grpc.position)?);
                Some(RequestKind::Grpc(GrpcCall { message: grpc.message.clone(), messages: grpc.stream }))
            }
            (None, Some(websocket)) => {
                if has_body || step.method != "GET" || step.http == HttpVersion::Http2 {
                    let problem = Problem::new("a WebSocket begins with a GET over HTTP/1.1 without a body");
                    self.complain(websocket.position, problem.hint("take `method`, `body` and `http` out"));
                    return None;
                }
                Some(RequestKind::WebSocket(websocket.messages.0.clone()))
            }
        }
    }

    pub(super) fn method(&mut self, method: &str, position: Position) -> Option<Arc<str>> {
        if http::Method::from_bytes(method.as_bytes()).is_ok() {
            return Some(method.into());
        }
        self.complain(position, Problem::new(format!("`{method}` is not an HTTP method")));
        None
    }

    pub(super) fn headers(&mut self, headers: &BTreeMap<String, Texts>, position: Position) -> Option<Headers> {
        let mut read = Headers::new();
        for (name, values) in headers {
            for value in &values.0 {
                let ok = name.parse::<http::HeaderName>().is_ok() && http::HeaderValue::from_str(value).is_ok();
                if !ok {
                    self.complain(position, Problem::new(format!("`{name}: {value}` is not an HTTP header")));
                    return None;
                }
                read.push((name.to_ascii_lowercase(), value.clone()));
            }
        }
        Some(read)
    }
}

/// Adds parameters to the query of a target, percent-encoded.
fn add_query(to: &mut Destination, query: &BTreeMap<String, Texts>) {
    let mut path = to.target.path.to_string();
    for (name, values) in query {
        for value in &values.0 {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&encoded(name));
            path.push('=');
            path.push_str(&encoded(value));
        }
    }
    to.target.path = path.into();
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// A request body of this size.
pub(super) fn made_up_body(size: Size) -> Bytes {
    const MOST: u64 = 1 << 28;
    Bytes::from(vec![b'x'; size.0.min(MOST) as usize])
}
