//! Whether a try is followed by another, and when.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::{HeaderMatch, RetryBudget, RetryConditions, RetryPolicy};
use crate::host::Rng;
use crate::request::joined_header;

/// Marks a response as made by rate limiting.
const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// gRPC statuses by the words `retryOn` has for them.
const GRPC_WORDS: [(&str, u32); 5] =
    [("cancelled", 1), ("deadline-exceeded", 4), ("resource-exhausted", 8), ("internal", 13), ("unavailable", 14)];

/// How one try ended.
#[derive(Clone, Copy, Debug)]
pub enum TryResult<'a> {
    /// The head of a response came.
    Response {
        /// Its status.
        status: u16,
        /// Its headers; a gRPC response without a body has its status here.
        headers: &'a HeaderMap,
    },
    /// There was no connection: refused, timed out, no tunnel.
    ConnectFailure,
    /// The peer says it did not look at the request (REFUSED_STREAM).
    RefusedStream,
    /// The stream or connection ended without a response.
    Reset {
        /// Whether the request's head had been sent.
        request_sent: bool,
    },
    /// One try took too long.
    TryTimeout,
    /// A bound on connections or requests was met: never tried again.
    Overflow,
}

impl RetryConditions {
    /// Reads `retryOn`: words and statuses separated by commas. Words that mean nothing are kept aside.
    pub fn read(text: &str) -> Self {
        let mut conditions = RetryConditions::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "5xx" => conditions.server_error = true,
                "gateway-error" => conditions.gateway_error = true,
                "connect-failure" => conditions.connect_failure = true,
                "refused-stream" => conditions.refused_stream = true,
                "reset" => conditions.reset = true,
                "reset-before-request" => conditions.reset_before_request = true,
                "retriable-4xx" => conditions.retriable_4xx = true,
                "envoy-ratelimited" => conditions.rate_limited = true,
                // They say that the lists are to be looked at; without entries the lists say nothing.
                "retriable-status-codes" | "retriable-headers" => {}
                _ => match (GRPC_WORDS.iter().find(|(known, _)| *known == word), word.parse::<u16>()) {
                    (Some((_, status)), _) => conditions.grpc_statuses.push(*status),
                    (None, Ok(status)) if (100..600).contains(&status) => conditions.statuses.push(status),
                    (None, _) => conditions.unknown.push(word.into()),
                },
            }
        }
        conditions
    }

    /// What upstream tries again for a service with a route that says nothing of retries, or where a route's own
    /// stanza adds statuses to it.
    pub fn upstream_default() -> Self {
        RetryConditions::read("connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes")
    }

    /// Which condition wants another try; `None` if none does.
    ///
    /// A response marked as made by rate limiting is tried again for that reason alone. No response at all counts as a
    /// server's error, as a gateway's and as a reset.
    pub fn wants(&self, result: TryResult<'_>) -> Option<RetryReason> {
        let either = |one: bool, reason, other: Option<RetryReason>| if one { Some(reason) } else { other };
        match result {
            TryResult::Overflow => None,
            TryResult::Response { status, headers } => self.wants_response(status, headers),
            TryResult::ConnectFailure => {
                either(self.connect_failure, RetryReason::ConnectFailure, self.wants_silence(false))
            }
            TryResult::RefusedStream => {
                either(self.refused_stream, RetryReason::RefusedStream, self.wants_silence(false))
            }
            TryResult::Reset { request_sent } => self.wants_silence(request_sent),
            TryResult::TryTimeout => self.wants_silence(true),
        }
    }

    fn wants_response(&self, status: u16, headers: &HeaderMap) -> Option<RetryReason> {
        if headers.contains_key(RATE_LIMITED) {
            return self.rate_limited.then_some(RetryReason::RateLimited);
        }
        let grpc = || headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok();
        if self.server_error && (500..600).contains(&status) {
            Some(RetryReason::ServerError)
        } else if self.gateway_error && matches!(status, 502..=504) {
            Some(RetryReason::GatewayError)
        } else if self.retriable_4xx && status == 409 {
            Some(RetryReason::Conflict)
        } else if self.statuses.contains(&status) {
            Some(RetryReason::Status(status))
        } else if self.response_headers.iter().any(|wanted| has_header(wanted, headers)) {
            Some(RetryReason::Header)
        } else {
            grpc().filter(|status: &u32| self.grpc_statuses.contains(status)).map(RetryReason::GrpcStatus)
        }
    }

    fn wants_silence(&self, request_sent: bool) -> Option<RetryReason> {
        if self.reset || (self.reset_before_request && !request_sent) {
            Some(RetryReason::Reset)
        } else if self.server_error {
            Some(RetryReason::ServerError)
        } else {
            self.gateway_error.then_some(RetryReason::GatewayError)
        }
    }
}

fn has_header(wanted: &HeaderMatch, headers: &HeaderMap) -> bool {
    joined_header(headers, &wanted.name).is_some_and(|text| wanted.value.matches(&text))
}

