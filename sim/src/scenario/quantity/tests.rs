use super::*;

fn time(text: &str) -> Option<u64> {
    text.parse::<Time>().ok().map(|time| time.0.as_nanos() as u64)
}

#[test]
fn times_are_read_exactly() {
    assert_eq!(time("30us"), Some(30_000));
    assert_eq!(time("1.5s"), Some(1_500_000_000));
    assert_eq!(time("0.1ms"), Some(100_000));
    assert_eq!(time("2m"), Some(120_000_000_000));
    assert_eq!(time("0"), Some(0));
    for wrong in ["", "5", "s", "-1s", "1.5ns", "1e3s", "1.s2", "99999999999999h", "1 s s"] {
        assert_eq!(time(wrong), None, "{wrong}");
    }
}

#[test]
fn quantities_are_written_as_they_are_read() {
    for text in ["30us", "1.5s", "2.25ms", "0s"] {
        assert_eq!(text.parse::<Time>().unwrap().to_string(), text);
    }
    for text in [">= 99.9%", "8", "<= 50%", "> 3"] {
        assert_eq!(text.parse::<Bound<Amount>>().unwrap().to_string(), text);
    }
    for text in ["64KiB", "3MiB", "1000B"] {
        assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
    }
    assert_eq!("200/s".parse::<Rate>().unwrap().to_string(), "200/s");
}

#[test]
fn a_share_is_compared_without_rounding() {
    let bound: Bound<Amount> = ">= 99.9%".parse().unwrap();
    assert!(bound.holds_for(999, 1000));
    assert!(!bound.holds_for(998, 1000));
    assert!(bound.holds_for(0, 0));
}

#[test]
fn arrivals_are_spread_evenly() {
    let rate: Rate = "3/s".parse().unwrap();
    assert_eq!(rate.due(3), Duration::from_secs(1));
    assert_eq!(rate.due(1).as_nanos(), 333_333_333);
}

#[test]
fn a_span_runs_forward() {
    assert!("0s..10s".parse::<Span>().is_ok());
    assert!("10s..1s".parse::<Span>().is_err());
    assert!("10s".parse::<Span>().is_err());
}
