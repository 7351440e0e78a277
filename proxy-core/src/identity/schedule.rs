//! When a certificate is refreshed and how failures back off. Pure.

use std::time::Duration;

use crate::host::{Rng, WallTime};

/// What is fetched first. Later variants go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A refresh of what is held and valid.
    Background,
    /// Wanted soon.
    Warmup,
    /// A connection waits for it.
    RealTime,
}

/// How long until a certificate should be refreshed: half of its life after its start, and never sooner than `soonest`
/// from now, so that a clock that disagrees with the authority's cannot make a proxy ask without end.
pub fn refresh_in(not_before: WallTime, not_after: WallTime, now: WallTime, soonest: Duration) -> Duration {
    let half = not_before + not_after.saturating_since(not_before) / 2;
    half.saturating_since(now).max(soonest)
}

/// How long until a failed fetch is tried again: the backoff, or the end of what is still held if that comes first, but
/// never sooner than `soonest`.
pub fn retry_in(backoff: Duration, held_until: Option<WallTime>, now: WallTime, soonest: Duration) -> Duration {
    match held_until.map(|end| end.saturating_since(now)).filter(|left| !left.is_zero()) {
        Some(left) => backoff.min(left.max(soonest)),
        None => backoff,
    }
}

/// Failures in a row, and the pause they earn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Another failure: `shortest`, doubled for each failure before it, at most `longest`; then ±20 %, so that proxies
    /// that failed together do not return together.
    pub fn fail(&mut self, shortest: Duration, longest: Duration, rng: &mut Rng) -> Duration {
        // 2^32 seconds are beyond any sensible `longest`.
        let doubled = shortest.saturating_mul(1 << self.failures.min(31));
        self.failures = self.failures.saturating_add(1);
        doubled.min(longest).mul_f64(0.8 + 0.4 * rng.unit())
    }

    /// A success: the next failure is a first one.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: u32) -> WallTime {
        WallTime::from_unix_secs(1_767_225_600) + hours * HOUR
    }

    #[test]
    fn a_certificate_is_refreshed_at_half_its_life() {
        assert_eq!(refresh_in(at(0), at(24), at(0), SECOND), 12 * HOUR);
        assert_eq!(refresh_in(at(0), at(24), at(10), SECOND), 2 * HOUR);
    }

    #[test]
    fn a_certificate_past_its_half_is_refreshed_soon_but_not_at_once() {
        assert_eq!(refresh_in(at(0), at(24), at(13), SECOND), SECOND);
        assert_eq!(refresh_in(at(0), at(0), at(0), SECOND), SECOND);
    }

    #[test]
    fn a_retry_comes_no_later_than_the_end_of_what_is_held() {
        let backoff = Duration::from_secs(100);
        assert_eq!(retry_in(backoff, None, at(1), SECOND), backoff);
        assert_eq!(retry_in(backoff, Some(at(2)), at(1), SECOND), backoff);
        assert_eq!(retry_in(backoff, Some(at(1) + 30 * SECOND), at(1), SECOND), 30 * SECOND);
        assert_eq!(retry_in(backoff, Some(at(1) + SECOND / 10), at(1), SECOND), SECOND);
        assert_eq!(retry_in(backoff, Some(at(0)), at(1), SECOND), backoff);
    }

    #[test]
    fn failures_double_the_pause_up_to_its_limit_within_a_fifth() {
        let mut rng = Rng::from_number(1);
        let mut backoff = Backoff::default();
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 150, 150] {
            let pause = backoff.fail(SECOND, 150 * SECOND, &mut rng).as_secs_f64() / f64::from(expected);
            assert!((0.8..=1.2).contains(&pause), "{pause} of {expected}");
        }
        for _ in 0..100 {
            backoff.fail(SECOND, 150 * SECOND, &mut rng);
        }
        backoff.succeed();
        assert!(backoff.fail(SECOND, 150 * SECOND, &mut rng) <= SECOND.mul_f64(1.2));
    }
}
