//! [`RetryPolicy`] and [`Timeouts`].

use std::sync::Arc;
use std::time::Duration;

use super::{HeaderMatch, PortProtocol};

/// How long a request may take. `None` is without end; a timeout of zero is written so too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// The whole exchange, retries included.
    pub request: Option<Duration>,
    /// One try.
    pub backend_request: Option<Duration>,
}

/// Whether and how a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Further tries at most; 0 is none.
    pub attempts: u32,
    /// What is tried again.
    pub on: RetryConditions,
    /// Least time before the first further try; doubles each time, jittered. Default 25 ms.
    pub backoff_base: Duration,
    /// Most time before a further try. Default ten times the base.
    pub backoff_max: Duration,
    /// Least time before any further try, whatever chance says (Gateway API `backoff`). Default none.
    pub backoff_floor: Duration,
    /// Whether another endpoint than those tried is preferred.
    pub avoid_previous_endpoints: bool,
    /// Times an endpoint is drawn at most to find one that was not tried. Default 5.
    pub selections_max: u32,
    /// Whether further tries may go to other localities at once (`retryRemoteLocalities`).
    pub remote_localities: bool,
    /// Bounds the share of retries among all requests to a backend.
    pub budget: Option<RetryBudget>,
}

/// Two further tries of nothing yet: start here and say what is tried again.
impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            attempts: 2,
            on: RetryConditions::default(),
            backoff_base: Duration::from_millis(25),
            backoff_max: Duration::from_millis(250),
            backoff_floor: Duration::ZERO,
            avoid_previous_endpoints: false,
            selections_max: 5,
            remote_localities: false,
            budget: None,
        }
    }
}

impl RetryPolicy {
    /// Of a route that says nothing of retries, unless the mesh has a default of its own: two further tries at other
    /// endpoints, of what never reached one and of some gRPC statuses. A plain 503 is not tried again.
    pub fn upstream_default() -> Self {
        RetryPolicy {
            on: RetryConditions::upstream_default(),
            avoid_previous_endpoints: true,
            ..RetryPolicy::default()
        }
    }

    /// Of a service without any route: two further tries if the request was never sent; none of gRPC.
    pub fn implicit(protocol: PortProtocol) -> Option<Self> {
        let on = RetryConditions { reset_before_request: true, ..RetryConditions::default() };
        (protocol != PortProtocol::Grpc).then(|| RetryPolicy { on, ..RetryPolicy::default() })
    }

    /// Of a Gateway API `retry` stanza: the codes it names, and whatever gives no response. `attempts` unset is two; 0
    /// switches off.
    pub fn of_gateway_api(codes: &[u16], attempts: Option<u32>, backoff: Option<Duration>) -> Self {
        let mut on = RetryConditions::upstream_default();
        on.reset = true;
        on.statuses = codes.to_vec();
        let base = backoff.filter(|backoff| !backoff.is_zero()).unwrap_or(Duration::from_millis(25));
        RetryPolicy {
            attempts: attempts.unwrap_or(2),
            on,
            backoff_base: base,
            backoff_max: base.saturating_mul(10),
            backoff_floor: backoff.unwrap_or(Duration::ZERO),
            avoid_previous_endpoints: true,
            ..RetryPolicy::default()
        }
    }
}

/// What is tried again, ORed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryConditions {
    /// Any 5xx, or no response at all (reset, timeout).
    pub server_error: bool,
    /// 502, 503, 504.
    pub gateway_error: bool,
    /// No connection.
    pub connect_failure: bool,
    /// REFUSED_STREAM.
    pub refused_stream: bool,
    /// No response at all.
    pub reset: bool,
    /// No connection, or no response and the request's head not sent.
    pub reset_before_request: bool,
    /// 409.
    pub retriable_4xx: bool,
    /// 429 marked `x-envoy-ratelimited`, or any response so marked.
    pub rate_limited: bool,
    /// HTTP statuses (`retriable-status-codes`).
    pub statuses: Vec<u16>,
    /// Response headers (`retriable-headers`), ORed.
    pub response_headers: Vec<HeaderMatch>,
    /// gRPC statuses in the response's headers.
    pub grpc_statuses: Vec<u32>,
    /// Words that are none of the above, kept to be told.
    pub unknown: Vec<Arc<str>>,
}

/// Retries under way at most, as a share of requests under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// Whole percents of the requests under way.
    pub percent: u32,
    /// So many are always allowed.
    pub min_concurrent: u32,
}
