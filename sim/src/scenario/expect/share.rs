//! Whether requests share out as they should: exactly, within a tolerance, or as far as chance allows.

use super::chance::bounds;
use crate::cluster::ObjectReference;
use crate::scenario::quantity::Share;
use crate::scenario::schema::SplitSection;

/// How often an honest result may fail, in a million, where nothing else is said.
const ERROR: u32 = 1;
const MILLION: u64 = 1_000_000;

/// The fewest and the most of `all` that are near enough to `part` in `whole`.
fn near(all: u64, part: u64, whole: u64, tolerance: Option<Share>, error: f64) -> (u64, u64) {
    let Some(tolerance) = tolerance else { return bounds(all, part, whole, error) };
    let share = u128::from(part) * u128::from(MILLION) / u128::from(whole.max(1));
    let off = u128::from(tolerance.0);
    let of_all = |share: u128| share * u128::from(all);
    let least = of_all(share.saturating_sub(off)).div_ceil(u128::from(MILLION));
    let most = of_all((share + off).min(u128::from(MILLION))) / u128::from(MILLION);
    (least as u64, most as u64)
}

/// What is wrong with `good` of `all` where this share is expected.
pub(super) fn share(good: u64, all: u64, expected: Share, tolerance: Option<Share>) -> Option<String> {
    let error = f64::from(ERROR) / MILLION as f64;
    let (least, most) = near(all, expected.0.into(), MILLION, tolerance, error);
    let wrong = good < least || good > most;
    wrong.then(|| format!("expected {expected} of {all} as described (from {least} to {most}), found {good}"))
}

/// What is wrong with how `all` answers share out: `counts` are those of `weights`, in the same order.
pub(super) fn split(
    weights: &[(ObjectReference, u32)],
    counts: &[u64],
    all: u64,
    section: &SplitSection,
    failures: &mut Vec<String>,
) {
    let whole: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let error = section.confidence.map_or(ERROR, |confidence| MILLION as u32 - confidence.0);
    // Each of them can fail.
    let error = f64::from(error) / MILLION as f64 / weights.len().max(1) as f64;
    for ((object, weight), count) in weights.iter().zip(counts) {
        let (least, most) = match weight {
            0 => (0, 0),
            weight => near(all, (*weight).into(), whole, section.tolerance, error),
        };
        if *count < least || *count > most {
            failures.push(format!(
                "expected {weight} of {whole} answers from {object} (from {least} to {most} of {all}), found {count}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: Share = Share(100_000);

    #[test]
    fn a_tolerance_is_in_percent_of_all() {
        let three = Some(Share(30_000));
        assert_eq!(near(1000, 90, 100, three, 0.0), (870, 930));
        assert_eq!(share(70, 1000, TENTH, three), None);
        assert!(share(69, 1000, TENTH, three).is_some());
        assert_eq!(near(10, 100, 100, three, 0.0), (10, 10));
    }

    #[test]
    fn chance_explains_what_it_can() {
        assert_eq!(share(110, 1000, TENTH, None), None);
        assert!(share(200, 1000, TENTH, None).is_some());
    }
}
