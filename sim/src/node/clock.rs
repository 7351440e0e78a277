//! [`ClockModel`]: how a node's wall clock relates to virtual time.

use proxy_core::host::{Instant, WallTime};

/// A node's wall clock: the run's epoch plus virtual time, plus an offset, running fast or slow, swinging. Monotonic time
/// is not affected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockModel {
    /// Nanoseconds ahead (behind when negative).
    pub offset_ns: i64,
    /// Nanoseconds gained per second (lost when negative).
    pub drift_ns_per_s: i64,
    /// Since when it drifts and swings.
    pub since: Instant,
    /// Swings this many nanoseconds to both sides, in straight lines.
    pub swing_ns: i64,
    /// How long one swing there and back takes; 0 does not swing.
    pub swing_period_ns: u64,
}

impl ClockModel {
    /// The wall clock at `now` when the run began at `epoch`. Never before 1970.
    pub fn at(self, epoch: WallTime, now: Instant) -> WallTime {
        let elapsed = i128::from(now.as_nanos());
        let since = i128::from(now.saturating_since(self.since).as_nanos() as u64);
        let drift = since * i128::from(self.drift_ns_per_s) / 1_000_000_000;
        let wall = i128::from(epoch.unix_nanos()) + elapsed + i128::from(self.offset_ns) + drift + self.swing(since);
        WallTime::from_unix_nanos(u64::try_from(wall.max(0)).unwrap_or(u64::MAX))
    }

    /// A triangle: 0, up, 0, down, 0.
    fn swing(self, since: i128) -> i128 {
        let period = i128::from(self.swing_period_ns);
        if period == 0 {
            return 0;
        }
        let (phase, most) = (4 * (since % period), i128::from(self.swing_ns));
        let from_zero = if phase <= period {
            phase
        } else if phase <= 3 * period {
            2 * period - phase
        } else {
            phase - 4 * period
        };
        most * from_zero / period
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
        let fast = ClockModel { offset_ns: 5, drift_ns_per_s: 100, ..ClockModel::default() };
        assert_eq!(fast.at(epoch, now).unix_nanos(), 1_010_000_001_005);
        let late = ClockModel { since: Instant::from_nanos(9_000_000_000), ..fast };
        assert_eq!(late.at(epoch, now).unix_nanos(), 1_010_000_000_105);
        let behind = ClockModel { offset_ns: i64::MIN, ..ClockModel::default() };
        assert_eq!(behind.at(epoch, now).unix_nanos(), 0);
    }

    #[test]
    fn a_swinging_clock_is_ahead_then_behind_and_right_at_every_turn() {
        let epoch = WallTime::from_unix_secs(1000);
        let clock = ClockModel { swing_ns: 100, swing_period_ns: 400, ..ClockModel::default() };
        let off = |nanos: u64| {
            let wall = clock.at(epoch, Instant::from_nanos(nanos)).unix_nanos();
            wall as i64 - 1_000_000_000_000 - nanos as i64
        };
        assert_eq!([off(0), off(50), off(100), off(200), off(300), off(350), off(400)], [0, 50, 100, 0, -100, -50, 0]);
    }
}