/// Which condition wants another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the conditions")]
pub enum RetryReason {
    ServerError,
    GatewayError,
    ConnectFailure,
    RefusedStream,
    Reset,
    Conflict,
    RateLimited,
    Status(u16),
    Header,
    GrpcStatus(u32),
}

/// As `retryOn` spells it.
impl fmt::Display for RetryReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetryReason::ServerError => f.write_str("5xx"),
            RetryReason::GatewayError => f.write_str("gateway-error"),
            RetryReason::ConnectFailure => f.write_str("connect-failure"),
            RetryReason::RefusedStream => f.write_str("refused-stream"),
            RetryReason::Reset => f.write_str("reset"),
            RetryReason::Conflict => f.write_str("retriable-4xx"),
            RetryReason::RateLimited => f.write_str("envoy-ratelimited"),
            RetryReason::Status(status) => write!(f, "status {status}"),
            RetryReason::Header => f.write_str("retriable-headers"),
            RetryReason::GrpcStatus(status) => write!(f, "gRPC status {status}"),
        }
    }
}

/// Whether there is another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Wait for this long, then try again.
    After(Duration, RetryReason),
    /// No condition wants one: the result stands.
    NotWanted,
    /// One is wanted, but the tries are used up: the result stands, with flag `URX`.
    Exhausted(RetryReason),
    /// One is wanted, but too many retries are under way: the result stands.
    OverBudget(RetryReason),
}

/// Tries of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryState<'a> {
    policy: Option<&'a RetryPolicy>,
    left: u32,
    next_interval: Duration,
}

impl<'a> RetryState<'a> {
    /// Before the first try; without a policy there is only that one.
    pub fn new(policy: Option<&'a RetryPolicy>) -> Self {
        let next_interval = policy.map_or(Duration::ZERO, |policy| policy.backoff_base);
        RetryState { policy, left: policy.map_or(0, |policy| policy.attempts), next_interval }
    }

    /// After a try. The caller does not ask once a response's head has gone to the client, and passes what retries
    /// and requests are under way to this backend, for the budget.
    ///
    /// The wait is any time below an interval that begins with the base and doubles up to the most, never less than the
    /// floor.
    pub fn after(&mut self, result: TryResult<'_>, under_way: UnderWay, rng: &mut Rng) -> Retry {
        let Some(policy) = self.policy else { return Retry::NotWanted };
        let Some(reason) = policy.on.wants(result) else { return Retry::NotWanted };
        if self.left == 0 {
            return if policy.attempts == 0 { Retry::NotWanted } else { Retry::Exhausted(reason) };
        }
        if policy.budget.is_some_and(|budget| !budget.allows(under_way)) {
            return Retry::OverBudget(reason);
        }
        self.left -= 1;
        let interval = u64::try_from(self.next_interval.as_nanos()).unwrap_or(u64::MAX);
        self.next_interval = self.next_interval.saturating_mul(2).min(policy.backoff_max);
        let drawn = if interval == 0 { 0 } else { rng.below(interval) };
        Retry::After(Duration::from_nanos(drawn).max(policy.backoff_floor), reason)
    }
}

/// What is under way to a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Requests, retries included.
    pub requests: u32,
    /// Retries among them.
    pub retries: u32,
}

