//! How far a count may be from what is expected of it before chance no longer explains it.
//!
//! Only the basic operations of IEEE 754 are used: they give the same bounds on every machine.

/// The fewest and the most out of `count` that come up when each comes up with the chance `part` in `whole`, all but
/// `error` of the time (half of it at each end).
pub(super) fn bounds(count: u64, part: u64, whole: u64, error: f64) -> (u64, u64) {
    if part == 0 || whole == 0 {
        return (0, 0);
    }
    if part >= whole {
        return (count, count);
    }
    let odds = part as f64 / (whole - part) as f64;
    let peak = (u128::from(count + 1) * u128::from(part) / u128::from(whole)) as u64;
    let peak = peak.min(count);
    // How likely each count is, against the likeliest; what is left out is less than any error anyone asks for.
    const NEGLIGIBLE: f64 = 1e-30;
    let mut below = Vec::new();
    let mut weight = 1.0;
    for k in (1..=peak).rev() {
        weight *= k as f64 / ((count - k + 1) as f64 * odds);
        if weight < NEGLIGIBLE {
            break;
        }
        below.push(weight);
    }
    let mut above = Vec::new();
    weight = 1.0;
    for k in peak..count {
        weight *= (count - k) as f64 * odds / (k + 1) as f64;
        if weight < NEGLIGIBLE {
            break;
        }
        above.push(weight);
    }
    let total = 1.0 + below.iter().sum::<f64>() + above.iter().sum::<f64>();
    let allowed = error / 2.0 * total;
    (peak - kept(&below, allowed), peak + kept(&above, allowed))
}

/// How many of the weights, likeliest first, are left when the last ones go whose sum is at most `allowed`.
fn kept(weights: &[f64], allowed: f64) -> u64 {
    let mut tail = 0.0;
    let mut kept = weights.len();
    for weight in weights.iter().rev() {
        tail += weight;
        if tail > allowed {
            break;
        }
        kept -= 1;
    }
    kept as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fair_coin_is_within_known_bounds() {
        // Ten throws: P(0) = P(10) = 1/1024, P(<= 1) = 11/1024.
        assert_eq!(bounds(10, 1, 2, 2.1 / 1024.0), (1, 9));
        assert_eq!(bounds(10, 1, 2, 1.9 / 1024.0), (0, 10));
        assert_eq!(bounds(10, 1, 2, 22.1 / 1024.0), (2, 8));
    }

    #[test]
    fn what_is_certain_has_no_room() {
        assert_eq!(bounds(1000, 0, 100, 1e-6), (0, 0));
        assert_eq!(bounds(1000, 100, 100, 1e-6), (1000, 1000));
    }

    #[test]
    fn a_tenth_of_a_thousand_may_vary_by_less_than_five_deviations() {
        let (least, most) = bounds(1000, 10, 100, 1e-6);
        assert!((53..=60).contains(&least) && (147..=156).contains(&most), "{least}..{most}");
        let (least, most) = bounds(10_000_000, 1, 2, 1e-6);
        assert!(least > 4_990_000 && most < 5_010_000, "{least}..{most}");
    }
}
