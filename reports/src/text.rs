//! Times and counts as people write them.

/// Nanoseconds, three digits that matter: `1.25ms`, `3s`.
pub fn time(nanos: u64) -> String {
    let units = [(1_000_000_000u64, "s"), (1_000_000, "ms"), (1_000, "µs")];
    let Some((size, unit)) = units.into_iter().find(|(size, _)| nanos >= *size) else { return format!("{nanos}ns") };
    let value = nanos as f64 / size as f64;
    let decimals = if value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    let number = format!("{value:.decimals$}");
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{number}{unit}")
}

/// Groups of three digits: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `text`, cut to `limit` characters with an ellipsis.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::{count, shortened, time};

    #[test]
    fn times_have_three_significant_digits() {
        assert_eq!(time(0), "0ns");
        assert_eq!(time(999), "999ns");
        assert_eq!(time(1_250_000), "1.25ms");
        assert_eq!(time(3_000_000_000), "3s");
        assert_eq!(time(30_000), "30µs");
        assert_eq!(time(123_456), "123µs");
    }

    #[test]
    fn counts_are_grouped_and_text_is_cut_at_characters() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }
}
