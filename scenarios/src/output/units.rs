//! Times, counts and sizes as people write them.

use std::time::Duration;

pub(crate) use reports::units::{count, time};

/// The same, of a duration.
pub(crate) fn duration(duration: Duration) -> String {
    time(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// A point in virtual time: seconds to the millisecond.
pub(crate) fn clock(nanos: u64) -> String {
    format!("{}.{:03}s", nanos / 1_000_000_000, nanos / 1_000_000 % 1000)
}

/// `3 steps`, `1 step`.
pub(crate) fn plural(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(number as u64), if number == 1 { "" } else { "s" })
}

/// `1.2 MB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(1_000_000_000u64, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / size as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_for_people() {
        assert_eq!(time(1_250_000), "1.25ms");
        assert_eq!(time(3_000_000_000), "3s");
        assert_eq!(time(999), "999ns");
        assert_eq!(time(123_456_789), "123ms");
        assert_eq!(clock(1_250_000_000), "1.250s");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(plural(1, "step"), "1 step");
        assert_eq!(size(1_234_567), "1.2 MB");
    }
}
