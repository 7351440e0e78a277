//! Where a redirect points.

use super::{PathMatch, Redirect, RedirectPort};
use crate::request::{RequestView, split_authority};

impl Redirect {
    /// The `Location` of the answer: always absolute.
    ///
    /// `matched` is the path match of the route that decided, `port` the one the client addressed: the service's in a
    /// mesh. The well-known port of the location's scheme is left out.
    pub fn location(&self, matched: Option<&PathMatch>, request: &RequestView<'_>, port: u16) -> String {
        let scheme = self.scheme.as_deref().unwrap_or(request.scheme);
        let authority = self.authority.as_deref().unwrap_or(request.authority);
        let (host, own_port) = split_authority(authority);
        let port = match self.port {
            RedirectPort::Explicit(port) => Some(port),
            RedirectPort::SchemeOrRequest if self.scheme.is_some() => None,
            RedirectPort::SchemeOrRequest | RedirectPort::Request => Some(port),
            RedirectPort::SchemeDefault => None,
            // What the client wrote for the old scheme says nothing about the new one.
            RedirectPort::Authority if self.authority.is_none() && own_port == well_known(request.scheme) => None,
            RedirectPort::Authority => own_port,
        };
        let path = match &self.path {
            Some(path) => path.apply(matched, request.path_and_query),
            None => request.path_and_query.to_owned(),
        };
        match port.filter(|port| Some(*port) != well_known(scheme)) {
            Some(port) => format!("{scheme}://{host}:{port}{path}"),
            None => format!("{scheme}://{host}{path}"),
        }
    }
}

fn well_known(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::route::{PathKind, PathRewrite};

    const PLAIN: Redirect =
        Redirect { scheme: None, authority: None, port: RedirectPort::SchemeOrRequest, path: None, status: 302 };

    fn location(redirect: &Redirect, authority: &str, path: &str, port: u16) -> String {
        let headers = HeaderMap::new();
        let request = RequestView {
            method: &Method::GET,
            scheme: "http",
            authority,
            path_and_query: path,
            headers: &headers,
            claims: None,
        };
        let matched = PathMatch { kind: PathKind::SegmentPrefix("/original-prefix".into()), ignore_case: false };
        redirect.location(Some(&matched), &request, port)
    }

    #[test]
    fn a_host_redirect_keeps_scheme_path_and_query() {
        let redirect = Redirect { authority: Some("example.org".into()), ..PLAIN };
        assert_eq!(
            location(&redirect, "echo", "/hostname-redirect?a=b", 80),
            "http://example.org/hostname-redirect?a=b"
        );
        assert_eq!(location(&redirect, "echo:8080", "/x", 8080), "http://example.org:8080/x");
    }

    #[test]
    fn paths_are_replaced_in_full_or_by_prefix() {
        let prefix = Redirect { path: Some(PathRewrite::MatchedSegments("/replacement-prefix".into())), ..PLAIN };
        assert_eq!(location(&prefix, "echo", "/original-prefix/lemon", 80), "http://echo/replacement-prefix/lemon");
        let full = Redirect {
            authority: Some("example.org".into()),
            path: Some(PathRewrite::Full("/full-path-replacement".into())),
            ..PLAIN
        };
        assert_eq!(location(&full, "echo", "/full/path?q", 80), "http://example.org/full-path-replacement?q");
    }

    #[test]
    fn an_explicit_port_is_written_unless_it_is_the_schemes_own() {
        let redirect = Redirect { port: RedirectPort::Explicit(8083), ..PLAIN };
        assert_eq!(location(&redirect, "echo", "/port", 80), "http://echo:8083/port");
        let redirect = Redirect { authority: Some("example.org".into()), port: RedirectPort::Explicit(80), ..PLAIN };
        assert_eq!(location(&redirect, "echo:8080", "/port", 8080), "http://example.org/port");
        let redirect = Redirect { scheme: Some("https".into()), port: RedirectPort::Explicit(443), ..PLAIN };
        assert_eq!(location(&redirect, "echo:8080", "/port", 8080), "https://echo/port");
        let redirect = Redirect { scheme: Some("https".into()), port: RedirectPort::Explicit(80), ..PLAIN };
        assert_eq!(location(&redirect, "echo:8080", "/port", 8080), "https://echo:80/port");
    }

    #[test]
    fn without_a_port_a_changed_scheme_brings_its_own_and_else_the_clients_stays() {
        let https = Redirect { scheme: Some("https".into()), ..PLAIN };
        assert_eq!(location(&https, "echo:8080", "/scheme", 8080), "https://echo/scheme");
        let http = Redirect { scheme: Some("http".into()), ..PLAIN };
        assert_eq!(location(&http, "echo:8080", "/scheme", 8080), "http://echo/scheme");
        assert_eq!(location(&PLAIN, "echo", "/x", 8080), "http://echo:8080/x");
        assert_eq!(location(&PLAIN, "[::1]:80", "/x", 80), "http://[::1]/x");
    }

    #[test]
    fn a_virtual_service_takes_the_port_from_where_it_says() {
        let redirect = |port, authority: Option<&str>| Redirect { port, authority: authority.map(Into::into), ..PLAIN };
        for (port, authority, expected) in [
            (RedirectPort::Authority, None, "http://echo:8080/x"),
            (RedirectPort::Authority, Some("other"), "http://other/x"),
            (RedirectPort::Authority, Some("other:9"), "http://other:9/x"),
            (RedirectPort::Request, Some("other"), "http://other:8080/x"),
            (RedirectPort::SchemeDefault, Some("other:9"), "http://other/x"),
        ] {
            assert_eq!(location(&redirect(port, authority), "echo:8080", "/x", 8080), expected);
        }
        let https = Redirect { scheme: Some("https".into()), port: RedirectPort::Authority, ..PLAIN };
        assert_eq!(location(&https, "echo:80", "/x", 80), "https://echo/x");
    }
}
