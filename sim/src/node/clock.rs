//! [`ClockModel`]: how a node's wall clock relates to virtual time.

use proxy_core::host::{Instant, WallTime};

/// A node's wall clock: the run's epoch plus virtual time, plus an offset, running fast or slow. Monotonic time is not
/// affected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockModel {
    /// Nanoseconds ahead (behind when negative).
    pub offset_ns: i64,
    /// Nanoseconds gained per second (lost when negative).
    pub drift_ns_per_s: i64,
}

impl ClockModel {
    /// The wall clock at `now` when the run began at `epoch`. Never before 1970.
    pub fn at(self, epoch: WallTime, now: Instant) -> WallTime {
        let elapsed = i128::from(now.as_nanos());
        let drift = elapsed * i128::from(self.drift_ns_per_s) / 1_000_000_000;
        let wall = i128::from(epoch.unix_nanos()) + elapsed + i128::from(self.offset_ns) + drift;
        WallTime::from_unix_nanos(u64::try_from(wall.max(0)).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_and_drift_add_up_and_saturate_at_the_epoch() {
        let epoch = WallTime::from_unix_secs(1000);
        let now = Instant::from_nanos(10_000_000_000);
        assert_eq!(ClockModel::default().at(epoch, now), WallTime::from_unix_secs(1010));
        let fast = ClockModel { offset_ns: 5, drift_ns_per_s: 100 };
        assert_eq!(fast.at(epoch, now).unix_nanos(), 1_010_000_001_005);
        assert_eq!(ClockModel { offset_ns: i64::MIN, drift_ns_per_s: 0 }.at(epoch, now).unix_nanos(), 0);
    }
}
