//! [`LocalReply`]: an answer of the waypoint's own, in the form the request's protocol wants.

use ::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::http::body::{self, Body};
use crate::grpc::{self, Code};
use crate::telemetry::{Reason, ResponseFlags};

/// An answer of the waypoint's own.
#[derive(Clone, Debug)]
pub(super) struct LocalReply {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) reason: Reason,
    pub(super) flags: Vec<ResponseFlags>,
    /// Response code details, in Envoy's words.
    pub(super) details: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Instead of what follows from the HTTP status.
    pub(super) grpc_status: Option<u32>,
}

impl LocalReply {
    /// The flag follows from the reason.
    pub(super) fn new(status: u16, reason: Reason, details: impl Into<String>, body: impl Into<String>) -> Self {
        let flags = match reason.flags() {
            ResponseFlags::None | ResponseFlags::Deny | ResponseFlags::Connect => Vec::new(),
            flag => vec![flag],
        };
        LocalReply {
            status,
            body: body.into(),
            reason,
            flags,
            details: details.into(),
            headers: Vec::new(),
            grpc_status: None,
        }
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// As HTTP: status and text; as gRPC: status 200, no body, and the gRPC status in the head.
    pub(super) fn to_response(&self, is_grpc: bool, method: &Method) -> Response<Body> {
        let mut response = Response::new(body::empty());
        if is_grpc {
            let status = self.grpc_status.unwrap_or(Code::from_http(self.status) as u32);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from(status));
            if !self.body.is_empty()
                && let Ok(message) = HeaderValue::try_from(grpc::percent_encode(&self.body, usize::MAX))
            {
                headers.insert("grpc-message", message);
            }
        } else {
            *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            if !self.body.is_empty() {
                response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
                let plain = HeaderValue::from_static("text/plain");
                response.headers_mut().insert(header::CONTENT_TYPE, plain);
                if *method != Method::HEAD {
                    *response.body_mut() = body::full(self.body.clone());
                }
            } else if self.status >= 200 && self.status != 204 && self.status != 304 {
                response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0));
            }
        }
        for (name, value) in &self.headers {
            if *name == header::CONTENT_TYPE {
                if !is_grpc {
                    response.headers_mut().insert(name, value.clone());
                }
            } else if *name != header::CONTENT_LENGTH {
                response.headers_mut().append(name, value.clone());
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_text_to_http_and_a_status_in_the_head_to_grpc() {
        let reply = LocalReply::new(403, Reason::PolicyDenied, "rbac", "RBAC: access denied");
        let http = reply.to_response(false, &Method::GET);
        assert_eq!(http.status(), 403);
        assert_eq!(http.headers()["content-length"], "19");
        let grpc = reply.to_response(true, &Method::POST);
        assert_eq!(grpc.status(), 200);
        assert_eq!(grpc.headers()["grpc-status"], "7");
        assert_eq!(grpc.headers()["grpc-message"], "RBAC: access denied");
        assert!(reply.flags.is_empty());
    }

    #[test]
    fn messages_with_odd_characters_are_escaped() {
        let reply = LocalReply::new(403, Reason::PolicyDenied, "rbac", "50% é\n");
        assert_eq!(reply.to_response(true, &Method::POST).headers()["grpc-message"], "50%25 %C3%A9%0A");
    }
}
