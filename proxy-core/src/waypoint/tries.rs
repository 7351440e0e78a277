//! How tries end, in the terms of `route`'s decisions.

use ::http::Response;

use super::http::body::Body;
use super::upstream::failure::{FailureKind, UpstreamFailure};
use crate::route::{RetryConditions, RetryPolicy, TryResult};

/// Envoy's default when a service has no route: only what was certainly not processed.
pub(super) fn implicit_retry() -> RetryPolicy {
    RetryPolicy {
        on: RetryConditions { reset_before_request: true, ..RetryConditions::default() },
        ..RetryPolicy::default()
    }
}

/// How a try ended.
pub(super) fn result_of(outcome: &Result<Response<Body>, UpstreamFailure>) -> TryResult<'_> {
    match outcome {
        Ok(response) => TryResult::Response { status: response.status().as_u16(), headers: response.headers() },
        Err(failure) => match failure.kind {
            FailureKind::Connect | FailureKind::ConnectTimeout => TryResult::ConnectFailure,
            FailureKind::Refused => TryResult::RefusedStream,
            FailureKind::TryTimeout => TryResult::TryTimeout,
            FailureKind::Overflow | FailureKind::Request => TryResult::Overflow,
            FailureKind::Closed | FailureKind::Reset | FailureKind::Protocol => TryResult::Reset { request_sent: true },
        },
    }
}
