//! [`Outliers`]: endpoints that fail are left out for a while.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::OutlierDetection;
use crate::host::Instant;

/// How a try at an endpoint ended, as outlier detection counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointResult {
    /// It answered with this status.
    Status(u16),
    /// No answer: no connection, a reset, a timeout.
    LocalFailure,
}

/// Which count ejected an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the settings")]
pub enum EjectionCause {
    Consecutive5xx,
    ConsecutiveGatewayErrors,
    ConsecutiveLocalFailures,
}

/// As the settings spell it.
impl fmt::Display for EjectionCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EjectionCause::Consecutive5xx => "consecutive5xxErrors",
            EjectionCause::ConsecutiveGatewayErrors => "consecutiveGatewayErrors",
            EjectionCause::ConsecutiveLocalFailures => "consecutiveLocalOriginFailures",
        })
    }
}

/// What is known of the endpoints of one backend. Those never tried, or gone, are not held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outliers {
    endpoints: BTreeMap<Arc<str>, Record>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    consecutive_5xx: u32,
    consecutive_gateway_errors: u32,
    consecutive_local_failures: u32,
    /// How often it was ejected, less one for each interval it stayed in since: the next ejection's multiple.
    ejections: u32,
    ejected_at: Option<Instant>,
}

impl Outliers {
    /// Counts the end of a try. `all` is how many endpoints the backend has now. Returns why the endpoint is ejected, if
    /// it is just now.
    ///
    /// An endpoint stays in, and goes on counting, when as many are out as may be; one always may be if any may.
    pub fn record(
        &mut self,
        settings: &OutlierDetection,
        endpoint: &Arc<str>,
        result: EndpointResult,
        all: usize,
        now: Instant,
    ) -> Option<EjectionCause> {
        let out = self.ejected_count();
        let record = self.endpoints.entry(endpoint.clone()).or_default();
        let cause = record.count(settings, result)?;
        if record.ejected_at.is_some() {
            return None;
        }
        let most = settings.max_ejection_percent as usize;
        if most == 0 || (out > 0 && (out + 1) * 100 > most * all) {
            return None;
        }
        let ejections = record.ejections.saturating_add(1);
        *record = Record { ejections, ejected_at: Some(now), ..Record::default() };
        Some(cause)
    }

    /// Once an interval: endpoints whose time is over are back, and named; the record of the others improves.
    pub fn sweep(&mut self, settings: &OutlierDetection, now: Instant) -> Vec<Arc<str>> {
        let mut back = Vec::new();
        for (key, record) in &mut self.endpoints {
            match record.ejected_at {
                Some(since) if now >= since + ejection_time(settings, record.ejections) => {
                    record.ejected_at = None;
                    back.push(key.clone());
                }
                Some(_) => {}
                None => record.ejections = record.ejections.saturating_sub(1),
            }
        }
        back
    }

    /// Whether an endpoint is out.
    pub fn is_ejected(&self, endpoint: &str) -> bool {
        self.endpoints.get(endpoint).is_some_and(|record| record.ejected_at.is_some())
    }

    /// How many are out.
    pub fn ejected_count(&self) -> usize {
        self.endpoints.values().filter(|record| record.ejected_at.is_some()).count()
    }

    /// Forgets endpoints that are gone.
    pub fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.endpoints.retain(|key, _| exists(key));
    }
}

/// The base times how often, up to the most.
fn ejection_time(settings: &OutlierDetection, ejections: u32) -> Duration {
    let most = settings.max_ejection_time.max(settings.base_ejection_time);
    settings.base_ejection_time.saturating_mul(ejections.max(1)).min(most)
}

