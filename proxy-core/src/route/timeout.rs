//! How long a request may take.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::Timeouts;
use crate::request::RequestView;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

impl Timeouts {
    /// What Gateway API's `timeouts` come to. A `backendRequest` without a retry stanza is the timeout of the route, even
    /// instead of `request`. Zero switches off.
    pub fn of_gateway_api(request: Option<Duration>, backend_request: Option<Duration>, has_retry: bool) -> Self {
        let on = |timeout: Option<Duration>| timeout.filter(|timeout| !timeout.is_zero());
        match backend_request {
            Some(_) if !has_retry => Timeouts { request: on(backend_request), backend_request: None },
            _ => Timeouts { request: on(request), backend_request: on(backend_request) },
        }
    }

    /// The timeout of a whole exchange: the route's, or a gRPC client's own if that is shorter.
    pub fn of_request(&self, request: &RequestView<'_>) -> Option<Duration> {
        let client = if request.is_grpc() { grpc_timeout(request.headers) } else { None };
        match (self.request, client) {
            (Some(route), Some(client)) => Some(route.min(client)),
            (route, client) => route.or(client),
        }
    }
}

/// What a gRPC client allows: up to eight digits and a unit. `None` if it says nothing or nonsense.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::fixture::Request;

    const SECOND: Option<Duration> = Some(Duration::from_secs(1));
    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

    #[test]
    fn a_timeout_per_try_without_retries_is_the_timeout_of_the_route() {
        for (request, backend, has_retry, expected) in [
            (None, None, false, (None, None)),
            (MINUTE, None, false, (MINUTE, None)),
            (MINUTE, SECOND, false, (SECOND, None)),
            (MINUTE, SECOND, true, (MINUTE, SECOND)),
            (None, SECOND, true, (None, SECOND)),
            (Some(Duration::ZERO), Some(Duration::ZERO), true, (None, None)),
        ] {
            let timeouts = Timeouts::of_gateway_api(request, backend, has_retry);
            assert_eq!((timeouts.request, timeouts.backend_request), expected);
        }
    }

    #[test]
    fn a_grpc_client_may_shorten_the_routes_timeout_but_not_lengthen_it() {
        let of = |route, value: &'static str, content_type| {
            let request = Request::get("/").header("grpc-timeout", value).header("content-type", content_type);
            Timeouts { request: route, backend_request: None }.of_request(&request.view())
        };
        let grpc = "application/grpc";
        assert_eq!(of(None, "1S", grpc), SECOND);
        assert_eq!(of(MINUTE, "1000m", grpc), SECOND);
        assert_eq!(of(SECOND, "1M", grpc), SECOND);
        assert_eq!(of(None, "1S", "text/plain"), None);
        for nonsense in ["", "S", "1", "1X", "123456789S", "-1S", "1 S"] {
            assert_eq!(of(MINUTE, nonsense, grpc), MINUTE, "{nonsense}");
        }
    }
}