impl RetryBudget {
    /// Whether one more retry fits.
    pub fn allows(self, under_way: UnderWay) -> bool {
        let share = u64::from(under_way.requests) * u64::from(self.percent) / 100;
        u64::from(under_way.retries) < share.max(u64::from(self.min_concurrent))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::request::TextMatch;

    fn wants(on: &str, result: TryResult<'_>) -> Option<String> {
        RetryConditions::read(on).wants(result).map(|reason| reason.to_string())
    }

    fn response(status: u16, headers: &HeaderMap) -> TryResult<'_> {
        TryResult::Response { status, headers }
    }

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        [(HeaderName::from_static(name), HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn statuses_are_tried_again_by_their_conditions_alone() {
        let none = HeaderMap::new();
        for (on, status, expected) in [
            ("5xx", 500, true),
            ("5xx", 499, false),
            ("gateway-error", 503, true),
            ("gateway-error", 500, false),
            ("retriable-4xx", 409, true),
            ("retriable-4xx", 404, false),
            ("503", 503, true),
            ("retriable-status-codes,418", 418, true),
            ("connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", 503, false),
            ("reset", 503, false),
            ("", 503, false),
        ] {
            assert_eq!(wants(on, response(status, &none)).is_some(), expected, "{on} {status}");
        }
    }

    #[test]
    fn no_response_is_tried_again_by_what_is_known_of_it() {
        use TryResult::{ConnectFailure, Overflow, RefusedStream, Reset, TryTimeout};
        let late = Reset { request_sent: true };
        let early = Reset { request_sent: false };
        for (on, results, not) in [
            ("connect-failure", vec![ConnectFailure], vec![RefusedStream, late, early, TryTimeout, Overflow]),
            ("refused-stream", vec![RefusedStream], vec![ConnectFailure, late, early, TryTimeout, Overflow]),
            ("reset", vec![late, early, TryTimeout, ConnectFailure, RefusedStream], vec![Overflow]),
            ("reset-before-request", vec![early, ConnectFailure, RefusedStream], vec![late, TryTimeout, Overflow]),
            ("5xx", vec![late, early, ConnectFailure, TryTimeout], vec![Overflow]),
            ("gateway-error", vec![late, TryTimeout], vec![Overflow]),
            ("503", vec![], vec![late, early, ConnectFailure, TryTimeout]),
        ] {
            for result in results {
                assert!(wants(on, result).is_some(), "{on} {result:?}");
            }
            for result in not {
                assert!(wants(on, result).is_none(), "not {on} {result:?}");
            }
        }
    }

    #[test]
    fn grpc_statuses_and_headers_and_rate_limits_are_read_from_the_response() {
        for (word, status) in GRPC_WORDS {
            let text = status.to_string();
            let map: HeaderMap = [(GRPC_STATUS, HeaderValue::from_str(&text).unwrap())].into_iter().collect();
            assert_eq!(wants(word, response(200, &map)), Some(format!("gRPC status {status}")));
            assert_eq!(wants("5xx", response(200, &map)), None);
        }
        let limited = headers("x-envoy-ratelimited", "true");
        assert_eq!(wants("5xx", response(503, &limited)), None, "never but by its own condition");
        assert_eq!(wants("envoy-ratelimited", response(429, &limited)).as_deref(), Some("envoy-ratelimited"));
        let mut conditions = RetryConditions::read("retriable-headers");
        let name = HeaderName::from_static("x-again");
        conditions.response_headers = vec![HeaderMatch { name, value: TextMatch::Exact("yes".into()) }];
        assert_eq!(conditions.wants(response(200, &headers("x-again", "yes"))), Some(RetryReason::Header));
        assert_eq!(conditions.wants(response(200, &headers("x-again", "no"))), None);
    }

    #[test]
    fn words_that_mean_nothing_are_kept_aside() {
        let conditions = RetryConditions::read(" 5xx , nonsense,,42 ");
        assert!(conditions.server_error);
        assert_eq!(conditions.unknown, ["nonsense".into(), "42".into()]);
    }

    fn policy(attempts: u32) -> RetryPolicy {
        RetryPolicy { attempts, on: RetryConditions::read("5xx"), ..RetryPolicy::default() }
    }

    #[test]
    fn waits_stay_below_intervals_that_double_up_to_the_most() {
        let policy = policy(7);
        let mut longest = [Duration::ZERO; 7];
        let mut rng = Rng::from_number(1);
        for _ in 0..300 {
            let mut state = RetryState::new(Some(&policy));
            for longest in &mut longest {
                let Retry::After(wait, _) = state.after(TryResult::TryTimeout, UnderWay::default(), &mut rng) else {
                    panic!("no retry");
                };
                *longest = wait.max(*longest);
            }
            let last = state.after(TryResult::TryTimeout, UnderWay::default(), &mut rng);
            assert_eq!(last, Retry::Exhausted(RetryReason::ServerError));
        }
        for (longest, most) in longest.into_iter().zip([25, 50, 100, 200, 250, 250, 250]) {
            let most = Duration::from_millis(most);
            assert!(longest < most && longest > most * 9 / 10, "{longest:?} of {most:?}");
        }
    }

    #[test]
    fn a_floor_holds_whatever_chance_says() {
        let policy = RetryPolicy { backoff_floor: Duration::from_millis(40), ..policy(1) };
        let mut state = RetryState::new(Some(&policy));
        let retry = state.after(TryResult::ConnectFailure, UnderWay::default(), &mut Rng::from_number(1));
        assert_eq!(retry, Retry::After(Duration::from_millis(40), RetryReason::ServerError));
    }

    #[test]
    fn without_attempts_or_a_policy_the_first_result_stands() {
        let mut rng = Rng::from_number(1);
        for policy in [None, Some(&policy(0))] {
            let mut state = RetryState::new(policy);
            assert_eq!(state.after(TryResult::ConnectFailure, UnderWay::default(), &mut rng), Retry::NotWanted);
        }
    }

    #[test]
    fn a_budget_bounds_retries_by_what_is_under_way() {
        let budget = RetryBudget { percent: 20, min_concurrent: 3 };
        let policy = RetryPolicy { budget: Some(budget), ..policy(1) };
        let after = |requests, retries| {
            let under_way = UnderWay { requests, retries };
            RetryState::new(Some(&policy)).after(TryResult::ConnectFailure, under_way, &mut Rng::from_number(1))
        };
        assert!(matches!(after(1, 2), Retry::After(..)) && matches!(after(100, 19), Retry::After(..)));
        assert_eq!(after(1, 3), Retry::OverBudget(RetryReason::ServerError));
        assert_eq!(after(100, 20), Retry::OverBudget(RetryReason::ServerError));
    }
}
