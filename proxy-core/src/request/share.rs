//! [`Share`]: so many of so many.

use std::fmt;

use crate::host::Rng;

/// A share of requests, as a fraction. Above one counts as one; of nothing is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub numerator: u32,
    /// Of how many.
    pub denominator: u32,
}

impl Share {
    /// Every request.
    pub const ALL: Share = Share { numerator: 1, denominator: 1 };
    /// No request.
    pub const NONE: Share = Share { numerator: 0, denominator: 1 };

    /// Whole percents.
    pub const fn percent(percent: u32) -> Self {
        Share { numerator: percent, denominator: 100 }
    }

    /// Percents with up to four decimals, as `fault` and `mirrorPercentage` have them. Not a number is nothing.
    pub fn from_percentage(percent: f64) -> Self {
        let millionths = (percent * 10_000.0).round().clamp(0.0, 1_000_000.0);
        Share { numerator: millionths as u32, denominator: 1_000_000 }
    }

    /// Whether chance includes this request. A share of all or nothing draws nothing from `rng`.
    pub fn draws(self, rng: &mut Rng) -> bool {
        if self.numerator == 0 || self.denominator == 0 {
            return false;
        }
        self.numerator >= self.denominator || rng.below(u64::from(self.denominator)) < u64::from(self.numerator)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}
