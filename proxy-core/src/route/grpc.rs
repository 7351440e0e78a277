//! How gRPC methods become paths.

use super::PathKind;
use crate::request::{InvalidPattern, Pattern};

impl PathKind {
    /// What a GRPCRoute's method match is as a path: `/service/method`. `None` if it names neither.
    ///
    /// With `expressions`, service and method are regular expressions that must match the whole of their part; a part
    /// that is not there matches anything.
    ///
    /// # Errors
    /// If an expression is none.
    pub fn of_grpc_method(
        service: Option<&str>,
        method: Option<&str>,
        expressions: bool,
    ) -> Result<Option<PathKind>, InvalidPattern> {
        let kind = match (service, method) {
            (None, None) => return Ok(None),
            (Some(service), Some(method)) if !expressions => PathKind::Exact(format!("/{service}/{method}").into()),
            // Its slash makes it end at the segment.
            (Some(service), None) if !expressions => PathKind::SegmentPrefix(format!("/{service}/").into()),
            (None, Some(method)) if !expressions => {
                PathKind::Regex(Pattern::new(&format!("/[^/]+/{}", regex::escape(method)))?)
            }
            (service, method) => {
                // Each on its own, so that `a|b` stays within its part.
                let part = |text: Option<&str>, anything: &str| match text {
                    Some(text) => Pattern::new(text).map(|_| format!("(?:{text})")),
                    None => Ok(anything.to_owned()),
                };
                let (service, method) = (part(service, "[^/]+")?, part(method, ".+")?);
                PathKind::Regex(Pattern::new(&format!("/{service}/{method}"))?)
            }
        };
        Ok(Some(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::PathMatch;

    #[test]
    fn methods_match_by_what_is_named() {
        for (service, method, expressions, path, expected) in [
            (Some("a.B"), Some("C"), false, "/a.B/C", true),
            (Some("a.B"), Some("C"), false, "/axB/C", false),
            (Some("a.B"), None, false, "/a.B/C", true),
            (Some("a.B"), None, false, "/a.Bx/C", false),
            (None, Some("C"), false, "/x/C", true),
            (None, Some("C"), false, "/x/y/C", false),
            (None, Some("C."), false, "/x/Cx", false),
            (Some("a|b"), Some("C|D"), true, "/b/D", true),
            (Some("a|b"), Some("C|D"), true, "/a", false),
            (Some("a.*"), None, true, "/abc/D", true),
            (None, Some("C.*"), true, "/x/Cd", true),
        ] {
            let kind = PathKind::of_grpc_method(service, method, expressions).unwrap().unwrap();
            let matched = PathMatch { kind, ignore_case: false }.matches(path);
            assert_eq!(matched, expected, "{service:?} {method:?} {path}");
        }
        assert_eq!(PathKind::of_grpc_method(None, None, false), Ok(None));
        assert!(PathKind::of_grpc_method(Some("a)("), None, true).is_err());
    }
}
