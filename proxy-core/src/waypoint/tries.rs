//! Whether a request is tried again, and when. Pure.

use std::time::Duration;

use ::http::HeaderMap;

use super::upstream::failure::FailureKind;
use crate::host::Rng;
use crate::route::{RetryConditions, RetryPolicy};

/// What came of one try.
pub(super) enum Tried<'a> {
    /// An answer.
    Answered { status: u16, headers: &'a HeaderMap },
    /// None.
    Failed(FailureKind),
}

/// Envoy's default when a service has no route: only what was certainly not processed.
pub(super) fn implicit_retry() -> RetryPolicy {
    RetryPolicy {
        on: RetryConditions { reset_before_request: true, ..RetryConditions::default() },
        ..RetryPolicy::default()
    }
}

/// Whether what came of a try is worth another one.
pub(super) fn is_retriable(on: &RetryConditions, tried: &Tried<'_>) -> bool {
    match tried {
        Tried::Failed(kind) => match kind {
            FailureKind::Connect | FailureKind::ConnectTimeout => {
                on.connect_failure || on.reset_before_request || on.reset || on.server_error || on.gateway_error
            }
            FailureKind::Refused => on.refused_stream || on.reset || on.server_error,
            FailureKind::Closed | FailureKind::Reset | FailureKind::Protocol | FailureKind::TryTimeout => {
                on.reset || on.server_error || on.gateway_error
            }
            FailureKind::Request => false,
        },
        Tried::Answered { status, headers } => {
            let grpc = headers.get("grpc-status").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
            let limited = headers.contains_key("x-envoy-ratelimited");
            (on.server_error && (500..600).contains(status))
                || (on.gateway_error && matches!(status, 502..=504))
                || (on.retriable_4xx && *status == 409)
                || (on.rate_limited && limited)
                || on.statuses.contains(status)
                || grpc.is_some_and(|code| on.grpc_statuses.contains(&code))
        }
    }
}

/// How long to wait before try number `number` (1 is the first further one): drawn below an interval that doubles.
pub(super) fn backoff(policy: &RetryPolicy, number: u32, rng: &mut Rng) -> Duration {
    let factor = 1u32.checked_shl(number.saturating_sub(1)).unwrap_or(u32::MAX);
    let ceiling = policy.backoff_base.saturating_mul(factor).min(policy.backoff_max.max(policy.backoff_base));
    let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
    let drawn = if nanos == 0 { Duration::ZERO } else { Duration::from_nanos(rng.below(nanos)) };
    drawn.max(policy.backoff_floor)
}

/// The time a gRPC client gives (`grpc-timeout`).
pub(super) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    #[test]
    fn grpc_timeouts_are_read_in_every_unit() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            grpc_timeout(&headers)
        };
        assert_eq!(read("5S"), Some(Duration::from_secs(5)));
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        for text in ["", "S", "5", "5x", "999999999S", "-1S"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_plain_503_is_not_tried_again_by_the_defaults() {
        let headers = HeaderMap::new();
        let on = implicit_retry().on;
        assert!(!is_retriable(&on, &Tried::Answered { status: 503, headers: &headers }));
        assert!(is_retriable(&on, &Tried::Failed(FailureKind::Connect)));
        assert!(!is_retriable(&on, &Tried::Failed(FailureKind::Closed)));
    }
}
