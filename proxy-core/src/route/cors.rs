//! Cross-origin rules applied to a request.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{Cors, OriginMatch, UnmatchedPreflight};
use crate::request::{RequestView, joined_header};

/// What cross-origin rules make of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsDecision {
    /// Nothing: it goes on as if there were no rules.
    Pass,
    /// It goes on, and its response gets these headers in place of the backend's.
    Allow(CorsHeaders),
    /// It is a preflight: answered 200 here, with these headers and no body; none if its origin is not allowed.
    Preflight(CorsHeaders),
}

/// Headers of a response to another origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsHeaders(pub Vec<(HeaderName, HeaderValue)>);

impl CorsHeaders {
    /// Puts them in place of what the backend said.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.insert(name.clone(), value.clone());
        }
    }
}

impl Cors {
    /// Decides on one request. An allowed origin is answered by its own name, never by `*`.
    pub fn judge(&self, request: &RequestView<'_>) -> CorsDecision {
        let Some(origin) = request.headers.get(header::ORIGIN) else { return CorsDecision::Pass };
        let asked = origin.to_str().unwrap_or_default();
        let allowed = self.origins.iter().any(|wanted| wanted.matches(asked));
        match (request.is_cors_preflight(), allowed) {
            (true, true) => CorsDecision::Preflight(self.preflight(origin, request)),
            (true, false) if self.unmatched == UnmatchedPreflight::Answer => {
                CorsDecision::Preflight(CorsHeaders::default())
            }
            (false, true) => CorsDecision::Allow(self.actual(origin)),
            (_, false) => CorsDecision::Pass,
        }
    }

    fn actual(&self, origin: &HeaderValue) -> CorsHeaders {
        let mut headers = vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())];
        if self.credentials {
            headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        if let Some(exposed) = list(&self.expose) {
            headers.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed));
        }
        CorsHeaders(headers)
    }

    fn preflight(&self, origin: &HeaderValue, request: &RequestView<'_>) -> CorsHeaders {
        let mut headers = self.actual(origin);
        // With credentials `*` is no wildcard to a browser: what was asked for is allowed by name.
        let answer = |allowed: &[std::sync::Arc<str>], asked: HeaderName| match allowed {
            [one] if **one == *"*" && self.credentials => {
                joined_header(request.headers, &asked).and_then(|text| HeaderValue::from_str(&text).ok())
            }
            list_of => list(list_of),
        };
        if let Some(methods) = answer(&self.methods, header::ACCESS_CONTROL_REQUEST_METHOD) {
            headers.0.push((header::ACCESS_CONTROL_ALLOW_METHODS, methods));
        }
        if let Some(names) = answer(&self.headers, header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.0.push((header::ACCESS_CONTROL_ALLOW_HEADERS, names));
        }
        if let Some(age) = self.max_age {
            headers.0.push((header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age.as_secs())));
        }
        headers
    }
}

/// `a,b`; `None` if there is nothing to say.
fn list(names: &[std::sync::Arc<str>]) -> Option<HeaderValue> {
    let text = names.iter().map(|name| &**name).collect::<Vec<_>>().join(",");
    HeaderValue::from_str(&text).ok().filter(|_| !text.is_empty())
}

