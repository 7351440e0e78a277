//! [`RequestView`]: the head of a request.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Method, header};

use super::Claims;

/// The head of one request as decisions see it: after normalisation of its path, before any change by a route.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// Method; gRPC is `POST`.
    pub method: &'a Method,
    /// `http` at a waypoint.
    pub scheme: &'a str,
    /// `:authority` or `Host`, with its port if it had one; empty if there was none.
    pub authority: &'a str,
    /// Path and query, normalised.
    pub path_and_query: &'a str,
    /// Header fields without pseudo ones.
    pub headers: &'a HeaderMap,
    /// What a validated token says.
    pub claims: Option<&'a Claims>,
}

impl<'a> RequestView<'a> {
    /// The path without the query.
    pub fn path(&self) -> &'a str {
        self.path_and_query.split_once('?').map_or(self.path_and_query, |(path, _)| path)
    }

    /// What follows `?`; empty if nothing does.
    pub fn query(&self) -> &'a str {
        self.path_and_query.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first value of a query parameter, as it was sent.
    pub fn query_parameter(&self, name: &str) -> Option<&'a str> {
        query_pairs(self.query()).find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// A header, repeated ones joined by `,`; `host` is the authority. `None` if it is absent.
    pub fn header(&self, name: &HeaderName) -> Option<Cow<'a, str>> {
        if name == header::HOST && !self.authority.is_empty() {
            return Some(Cow::Borrowed(self.authority));
        }
        joined_header(self.headers, name)
    }

    /// Whether it is gRPC: its content type is `application/grpc`, perhaps with `+…` or parameters.
    pub fn is_grpc(&self) -> bool {
        let content_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let rest = content_type.and_then(|text| text.strip_prefix("application/grpc"));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
    }

    /// Whether a browser asks if it may ask (Fetch, CORS preflight).
    pub fn is_cors_preflight(&self) -> bool {
        *self.method == Method::OPTIONS
            && self.headers.contains_key(header::ORIGIN)
            && self.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }
}

/// Names and values of a query, as they were sent; a name without `=` has an empty value.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Names and values of all cookies.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        Some((name, value.trim_matches('"')))
    })
}

/// A header, repeated ones joined by `,`. What is not text in it becomes `U+FFFD`, so that it is still there.
pub fn joined_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter();
    let first = text(values.next()?);
    let Some(second) = values.next() else { return Some(first) };
    let mut joined = format!("{first},{}", text(second));
    for value in values {
        joined.push(',');
        joined.push_str(&text(value));
    }
    Some(Cow::Owned(joined))
}

fn text(value: &http::HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// The host of an authority and its port, if it has one. Brackets stay: `[::1]:80` is `[::1]` and 80.
pub fn split_authority(authority: &str) -> (&str, Option<u16>) {
    let host_end = if authority.starts_with('[') { authority.find(']').map_or(0, |end| end + 1) } else { 0 };
    match authority.get(host_end..).and_then(|rest| rest.rfind(':')) {
        Some(colon) => match authority[host_end + colon + 1..].parse() {
            Ok(port) => (&authority[..host_end + colon], Some(port)),
            Err(_) => (authority, None),
        },
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn view<'a>(headers: &'a HeaderMap, method: &'a Method, path: &'a str) -> RequestView<'a> {
        RequestView { method, scheme: "http", authority: "Echo:80", path_and_query: path, headers, claims: None }
    }

    #[test]
    fn repeated_headers_are_joined_and_host_is_the_authority() {
        let mut headers = HeaderMap::new();
        headers.append("x", HeaderValue::from_static("a"));
        headers.append("x", HeaderValue::from_static("b"));
        headers.append("x", HeaderValue::from_static("c"));
        let view = view(&headers, &Method::GET, "/");
        assert_eq!(view.header(&HeaderName::from_static("x")).as_deref(), Some("a,b,c"));
        assert_eq!(view.header(&header::HOST).as_deref(), Some("Echo:80"));
        assert_eq!(view.header(&header::ACCEPT), None);
    }

    #[test]
    fn a_header_that_is_not_text_is_still_there() {
        let mut headers = HeaderMap::new();
        headers.append("x", HeaderValue::from_bytes(b"a\xff").unwrap());
        assert_eq!(joined_header(&headers, &HeaderName::from_static("x")).as_deref(), Some("a\u{fffd}"));
    }

    #[test]
    fn the_first_of_a_query_parameter_counts() {
        let headers = HeaderMap::new();
        let view = view(&headers, &Method::GET, "/p?a=1&b&a=2&=x?y");
        assert_eq!((view.path(), view.query()), ("/p", "a=1&b&a=2&=x?y"));
        assert_eq!(view.query_parameter("a"), Some("1"));
        assert_eq!(view.query_parameter("b"), Some(""));
        assert_eq!(view.query_parameter("c"), None);
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(view(&headers, &Method::POST, "/").is_grpc(), expected, "{content_type}");
        }
    }

    #[test]
    fn authorities_are_split_into_host_and_port() {
        for (authority, expected) in [
            ("a", ("a", None)),
            ("a:80", ("a", Some(80))),
            ("[::1]", ("[::1]", None)),
            ("[::1]:80", ("[::1]", Some(80))),
            ("a:", ("a:", None)),
            ("[x", ("[x", None)),
            ("", ("", None)),
        ] {
            assert_eq!(split_authority(authority), expected, "{authority}");
        }
    }
}
