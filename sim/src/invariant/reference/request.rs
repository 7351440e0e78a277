//! [`HttpRequest`]: what of a request routes and policies look at.

use crate::record::ReceivedHead;

/// A request as it reached the waypoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::invariant) struct HttpRequest {
    /// As sent: `GET`.
    pub(in crate::invariant) method: String,
    /// Path and query as sent.
    pub(in crate::invariant) target: String,
    /// `:authority` or `Host`, with the port if there was one.
    pub(in crate::invariant) authority: String,
    /// In order of sending, without the authority.
    pub(in crate::invariant) headers: Vec<(String, String)>,
}

impl HttpRequest {
    /// As its client made it.
    pub(in crate::invariant) fn made(head: &ReceivedHead) -> Self {
        HttpRequest {
            method: head.method.clone(),
            target: head.path.clone(),
            authority: head.host.clone(),
            headers: head.headers.clone(),
        }
    }

    /// Without query and fragment.
    pub(in crate::invariant) fn path(&self) -> &str {
        self.target.split(['?', '#']).next().unwrap_or_default()
    }

    /// The query, without `?`; empty if there is none.
    pub(in crate::invariant) fn query(&self) -> &str {
        let whole = self.target.split('#').next().unwrap_or_default();
        whole.split_once('?').map_or("", |(_, query)| query)
    }

    /// First value of a query parameter.
    pub(in crate::invariant) fn parameter(&self, name: &str) -> Option<&str> {
        self.query().split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// All values of a header, joined as RFC 9110 §5.3 allows; `None` if it is absent.
    pub(in crate::invariant) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| &**value).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// A CORS preflight: OPTIONS that names an origin and a method to come.
    pub(in crate::invariant) fn is_preflight(&self) -> bool {
        self.method == "OPTIONS"
            && self.header("origin").is_some()
            && self.header("access-control-request-method").is_some()
    }

    /// Whether path and query mean the same under every way of normalizing and decoding them. Where they do not, the
    /// reference has no opinion.
    pub(in crate::invariant) fn is_plain(&self) -> bool {
        let path = self.path();
        path.starts_with('/')
            && !self.target.contains(['%', '\\', '+', '#', ';'])
            && !path.contains("//")
            && !path.split('/').any(|segment| matches!(segment, "." | ".."))
    }
}
