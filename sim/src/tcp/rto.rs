//! [`RoundTrip`]: measured round trips and the timeout drawn from them (RFC 6298).

use proxy_core::host::Instant;

use super::TcpConfig;
use crate::wire::Seq;

/// Smoothed round-trip time, its variation, the timeout drawn from them and the sample being taken. Nanoseconds.
#[derive(Debug)]
pub(super) struct RoundTrip {
    smoothed: u64,
    variation: u64,
    timeout: u64,
    sample_from: Instant,
    sample_until: Seq,
    /// Timeouts in a row; each doubles the next.
    pub(super) backoff: u8,
}

/// Marks that no sample is being taken.
const NO_SAMPLE: Instant = Instant::FAR_FUTURE;

impl RoundTrip {
    pub(super) fn new(config: &TcpConfig) -> Self {
        RoundTrip {
            smoothed: 0,
            variation: 0,
            timeout: config.rto_initial.as_nanos() as u64,
            sample_from: NO_SAMPLE,
            sample_until: Seq(0),
            backoff: 0,
        }
    }

    /// After a resent SYN the first timeout for data is three seconds (RFC 6298 §5.7), unless it is set higher.
    pub(super) fn distrust_handshake(&mut self) {
        if self.smoothed == 0 {
            self.timeout = self.timeout.max(3_000_000_000);
        }
    }

    /// Starts a sample with bytes that end at `until` leaving now, if none is being taken.
    #[inline]
    pub(super) fn start_sample(&mut self, now: Instant, until: Seq) {
        if self.sample_from == NO_SAMPLE {
            self.sample_from = now;
            self.sample_until = until;
        }
    }

    /// Forgets the running sample: something was resent, so an answer would be ambiguous (Karn).
    pub(super) fn cancel_sample(&mut self) {
        self.sample_from = NO_SAMPLE;
    }

    /// Finishes the running sample if `acknowledged` covers it.
    #[inline]
    pub(super) fn acknowledged(&mut self, now: Instant, acknowledged: Seq, config: &TcpConfig) {
        if self.sample_from == NO_SAMPLE || acknowledged.before(self.sample_until) {
            return;
        }
        let sample = (now - self.sample_from).as_nanos() as u64;
        self.sample_from = NO_SAMPLE;
        if self.smoothed == 0 {
            self.smoothed = sample.max(1);
            self.variation = sample / 2;
        } else {
            self.variation = (3 * self.variation + self.smoothed.abs_diff(sample)) / 4;
            self.smoothed = ((7 * self.smoothed + sample) / 8).max(1);
        }
        self.timeout = self
            .smoothed
            .saturating_add(4 * self.variation)
            .clamp(config.rto_min.as_nanos() as u64, config.rto_max.as_nanos() as u64);
    }

    /// The timeout, doubled for each one in a row before it.
    #[inline]
    pub(super) fn timeout(&self, config: &TcpConfig) -> std::time::Duration {
        let doubled = self.timeout.saturating_mul(1 << self.backoff.min(32));
        std::time::Duration::from_nanos(doubled.min(config.rto_max.as_nanos() as u64))
    }

    /// The smoothed round-trip time, zero before the first sample.
    pub(super) fn smoothed(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.smoothed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(samples_ms: &[u64]) -> RoundTrip {
        let config = TcpConfig::default();
        let mut round_trip = RoundTrip::new(&config);
        let mut now = Instant::START;
        for &sample in samples_ms {
            round_trip.start_sample(now, Seq(1));
            now += Duration::from_millis(sample);
            round_trip.acknowledged(now, Seq(1), &config);
        }
        round_trip
    }

    #[test]
    fn first_sample_sets_and_later_ones_smooth() {
        let config = TcpConfig::default();
        assert_eq!(after(&[]).timeout(&config), Duration::from_secs(1));
        assert_eq!(after(&[100]).timeout(&config), Duration::from_millis(300));
        assert_eq!(after(&[100, 200]).smoothed(), Duration::from_micros(112_500));
        assert_eq!(after(&[1]).timeout(&config), Duration::from_millis(200));
        assert_eq!(after(&[500_000]).timeout(&config), Duration::from_secs(120));
    }

    #[test]
    fn timeouts_double_up_to_the_limit() {
        let config = TcpConfig::default();
        let mut round_trip = after(&[100]);
        round_trip.backoff = 3;
        assert_eq!(round_trip.timeout(&config), Duration::from_millis(2_400));
        round_trip.backoff = 200;
        assert_eq!(round_trip.timeout(&config), Duration::from_secs(120));
    }

    #[test]
    fn resent_bytes_are_not_measured() {
        let config = TcpConfig::default();
        let mut round_trip = RoundTrip::new(&config);
        round_trip.start_sample(Instant::START, Seq(1));
        round_trip.cancel_sample();
        round_trip.acknowledged(Instant::START + Duration::from_secs(9), Seq(1), &config);
        assert_eq!(round_trip.smoothed(), Duration::ZERO);
    }
}
