//! How tries end, in the terms of `route`'s decisions.

use ::http::Response;

use super::http::body::Body;
use super::upstream::failure::{FailureKind, UpstreamFailure};
use crate::route::{EndpointResult, TryResult};

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

/// The same, as outlier detection counts it; `None` if it says nothing of the endpoint.
pub(super) fn endpoint_result(outcome: &Result<Response<Body>, UpstreamFailure>) -> Option<EndpointResult> {
    match outcome {
        Ok(response) => Some(EndpointResult::Status(response.status().as_u16())),
        Err(failure) if matches!(failure.kind, FailureKind::Overflow | FailureKind::Request) => None,
        Err(_) => Some(EndpointResult::LocalFailure),
    }
}