impl Record {
    /// Which limit this result reaches. Without a count of their own, tries without an answer count as 503.
    fn count(&mut self, settings: &OutlierDetection, result: EndpointResult) -> Option<EjectionCause> {
        let (status, local) = match (result, settings.consecutive_local_failures) {
            (EndpointResult::Status(status), _) => (Some(status), false),
            (EndpointResult::LocalFailure, None) => (Some(503), false),
            (EndpointResult::LocalFailure, Some(_)) => (None, true),
        };
        let mut cause = None;
        let mut step = |count: &mut u32, failed: bool, limit: u32, reached| {
            *count = if failed { count.saturating_add(1) } else { 0 };
            if limit > 0 && *count >= limit {
                cause = cause.or(Some(reached));
            }
        };
        if let Some(status) = status {
            let gateway = matches!(status, 502..=504);
            let limit = settings.consecutive_gateway_errors;
            step(&mut self.consecutive_gateway_errors, gateway, limit, EjectionCause::ConsecutiveGatewayErrors);
            let server = (500..600).contains(&status);
            step(&mut self.consecutive_5xx, server, settings.consecutive_5xx, EjectionCause::Consecutive5xx);
        }
        // An answer of any status proves that there is a connection.
        let limit = settings.consecutive_local_failures.unwrap_or(0);
        step(&mut self.consecutive_local_failures, local, limit, EjectionCause::ConsecutiveLocalFailures);
        cause
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * SECOND)
    }

    fn fails(
        outliers: &mut Outliers,
        settings: &OutlierDetection,
        key: &str,
        times: usize,
        all: usize,
        now: u64,
    ) -> usize {
        let key: Arc<str> = key.into();
        let ejected = |_: &usize| outliers.record(settings, &key, EndpointResult::Status(503), all, at(now)).is_some();
        (0..times).filter(ejected).count()
    }

    #[test]
    fn five_in_a_row_eject_and_a_success_between_starts_again() {
        let settings = OutlierDetection::default();
        let mut outliers = Outliers::default();
        assert_eq!(fails(&mut outliers, &settings, "a", 4, 10, 0), 0);
        outliers.record(&settings, &"a".into(), EndpointResult::Status(200), 10, at(0));
        assert_eq!(fails(&mut outliers, &settings, "a", 4, 10, 0), 0);
        assert_eq!(fails(&mut outliers, &settings, "a", 1, 10, 0), 1);
        assert!(outliers.is_ejected("a"));
    }

    #[test]
    fn each_kind_of_failure_has_its_count() {
        use EndpointResult::{LocalFailure, Status};
        let first = |settings: OutlierDetection, result, times| {
            let mut outliers = Outliers::default();
            (0..times).find_map(|_| outliers.record(&settings, &"a".into(), result, 1, at(0)))
        };
        let plain = OutlierDetection::default();
        let gateway = OutlierDetection { consecutive_gateway_errors: 3, ..plain };
        let split = OutlierDetection { consecutive_local_failures: Some(2), ..plain };
        assert_eq!(first(plain, Status(500), 5), Some(EjectionCause::Consecutive5xx));
        assert_eq!(first(plain, LocalFailure, 5), Some(EjectionCause::Consecutive5xx));
        assert_eq!(first(gateway, Status(502), 3), Some(EjectionCause::ConsecutiveGatewayErrors));
        assert_eq!(first(gateway, Status(500), 4), None);
        assert_eq!(first(split, LocalFailure, 2), Some(EjectionCause::ConsecutiveLocalFailures));
        assert_eq!(first(split, Status(404), 100), None);
        assert_eq!(first(OutlierDetection { consecutive_5xx: 0, ..plain }, Status(500), 100), None);
    }

    #[test]
    fn ejections_grow_longer_and_shrink_again_with_good_conduct() {
        let settings = OutlierDetection::default();
        let mut outliers = Outliers::default();
        fails(&mut outliers, &settings, "a", 5, 10, 0);
        assert!(outliers.sweep(&settings, at(29)).is_empty() && outliers.is_ejected("a"));
        assert_eq!(outliers.sweep(&settings, at(30)), ["a".into()]);
        fails(&mut outliers, &settings, "a", 5, 10, 31);
        assert!(outliers.sweep(&settings, at(90)).is_empty(), "twice as long the second time");
        assert_eq!(outliers.sweep(&settings, at(91)).len(), 1);
        outliers.sweep(&settings, at(101));
        outliers.sweep(&settings, at(111));
        fails(&mut outliers, &settings, "a", 5, 10, 112);
        assert_eq!(outliers.sweep(&settings, at(142)).len(), 1, "as short as the first time");
        let capped = OutlierDetection { max_ejection_time: Duration::from_secs(40), ..settings };
        for turn in 2..5 {
            fails(&mut outliers, &capped, "a", 5, 10, turn * 1_000);
            assert!(outliers.sweep(&capped, at(turn * 1_000 + 29)).is_empty());
            assert_eq!(outliers.sweep(&capped, at(turn * 1_000 + 40)).len(), 1);
        }
    }

    #[test]
    fn only_so_many_may_be_out_but_one_always() {
        let settings = OutlierDetection::default();
        for (all, expected) in [(1, 1), (2, 1), (10, 1), (19, 1), (20, 2), (30, 3)] {
            let mut outliers = Outliers::default();
            for index in 0..all {
                fails(&mut outliers, &settings, &format!("pod-{index}"), 9, all, 0);
            }
            assert_eq!(outliers.ejected_count(), expected, "of {all}");
        }
        let none = OutlierDetection { max_ejection_percent: 0, ..settings };
        assert_eq!(fails(&mut Outliers::default(), &none, "a", 9, 10, 0), 0);
        let every = OutlierDetection { max_ejection_percent: 100, ..settings };
        let mut outliers = Outliers::default();
        for key in ["a", "b", "c"] {
            fails(&mut outliers, &every, key, 5, 3, 0);
        }
        assert_eq!(outliers.ejected_count(), 3);
        outliers.retain(|key| key == "b");
        assert_eq!(outliers.ejected_count(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn never_more_are_out_than_may_be(
            steps in proptest::collection::vec((0..8usize, any::<bool>(), 0..20u64), 0..200),
            percent in 0..=100u32,
        ) {
            let settings = OutlierDetection { max_ejection_percent: percent, consecutive_5xx: 2, ..OutlierDetection::default() };
            let mut outliers = Outliers::default();
            let mut now = 0;
            for (endpoint, failed, wait) in steps {
                now += wait;
                let key: Arc<str> = format!("pod-{endpoint}").into();
                let result = EndpointResult::Status(if failed { 500 } else { 200 });
                outliers.record(&settings, &key, result, 8, at(now));
                outliers.sweep(&settings, at(now));
                let most = (8 * percent as usize / 100).max(usize::from(percent > 0));
                prop_assert!(outliers.ejected_count() <= most);
            }
        }
    }
}