impl OriginMatch {
    /// From Gateway API's `allowOrigins`: exact; `*` any; one `*` at the end a prefix; elsewhere any characters.
    ///
    /// # Errors
    /// Never in practice: only if what is built is too large.
    pub fn from_gateway_api(text: &str) -> Result<Self, crate::request::InvalidPattern> {
        use crate::request::{Pattern, TextMatch};
        let text_match = match text.split_once('*') {
            None => TextMatch::Exact(text.into()),
            Some(("", "")) => return Ok(OriginMatch::Any),
            Some((prefix, "")) => TextMatch::Prefix(prefix.into()),
            Some(_) => {
                let parts: Vec<String> = text.split('*').map(regex::escape).collect();
                TextMatch::Regex(Pattern::new(&parts.join(".*"))?)
            }
        };
        Ok(OriginMatch::Text(text_match))
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            OriginMatch::Any => {
                let host = origin.split_once("://").map(|(scheme, host)| (!scheme.is_empty(), host));
                host.is_some_and(|(scheme, host)| scheme && !host.is_empty() && !host.contains(['/', '?', '#', '@']))
            }
            OriginMatch::Text(wanted) => wanted.matches(origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;
    use crate::request::TextMatch;

    fn rules(origins: &[&str]) -> Cors {
        Cors {
            origins: origins.iter().map(|origin| OriginMatch::from_gateway_api(origin).unwrap()).collect(),
            methods: vec!["GET".into(), "PUT".into()],
            headers: vec!["x-one".into()],
            expose: vec!["x-seen".into()],
            credentials: false,
            max_age: Some(Duration::from_secs(5)),
            unmatched: UnmatchedPreflight::Answer,
        }
    }

    fn judge(cors: &Cors, method: &Method, pairs: &[(&'static str, &'static str)]) -> CorsDecision {
        let name = HeaderName::from_static;
        let headers: HeaderMap =
            pairs.iter().map(|(key, value)| (name(key), HeaderValue::from_static(value))).collect();
        cors.judge(&RequestView {
            method,
            scheme: "http",
            authority: "a",
            path_and_query: "/",
            headers: &headers,
            claims: None,
        })
    }

    fn preflight(cors: &Cors, origin: &'static str) -> Option<String> {
        let asked = [
            ("origin", origin),
            ("access-control-request-method", "DELETE"),
            ("access-control-request-headers", "x-a, x-b"),
        ];
        match judge(cors, &Method::OPTIONS, &asked) {
            CorsDecision::Preflight(headers) => {
                let text = |(name, value): &(HeaderName, HeaderValue)| {
                    let name = name.as_str().strip_prefix("access-control-").unwrap_or(name.as_str());
                    format!("{name}={}", value.to_str().unwrap_or_default())
                };
                Some(headers.0.iter().map(text).collect::<Vec<_>>().join(" "))
            }
            _ => None,
        }
    }

    #[test]
    fn a_preflight_from_an_allowed_origin_is_answered_here() {
        let expected =
            "allow-origin=https://a.com expose-headers=x-seen allow-methods=GET,PUT allow-headers=x-one max-age=5";
        assert_eq!(preflight(&rules(&["https://a.com"]), "https://a.com").as_deref(), Some(expected));
    }

    #[test]
    fn a_preflight_from_another_origin_is_answered_without_allowing_or_sent_on() {
        let mut cors = rules(&["https://a.com"]);
        assert_eq!(preflight(&cors, "https://b.com").as_deref(), Some(""));
        cors.unmatched = UnmatchedPreflight::Forward;
        assert_eq!(preflight(&cors, "https://b.com"), None);
    }

    #[test]
    fn an_actual_response_says_who_may_read_it_and_what() {
        let cors = rules(&["https://a.com"]);
        let CorsDecision::Allow(headers) = judge(&cors, &Method::GET, &[("origin", "https://a.com")]) else {
            panic!("not allowed");
        };
        let mut map: HeaderMap =
            [(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://backend"))].into_iter().collect();
        headers.apply(&mut map);
        assert_eq!(map[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.com");
        assert_eq!(map[header::ACCESS_CONTROL_EXPOSE_HEADERS], "x-seen");
        assert_eq!(judge(&cors, &Method::GET, &[("origin", "https://b.com")]), CorsDecision::Pass);
        assert_eq!(judge(&cors, &Method::GET, &[]), CorsDecision::Pass);
        // OPTIONS alone is no preflight.
        assert!(matches!(judge(&cors, &Method::OPTIONS, &[("origin", "https://a.com")]), CorsDecision::Allow(_)));
    }

    #[test]
    fn a_wildcard_is_a_wildcard_only_without_credentials() {
        let mut cors = rules(&["*"]);
        (cors.methods, cors.headers) = (vec!["*".into()], vec!["*".into()]);
        assert!(preflight(&cors, "https://b.com").unwrap().contains("allow-methods=* allow-headers=*"));
        cors.credentials = true;
        let answer = preflight(&cors, "https://b.com").unwrap();
        assert!(answer.contains("allow-credentials=true"), "{answer}");
        assert!(answer.contains("allow-methods=DELETE allow-headers=x-a, x-b"), "{answer}");
    }

    #[test]
    fn origins_are_exact_prefixes_or_hold_wildcards() {
        for (wanted, origin, expected) in [
            ("https://a.com", "https://a.com:8443", false),
            ("https://a.com*", "https://a.com:8443", true),
            ("https://*.a.com", "https://x.y.a.com", true),
            ("https://*.a.com", "https://axa.com", false),
            ("https://*.a.com", "https://x.a.com.evil", false),
            ("*", "http://x", true),
            ("*", "nonsense", false),
            ("*", "http://x/y", false),
        ] {
            assert_eq!(OriginMatch::from_gateway_api(wanted).unwrap().matches(origin), expected, "{wanted} {origin}");
        }
        let text = OriginMatch::Text(TextMatch::Prefix("https://a".into()));
        assert!(text.matches("https://abc") && !text.matches("http://a"));
    }
}
